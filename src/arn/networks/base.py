"""The contract of a network: what training, inference and export ask of one, and nothing else."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


@runtime_checkable
class Pretrained(Protocol):
    """A part of a network that has ImageNet weights."""

    def load_imagenet(self, folder: Path | None) -> str:
        """Load them from a folder or a hub; returns where they came from, ``random`` where nowhere."""


class SaliencyNetwork(nn.Module):
    """Pictures in, logits out. Those of this package raise ValueError for pictures below 32 px a side.

    Attributes:
        input_size: side of the square that a picture is resized to before the network, px.
        backbone: the part with ImageNet weights (:class:`Pretrained`), which may learn at a rate of its own; or None.

    What a run is called by the network's switches stands in :mod:`arn.networks.variants`; what the networks of others
    rest on, and where they depart from it, in docs/rivals.md.
    """

    input_size: int = 224
    backbone: Any

    def __init__(self) -> None:
        super().__init__()
        self.backbone = None  # on the instance: a class attribute would hide the module that takes its place

    def new_layers(self) -> list[nn.Module]:
        """Every module outside the backbone."""
        return [module for name, module in self.named_modules() if name.partition(".")[0] not in ("", "backbone")]

    @abstractmethod
    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """RGB in 0..1, B x 3 x H x W -> logits: the final map's first, B x 1 x H x W, then any side outputs."""


class GradientFreeNetwork(SaliencyNetwork):
    """A network that learns by itself, from each training pair once and without gradients."""

    @abstractmethod
    def learn(self, pairs: Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]], seed: int) -> Any:
        """Learn everything from pairs of picture (S x S x 3) and gray mask (S x S), S the input size."""
