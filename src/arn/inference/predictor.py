"""From pictures of any size to maps of their sizes, through a network that takes squares of one size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from arn.data.transforms import resize
from arn.files import digest
from arn.inference.methods import Kind, Map, Picture
from arn.inference.tta import with_tta
from arn.networks.base import SaliencyNetwork
from arn.provenance import code_version


class SquarePredictor(ABC):
    """A :class:`arn.inference.methods.Method` whose network takes squares of one size."""

    kind: Kind
    name: str
    source: str
    trained_on: tuple[str, ...] | None = None
    parameters: int | None = None
    batch_size = 8
    input_size: int  # side of the squares, px
    place = torch.device("cpu")  # where torch holds the squares

    @property
    def device(self) -> str:
        """As tables say it: ``NVIDIA H100`` or ``CPU, 2 threads``."""
        if self.place.type == "cuda":
            return str(torch.cuda.get_device_name(self.place))
        return f"CPU, {torch.get_num_threads()} threads" if self.place.type == "cpu" else self.place.type.upper()

    @property
    @abstractmethod
    def fingerprint(self) -> bytes: ...

    @abstractmethod
    def probabilities(self, squares: Tensor) -> Tensor:
        """float32 RGB B x 3 x S x S in 0..1 -> B x 1 x h x w in 0..1."""

    @torch.inference_mode()
    def maps(self, pictures: Sequence[Picture]) -> list[Map]:
        """uint8 RGB H x W x 3 of any sizes -> float32 H x W in 0..1, each at its own size."""
        small = self.probabilities(self.squares(pictures))
        return [at_native_size(one, p.shape[:2]).cpu().numpy() for one, p in zip(small, pictures, strict=True)]

    def __call__(self, pictures: Any, batch_size: int | None = None) -> Any:
        """The map of a picture, or of each of many, in the kind that was given: see :mod:`arn.inference.anything`."""
        from arn.inference.anything import of_anything

        return of_anything(self, pictures, lambda picture, found: found, batch_size)

    def predict(self, picture: Picture) -> Map:
        """uint8 RGB H x W x 3 -> float32 map H x W in 0..1."""
        return self.maps([picture])[0]

    def squares(self, pictures: Sequence[Picture]) -> Tensor:
        """uint8 RGB H x W x 3 of any sizes -> float32 RGB B x 3 x S x S in 0..1, as the network takes them."""
        for picture in pictures:
            if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
                raise ValueError(f"a picture is uint8 H x W x 3, not {picture.dtype} {picture.shape}")
        side = self.input_size
        batch = torch.from_numpy(np.stack([resize(picture, side, side) for picture in pictures]))
        return batch.to(self.place).permute(0, 3, 1, 2).float().div_(255)


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
        self.network: SaliencyNetwork = network.to(self.place).to(memory_format=torch.channels_last).eval()
        self.tta = str(config.get("tta") or "none")
        self._averaged = with_tta(self.network, self.tta)
        self.input_size, self.config = network.input_size, config
        self.name = str(config.get("name", "network"))
        trained_on = config.get("trained_on") or (config.get("data") or {}).get("train") or ()
        self.trained_on = tuple(map(str, trained_on)) or None
        self.parameters = sum(parameter.numel() for parameter in network.parameters())

    @cached_property
    def fingerprint(self) -> bytes:
        parts: list[str | bytes] = ["checkpoint", torch.__version__, self.place.type, str(self.bf16), self.tta]
        parts.append(code_version("arn.networks", "arn.inference", "arn.data.transforms"))
        parts.append(repr(sorted((self.config.get("network") or {}).items())))
        for key, tensor in self.network.state_dict().items():
            parts += [key, str(tensor.dtype), tensor.detach().cpu().contiguous().numpy().tobytes()]
        return digest(*parts)

    @torch.inference_mode()
    def probabilities(self, squares: Tensor) -> Tensor:
        with torch.autocast(self.place.type, torch.bfloat16, enabled=self.bf16):
            logits = self._averaged(squares)[0]
        return torch.sigmoid(logits.float())


def native_map(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """1 x h x w logits -> H x W probabilities in 0..1: bilinear on the probabilities, float32."""
    return at_native_size(torch.sigmoid(logits.float()), size)


def at_native_size(probabilities: Tensor, size: tuple[int, ...]) -> Tensor:
    """1 x h x w in 0..1 -> H x W in 0..1, bilinear."""
    full = F.interpolate(probabilities.unsqueeze(0), size=size, mode="bilinear", align_corners=False)
    return full[0, 0].clamp_(0, 1)
