"""Test-time augmentation: the map of a picture as the average over the picture and its mirror image."""

from __future__ import annotations

import torch
from torch import Tensor

from arn.errors import ArnError
from arn.networks.base import SaliencyNetwork


class FlipAveraged(SaliencyNetwork):
    """The average of a network's logits for pictures and for their mirror images: better maps for twice the time."""

    def __init__(self, network: SaliencyNetwork) -> None:
        super().__init__()
        self.network = network
        self.input_size = network.input_size

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        both = self.network(torch.cat([pictures, pictures.flip(-1)]))
        count = pictures.shape[0]  # not `chunk`: an ONNX file would keep the batch that it was exported with
        return tuple((logits[:count] + logits[count:].flip(-1)) / 2 for logits in both)


def with_tta(network: SaliencyNetwork, tta: str) -> SaliencyNetwork:
    """The network, or with ``flip`` its average over mirror images. Raises ArnError for another word."""
    if tta not in ("flip", "none"):
        raise ArnError(f"tta={tta}: flip averages over the mirrored picture, none does not")
    return FlipAveraged(network).eval() if tta == "flip" else network
