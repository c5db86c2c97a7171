"""Reading trained networks: checkpoints, always with ``weights_only=True``, and exports. A file is data, never code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from arn.config.instantiate import instantiate
from arn.config.upgrade import stored_tta, upgrade_config
from arn.errors import ArnError
from arn.inference.exports import SHIPPED, WEIGHTS, check_format, shipped
from arn.networks.base import SaliencyNetwork
from arn.runs import Run

CONFIG_KEY = "arn_config"
"""Where a checkpoint keeps the run's resolved config, as plain numbers, strings, lists and dicts."""


LARGEST_INPUT = 8192  # px; a batch of one is a gigabyte already


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The raw checkpoint on CPU. Raises ArnError if missing, truncated, more than plain data or not written by ARN."""
    path = Path(path)
    if not path.is_file():
        raise ArnError(f"no checkpoint at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged pickle torch raises whatever comes
        raise ArnError(
            f"{path} cannot be read as a checkpoint: it is truncated, damaged or holds more than plain data "
            f"({type(error).__name__})"
        ) from error
    if not isinstance(state, dict) or CONFIG_KEY not in state or "state_dict" not in state:
        raise ArnError(f"{path} is not a checkpoint of ARN: it has no {CONFIG_KEY!r} entry")
    weights = state["state_dict"]
    if not isinstance(weights, dict) or not all(map(_is_weight, weights.items())):
        raise ArnError(f"{path} is damaged: its state_dict holds more than tensors by name")
    return state


def _is_weight(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def load_weights(network: nn.Module, state: dict[str, Tensor], origin: str | Path) -> None:
    """Load a network's weights. Raises ArnError that says how they differ, if of another architecture."""
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
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ArnError(f"{origin}: {name} holds values that are no numbers: the training diverged")
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, NotImplementedError) as error:  # of tensors of another kind
        raise ArnError(f"{origin} cannot be loaded: {str(error).splitlines()[-1].strip()}") from error


def read_export(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config.json beside a safetensors file of `arn export`, and the file's tensors on CPU.

    Raises ArnError if either file is missing, damaged, not written by ARN or of a newer format.
    """
    beside = path.with_name("config.json")
    for file in (path, beside):
        if not file.is_file():
            raise ArnError(f"no {file.name} at {file}: `arn export` writes {path.name} and {beside.name} side by side")
    try:
        config = json.loads(beside.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ArnError(f"{beside} is no JSON ({error}): export the checkpoint again") from error
    if not isinstance(config, dict) or "format" not in config or not isinstance(config.get("network"), dict):
        raise ArnError(f"{beside} was not written by `arn export`: it has no 'format' and 'network'")
    check_format(config["format"], beside)
    try:
        return config, load_file(path)
    except Exception as error:  # its own and torch's
        raise ArnError(f"{path} cannot be read: it is truncated, damaged or no safetensors file ({error})") from error


def find_weights(path: str | os.PathLike[str]) -> Path:
    """The file of weights that a path means: itself, a shipped network's, an export's, or a run's best checkpoint.

    Raises ArnError for a folder that is none of them, or a network that this installation came without.
    """
    here = shipped()
    if str(path) in here:
        return here[str(path)] / WEIGHTS
    if str(path) in SHIPPED:
        raise ArnError(
            f"{path}: no weights of this network came with this installation (of {', '.join(here) or 'no other'} they "
            f"did); train it, or write ./{path} for a folder of that name"
        )
    place = Path(path)
    if not place.is_dir():
        return place
    for file in (Run(place).best, place / WEIGHTS):
        if file.is_file():
            return file
    if (place / "config.json").is_file():
        raise ArnError(f"{place} is an export without its model.safetensors")
    raise ArnError(f"{place} is neither a run folder (no checkpoints/best.ckpt) nor an export (no model.safetensors)")


def build_network(config: Mapping[str, Any], place: str = "network") -> SaliencyNetwork:
    """The network that a config names, with weights as it starts. Raises ArnError if it names anything else."""
    network = instantiate(config, place, "network")
    if not isinstance(network, SaliencyNetwork):
        raise ArnError(
            f"{place}: {config.get('_target_')} is no network to make maps with; derive it from "
            "arn.networks.SaliencyNetwork"
        )
    side = getattr(network, "input_size", None)
    if not isinstance(side, int) or not 1 <= side <= LARGEST_INPUT:
        raise ArnError(f"{place}.input_size={side}: must be a number of pixels from 1 to {LARGEST_INPUT}")
    return network


def load_network(path: str | os.PathLike[str], tta: str | None = None) -> tuple[SaliencyNetwork, dict[str, Any]]:
    """The network of a checkpoint or an export, ready to run, in float32, and its config.

    The config is the resolved one of the run, or the config.json of the export, in the present spelling and with the
    ``tta`` that maps are to be made with: the argument, or as stored. The network is without it.

    Raises ArnError if the file cannot be read, its config names no network, or the weights do not fit it.
    """
    place = find_weights(path)
    if place.suffix == ".safetensors":
        config, weights = read_export(place)
    else:
        state = read_checkpoint(place)
        config, prefix = state[CONFIG_KEY], "network."
        weights = {name.removeprefix(prefix): t for name, t in state["state_dict"].items() if name.startswith(prefix)}
    if not isinstance(config, Mapping) or not isinstance(config.get("network"), Mapping):
        raise ArnError(f"{place} names no network: its config has no network._target_")
    config = {**upgrade_config(config), "tta": tta or stored_tta(config)}
    if "_target_" not in config["network"]:
        raise ArnError(f"{place} names no network: its config has no network._target_")
    data = config.get("data")
    if "data" in config and not isinstance(data, Mapping):
        config["data"] = {}
    trained_on = config.get("trained_on") or (data.get("train") if isinstance(data, Mapping) else None) or ()
    config["trained_on"] = list(map(str, trained_on)) if isinstance(trained_on, list | tuple) else []
    if config["tta"] not in ("flip", "none"):
        raise ArnError(f"{place}: tta={config['tta']} must be flip or none")
    network = build_network(config["network"], f"{place}: network")
    load_weights(network, weights, place)
    return network.eval(), config
