"""Reading trained networks: checkpoints, always with ``weights_only=True``, and exports. A file is data, never code."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from arn.config import instantiate
from arn.data.transforms import resize
from arn.errors import ArnError

CONFIG_KEY = "arn_config"
"""Where a checkpoint keeps the run's resolved config, as plain numbers, strings, lists and dicts."""

EXPORT_FORMAT = 1
"""Version of what `arn export` writes; to be raised when an older ARN could not read it rightly."""


SHIPPED = {"arn_lite": "ARN-Lite", "arn": "ARN"}
"""Trained networks that may come with the package, by the name that `arn.load` takes, and what tables call them."""

_PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"


def shipped() -> dict[str, Path]:
    """The trained networks that came with this installation: name -> export folder."""
    return {name: _PRETRAINED / name for name in SHIPPED if (_PRETRAINED / name / "model.safetensors").is_file()}


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


def read_export(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config.json beside a safetensors file of `arn export`, and the file's tensors on CPU.

    Raises:
        ArnError: either file is missing, damaged or not written by ARN, or is of a newer format.
    """
    beside = path.with_name("config.json")
    for file in (path, beside):
        if not file.is_file():
            raise ArnError(f"no {file.name} at {file}: `arn export` writes {path.name} and {beside.name} side by side")
    try:
        config = json.loads(beside.read_bytes())
    except ValueError as error:
        raise ArnError(f"{beside} is no JSON ({error}): export the checkpoint again") from error
    if not isinstance(config, dict) or "format" not in config or not isinstance(config.get("network"), dict):
        raise ArnError(f"{beside} was not written by `arn export`: it has no 'format' and 'network'")
    check_format(config["format"], beside)
    try:
        return config, load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ArnError(f"{path} cannot be read: it is truncated, damaged or no safetensors file ({error})") from error


def check_format(version: object, origin: str | Path) -> None:
    """Raises ArnError unless this ARN can read what `arn export` wrote under this format version."""
    if str(version) != str(EXPORT_FORMAT):
        raise ArnError(f"{origin} is of export format {version}, and this ARN reads {EXPORT_FORMAT}: update ARN")


def find_weights(path: str | os.PathLike[str]) -> Path:
    """The file of weights that a path means: itself, an export folder's, or the best checkpoint of a run folder.

    The name of a shipped network (`arn_lite`) means that one; a folder of the same name is `./arn_lite`.

    Raises:
        ArnError: a folder that is neither, or a network that this installation came without.
    """
    here = shipped()
    if str(path) in here:
        return here[str(path)] / "model.safetensors"
    if str(path) in SHIPPED:
        raise ArnError(
            f"{path}: no weights of this network came with this installation (of {', '.join(here) or 'no other'} they "
            f"did); train it, or write ./{path} for a folder of that name"
        )
    place = Path(path)
    if not place.is_dir():
        return place
    for file in (place / "checkpoints" / "best.ckpt", place / "model.safetensors"):
        if file.is_file():
            return file
    if (place / "config.json").is_file():
        raise ArnError(f"{place} is an export without its model.safetensors")
    raise ArnError(f"{place} is neither a run folder (no checkpoints/best.ckpt) nor an export (no model.safetensors)")


def load_network(path: str | os.PathLike[str], mirror: bool | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a checkpoint or an export, ready to run, in float32.

    Args:
        mirror: whether maps are averaged over the mirrored picture, as `network.mirror` says it; None: as stored.

    Returns:
        The network, and the resolved config of the run that made it, or the config.json of the export.

    Raises:
        ArnError: see :func:`read_checkpoint`, :func:`read_export` and :func:`load_weights`; or a network that has no
            `mirror`.
    """
    place = find_weights(path)
    if place.suffix == ".safetensors":
        config, weights = read_export(place)
    else:
        state = read_checkpoint(place)
        config, prefix = state[CONFIG_KEY], "network."
        weights = {name.removeprefix(prefix): t for name, t in state["state_dict"].items() if name.startswith(prefix)}
    network = instantiate(config["network"], f"{place}: network", allowed=("arn.networks.", "arn.classical."))
    if not isinstance(network, nn.Module):
        raise ArnError(f"{place} names no network: its config has no network._target_")
    load_weights(network, weights, place)
    if mirror is not None:
        if not hasattr(network, "mirror"):
            raise ArnError(f"mirror={str(mirror).lower()}: {type(network).__name__} of {place} does not know it")
        network.mirror = mirror  # type: ignore[assignment]
        config = {**config, "network": {**config["network"], "mirror": mirror}}
    return network.eval(), config


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
        from arn.training.onnx import OnnxModel

        if mirror is not None:
            raise ArnError(f"mirror={str(mirror).lower()}: {path} is an ONNX file, where it is fixed; export it anew")
        return OnnxModel(path)
    network, config = load_network(path, mirror)
    return Predictor(network, config, device, bf16)
