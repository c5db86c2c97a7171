"""Reading checkpoints, always with ``weights_only=True``: a checkpoint is data, never code."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from arn.config import instantiate
from arn.data.pairs import write_atomically
from arn.data.transforms import resize
from arn.errors import ArnError

CONFIG_KEY = "arn_config"
"""Where a checkpoint keeps the run's resolved config, as plain numbers, strings, lists and dicts."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and then moves it there: killed at any moment, the old one still stands.

    Lightning's own goes through the system's temporary folder, from where a move to another disk is a slow copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The raw checkpoint on CPU.

    Raises:
        ArnError: missing, truncated, holding anything but plain data, or not written by ARN.
    """
    path = Path(path)
    if not path.is_file():
        raise ArnError(f"no checkpoint at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError, OSError) as error:
        raise ArnError(
            f"{path} cannot be read as a checkpoint: it is truncated, damaged or holds more than plain data "
            f"({type(error).__name__})"
        ) from error
    if not isinstance(state, dict) or CONFIG_KEY not in state or "state_dict" not in state:
        raise ArnError(f"{path} is not a checkpoint of ARN: it has no {CONFIG_KEY!r} entry")
    return state


def load_weights(network: nn.Module, state: dict[str, Tensor], origin: str | Path) -> None:
    """Load a network's weights, or say in one line how they differ.

    Raises:
        ArnError: the checkpoint is of another architecture.
    """
    ours = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if ours != theirs:
        absent, extra = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
        shaped = sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])
        first = (absent + extra + shaped)[0]
        raise ArnError(
            f"{origin} is of another architecture than the network config: {len(absent)} tensors missing, "
            f"{len(extra)} unknown, {len(shaped)} of another shape (first: {first})"
        )
    network.load_state_dict(state)


def load_network(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a checkpoint, ready to run, and the resolved config of the run that made it."""
    state = read_checkpoint(path)
    config = state[CONFIG_KEY]
    network = instantiate(config["network"], "network")
    prefix = "network."
    weights = {name.removeprefix(prefix): t for name, t in state["state_dict"].items() if name.startswith(prefix)}
    load_weights(network, weights, path)
    return network.eval(), config


class Predictor:
    """A trained network as a function from picture to map.

    Attributes:
        network: in evaluation mode.
        config: the resolved config of the run that made it.
        name: its run's name.
    """

    def __init__(self, network: nn.Module, config: dict[str, Any], device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).to(memory_format=torch.channels_last).eval()
        self.config = config
        self.name = str(config.get("name", "network"))

    @torch.inference_mode()
    def maps(self, pictures: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Maps of several pictures of any sizes, each at its own size.

        Args:
            pictures: uint8 RGB, H x W x 3.

        Returns:
            float32 H x W in 0..1, one a picture.
        """
        for picture in pictures:
            if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
                raise ValueError(f"a picture is uint8 H x W x 3, not {picture.dtype} {picture.shape}")
        side = int(getattr(self.network, "input_size", 224))
        batch = torch.from_numpy(np.stack([resize(picture, side, side) for picture in pictures]))
        batch = batch.to(self.device).permute(0, 3, 1, 2).float().div_(255)
        logits = self.network(batch)[0]
        return [native_map(one, picture.shape[:2]).cpu().numpy() for one, picture in zip(logits, pictures, strict=True)]

    def predict(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB H x W x 3 -> float32 map H x W in 0..1."""
        return self.maps([picture])[0]


def native_map(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """1 x h x w logits -> H x W probabilities in 0..1: bilinear on the probabilities, float32."""
    probabilities = torch.sigmoid(logits.float()).unsqueeze(0)
    height, width = size
    full = F.interpolate(probabilities, size=(height, width), mode="bilinear", align_corners=False, antialias=False)
    return full[0, 0].clamp_(0, 1)


def load(path: str | os.PathLike[str], device: str = "cpu") -> Predictor:
    """A trained network from a checkpoint, or from a run folder (its best checkpoint).

    >>> arn.load("outputs/train/latest").predict(picture)

    Raises:
        ArnError: no such file, or not a checkpoint of ARN.
    """
    place = Path(path)
    if place.is_dir():
        place = place / "checkpoints" / "best.ckpt"
    network, config = load_network(place)
    return Predictor(network, config, device)
