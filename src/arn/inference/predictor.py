"""Maps by a network of torch, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from arn.errors import ArnError
from arn.files import digest
from arn.inference.methods import Kind, Map, Picture
from arn.inference.square import Floats, SquarePredictor
from arn.inference.tta import with_tta
from arn.networks.base import SaliencyNetwork
from arn.provenance import code_version

LARGEST_BATCH = 64
"""Pictures at once on a GPU: with more no network of ours fills it any better."""


class Predictor(SquarePredictor):
    """A network of torch, which is moved to the device and set to evaluation; with ``bf16`` under autocast.

    Of a config, as :func:`load_network` gives it, ``name``, what it was trained on and ``tta`` are read.
    """

    kind: Kind = "checkpoint"
    source = "memory"

    def __init__(
        self, network: SaliencyNetwork, config: dict[str, Any], device: str | torch.device = "cpu", bf16: bool = False
    ) -> None:
        self.place, self.bf16 = torch.device(device), bf16
        self.precision = "bf16" if bf16 else "fp32"
        self.network: SaliencyNetwork = network.to(self.place).to(memory_format=torch.channels_last).eval()
        self.tta = str(config.get("tta") or "none")
        self._averaged = with_tta(self.network, self.tta)
        self.input_size, self.config = network.input_size, config
        self.name = str(config.get("name", "network"))
        self.trained_on = tuple(config.get("trained_on") or ()) or None
        self.parameters = sum(parameter.numel() for parameter in network.parameters())

    @property
    def device(self) -> str:
        if self.place.type == "cuda":
            return str(torch.cuda.get_device_name(self.place))
        if self.place.type == "cpu":
            count = torch.get_num_threads()
            return f"CPU, {count} thread{'s' * (count > 1)}"
        return self.place.type.upper()

    @cached_property
    def fingerprint(self) -> bytes:
        parts: list[str | bytes] = ["checkpoint", torch.__version__, self.place.type, str(self.bf16), self.tta]
        parts.append(code_version("arn.networks", "arn.inference", "arn.data.transforms"))
        parts.append(repr(sorted((self.config.get("network") or {}).items())))
        for key, tensor in self.network.state_dict().items():
            parts += [key, str(tensor.dtype), tensor.detach().cpu().contiguous().numpy().tobytes()]
        return digest(*parts)

    def batch_maps(self, pictures: Sequence[Picture]) -> list[Map]:
        """As for every predictor. A GPU whose memory is too small gets half as many, and from then on no more.

        Raises ArnError where it is too small for one.
        """
        try:
            return self._maps(pictures)
        except torch.OutOfMemoryError as error:
            if len(pictures) == 1:
                raise ArnError(f"the memory of {self.device} is too small for one picture; device=cpu") from error
            self.batch_size = len(pictures) // 2
        torch.cuda.empty_cache()  # here, for the error's traceback would hold on to the tensors
        return self.batch_maps(pictures[: self.batch_size])

    @torch.inference_mode()
    def _maps(self, pictures: Sequence[Picture]) -> list[Map]:
        batch = torch.from_numpy(self.resized(pictures)).to(self.place)
        small = self._forward(batch.permute(0, 3, 1, 2).float().div_(255))
        return [at_native_size(one, p.shape[:2]).cpu().numpy() for one, p in zip(small, pictures, strict=True)]

    @torch.inference_mode()
    def probabilities(self, squares: Floats) -> Floats:
        return self._forward(torch.from_numpy(squares).to(self.place)).cpu().numpy()

    def _forward(self, squares: Tensor) -> Tensor:
        """RGB B x 3 x S x S in 0..1 -> B x 1 x h x w in 0..1."""
        with torch.autocast(self.place.type, torch.bfloat16, enabled=self.bf16):
            logits = self._averaged(squares)[0]
        return torch.sigmoid(logits.float())

    def fitting_batch(self) -> int:
        """On CUDA as many as half of what is free holds, by what two black ones take; the rest is for other programs.

        Elsewhere the usual number.
        """
        if self.place.type != "cuda":
            return self.batch_size
        blank = np.zeros((self.input_size, self.input_size, 3), np.uint8)
        self._maps([blank])  # libraries take their share once
        torch.cuda.reset_peak_memory_stats(self.place)
        before = torch.cuda.memory_allocated(self.place)
        self._maps([blank, blank])
        each = (torch.cuda.max_memory_allocated(self.place) - before) / 2
        free, _ = torch.cuda.mem_get_info(self.place)
        return int(min(max(free / 2 // max(each, 1), 1), LARGEST_BATCH))


def native_map(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """1 x h x w logits -> H x W probabilities in 0..1: bilinear on the probabilities, float32."""
    return at_native_size(torch.sigmoid(logits.float()), size)


def at_native_size(probabilities: Tensor, size: tuple[int, ...]) -> Tensor:
    """1 x h x w in 0..1 -> H x W in 0..1, bilinear."""
    full = F.interpolate(probabilities.unsqueeze(0), size=size, mode="bilinear", align_corners=False)
    return full[0, 0].clamp_(0, 1)
