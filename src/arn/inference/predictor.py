"""From pictures of any size to maps of their sizes, through a model that takes squares of one size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from arn.data.transforms import resize
from arn.errors import ArnError
from arn.inference.weights import load_network


def input_side(network: nn.Module) -> int:
    """Side, in px, of the squares that a network takes its pictures as."""
    return int(getattr(network, "input_size", 224))


class SquarePredictor:
    """Pictures of any size in, maps of their sizes out, through a model that takes squares of one size.

    Attributes:
        name: of the model, for tables.
        input_size: side of the squares, px.
    """

    name: str
    input_size: int
    device = torch.device("cpu")

    def probabilities(self, squares: Tensor) -> Tensor:
        """float32 RGB B x 3 x S x S in 0..1 -> B x 1 x h x w in 0..1."""
        raise NotImplementedError

    @torch.inference_mode()
    def maps(self, pictures: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Maps of several pictures of any sizes, each at its own size.

        Args:
            pictures: uint8 RGB, H x W x 3.

        Returns:
            float32 H x W in 0..1, one a picture.
        """
        found = self.probabilities(self.squares(pictures))
        return [
            at_native_size(one, picture.shape[:2]).cpu().numpy() for one, picture in zip(found, pictures, strict=True)
        ]

    def predict(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB H x W x 3 -> float32 map H x W in 0..1."""
        return self.maps([picture])[0]

    def squares(self, pictures: list[NDArray[np.uint8]]) -> Tensor:
        """uint8 RGB H x W x 3 of any sizes -> float32 RGB B x 3 x S x S in 0..1, as the model takes them."""
        for picture in pictures:
            if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
                raise ValueError(f"a picture is uint8 H x W x 3, not {picture.dtype} {picture.shape}")
        side = self.input_size
        batch = torch.from_numpy(np.stack([resize(picture, side, side) for picture in pictures]))
        return batch.to(self.device).permute(0, 3, 1, 2).float().div_(255)


class Predictor(SquarePredictor):
    """A trained network as a function from picture to map.

    Attributes:
        network: in evaluation mode.
        config: the resolved config of the run that made it, or the config.json of its export.
        name: its run's name.
        bf16: run the network under bfloat16 autocast; float32 otherwise.
    """

    def __init__(
        self, network: nn.Module, config: dict[str, Any], device: str | torch.device = "cpu", bf16: bool = False
    ) -> None:
        self.device, self.bf16 = torch.device(device), bf16
        self.network = network.to(self.device).to(memory_format=torch.channels_last).eval()
        self.input_size = input_side(network)
        self.config = config
        self.name = str(config.get("name", "network"))

    @torch.inference_mode()
    def probabilities(self, squares: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.network(squares)[0]
        return torch.sigmoid(logits.float())


def native_map(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """1 x h x w logits -> H x W probabilities in 0..1: bilinear on the probabilities, float32."""
    return at_native_size(torch.sigmoid(logits.float()), size)


def at_native_size(probabilities: Tensor, size: tuple[int, ...]) -> Tensor:
    """1 x h x w in 0..1 -> H x W in 0..1, bilinear."""
    height, width = size
    full = F.interpolate(
        probabilities.unsqueeze(0), size=(height, width), mode="bilinear", align_corners=False, antialias=False
    )
    return full[0, 0].clamp_(0, 1)


def load(
    path: str | os.PathLike[str] = "arn_lite", device: str = "cpu", bf16: bool = False, mirror: bool | None = None
) -> SquarePredictor:
    """A trained network: one that came with the package, a checkpoint, a run folder, or what `arn export` wrote.

    >>> arn.load().predict(picture)
    >>> arn.load("outputs/train/latest").predict(picture)
    >>> arn.load("exported/model.onnx").predict(picture)

    Args:
        path: a name of :data:`SHIPPED`, ``*.ckpt``, ``*.safetensors`` with its config.json beside it, ``*.onnx``, or
            the folder of a run (its best checkpoint) or an export.
        device: of torch; an ONNX file runs on the CPU.
        bf16: run a network of torch under bfloat16 autocast.
        mirror: whether to average over the mirrored picture, better maps for twice the time; None: as was stored.

    Raises:
        ArnError: no such file, or not what ARN writes; `mirror` for an ONNX file, whose way is fixed, or for a network
            that has none.
    """
    if Path(path).suffix == ".onnx":
        from arn.inference.onnx import OnnxModel

        if mirror is not None:
            raise ArnError(f"mirror={str(mirror).lower()}: {path} is an ONNX file, where it is fixed; export it anew")
        return OnnxModel(path)
    network, config = load_network(path, mirror)
    return Predictor(network, config, device, bf16)
