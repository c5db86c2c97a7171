"""``arn export``: a trained network as safetensors, config.json and ONNX, checked on pictures before it is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor, nn

from arn import __version__
from arn.config.compose import run_hydra
from arn.config.requests import ExportRequest
from arn.data.catalogue import CATALOGUE
from arn.data.sources import find_source
from arn.errors import ArnError
from arn.files import new_folder
from arn.inference.exports import EXPORT_FORMAT, TTA_FORMAT
from arn.inference.graph import write_onnx
from arn.inference.methods import Picture
from arn.inference.onnx import OnnxPredictor, require
from arn.inference.predictor import Predictor
from arn.inference.square import SquarePredictor
from arn.inference.tta import with_tta
from arn.inference.weights import find_weights, load_network
from arn.networks.base import GradientFreeNetwork, SaliencyNetwork
from arn.runs import Run

FILES = ("config.json", "model.onnx", "model.safetensors")
PICTURES = 8  # that an export is checked on
TOLERANCE = 1e-4  # of a map in 0..1, between ONNX Runtime and torch: a fortieth of a gray level
HALF_TOLERANCE = 1e-2  # the same, between weights in float16 and in float32: two and a half gray levels

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> None:
    run_hydra("export", recipe, arguments)


def recipe(config: DictConfig) -> None:
    request = ExportRequest.of(config)
    output = Path(request.output)
    check_output(output)
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package)
    network, config_of_run = load_network(request.checkpoint, request.tta)
    if isinstance(network, GradientFreeNetwork):
        raise ArnError(
            f"checkpoint={request.checkpoint}: {type(network).__name__} works outside torch and has no ONNX form; use "
            "its checkpoint as it is"
        )
    described = describe(network, config_of_run, find_weights(request.checkpoint), request.half)
    original, sample = Predictor(network, config_of_run), sample_pictures(config_of_run)
    with new_folder(output) as folder:
        weights = stored(network, request.half, request.float32_up_to)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n")
        shutil.copymode(folder / "config.json", folder / "model.safetensors")  # safetensors keeps it to the user
        # From here on with what was read back: the ONNX file and the checks are of the files, not of the memory.
        again, config_again = load_network(folder)
        write_onnx(with_tta(again, config_again["tta"]), folder / "model.onnx", onnx_metadata(described))
        exported, onnx = Predictor(again, config_again), OnnxPredictor(folder / "model.onnx")
        allowed = HALF_TOLERANCE if request.half else TOLERANCE
        checks = [
            check("model.safetensors", exported, "the checkpoint", original, allowed, sample),
            check("model.onnx", onnx, "model.safetensors in torch", exported, TOLERANCE, sample),
        ]
        sizes = {name: (folder / name).stat().st_size for name in FILES}

    console.print(f"{len(sample.pictures)} pictures of {sample.origin}; maps, in 0..1, differ by at most")
    for line in checks:
        console.print(f"  {line}")
    for name, size in sizes.items():
        console.print(f"written: {output / name} ({size / 1e6:,.1f} MB)" if size > 1e5 else f"written: {output / name}")


def check_output(output: Path) -> None:
    """Raises ArnError unless ``output`` is new, an empty folder or an earlier export."""
    if output.exists() and not output.is_dir():
        raise ArnError(f"output={output} is a file; name a folder")
    others = sorted(path.name for path in output.iterdir() if path.name not in FILES) if output.is_dir() else []
    if others:
        raise ArnError(f"output={output} holds other files ({others[0]}); name a folder of the export's own")
    if output.is_dir() and any(output.iterdir()) and not _is_export(output):
        raise ArnError(f"output={output} holds another program's files; name a folder of the export's own")


def _is_export(folder: Path) -> bool:
    try:
        described = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(described, dict) and described.get("format") in (EXPORT_FORMAT, TTA_FORMAT)


def describe(network: SaliencyNetwork, config: Mapping[str, Any], weights: Path, half: bool) -> dict[str, Any]:
    """What config.json says; `config` is the run's, or an earlier export's, `weights` the file that was read."""
    if weights.suffix == ".safetensors":
        trained_on, commit = config.get("trained_on", []), config.get("commit")
    else:
        # A folder of the user's own is known by its name: where it lay is nobody else's business.
        trained_on = [Path(name).name for name in (config.get("data") or {}).get("train") or []]
        commit = (Run.of_checkpoint(weights).record() or {}).get("commit")
    return {
        **({"format": TTA_FORMAT, "tta": "flip"} if config.get("tta") == "flip" else {"format": EXPORT_FORMAT}),
        "name": config.get("name", "network"),
        "network": config["network"],
        "input_size": network.input_size,
        "weights": "float16" if half else "float32",
        "trained_on": trained_on,
        "commit": commit,
        "arn": __version__,
    }


def onnx_metadata(described: Mapping[str, Any]) -> dict[str, str]:
    told = {key: described[key] for key in ("name", "input_size", "commit", "arn")}
    told["format"] = EXPORT_FORMAT  # averaging over mirror images is inside, so that every ARN reads it rightly
    told["trained_on"] = ", ".join(described["trained_on"])
    return {f"arn.{key}": str(value) for key, value in told.items() if value is not None}


def stored(network: nn.Module, half: bool, kept: int) -> dict[str, Tensor]:
    """The weights as they are written: with ``half``, tensors of more than ``kept`` values as float16.

    Raises ArnError naming a weight that float16 cannot hold.
    """
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if not half:
        return weights
    # Small tensors (BatchNorm's, the first and the depthwise kernels) take no room, and each value acts on much:
    # keeping them cuts the error of the maps to a third.
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.numel() > kept:
            weights[name] = tensor.half()
        if not weights[name].isfinite().all():
            raise ArnError(f"half=true: {name} has values beyond the range of float16; export without it")
    return weights


class Sample(NamedTuple):
    """Pictures that an export is checked on, uint8 RGB H x W x 3, and the name of the data set they are from."""

    pictures: list[Picture]
    origin: str


def sample_pictures(config: Mapping[str, Any]) -> Sample:
    """Pictures spread evenly over a test set of the run, else over any data set that is here, else drawn scenes."""
    tests = [str(name).partition("@")[0] for name in (config.get("data") or {}).get("test") or []]
    for name in (*(name for name in tests if name != "scenes"), *CATALOGUE, "scenes"):
        try:
            source = find_source(name)
        except ArnError:
            continue
        count = len(source.stems)
        indices = sorted({round(i) for i in np.linspace(0, count - 1, min(PICTURES, count))})
        return Sample([source.read(index)[0] for index in indices], "drawn scenes" if name == "scenes" else name)
    raise AssertionError("drawn scenes are always there")


def check(
    file: str, one: SquarePredictor, reference: str, other: SquarePredictor, allowed: float, sample: Sample
) -> str:
    """Hold a file of the export against what it should equal, over batches of one picture and of several.

    Returns a line on the largest difference before maps are brought to native size; raises ArnError above `allowed`.
    """
    pictures, differences = sample.pictures, []
    for batch in (pictures[:1], *(pictures[i : i + 3] for i in range(1, len(pictures), 3))):
        squares = one.squares(batch)
        differences.append(np.abs(one.probabilities(squares) - other.probabilities(squares)).max())
    difference = float(np.max(differences))
    if not difference <= allowed:  # NaN fails this as well
        raise ArnError(
            f"{file} gives other maps than {reference}: by up to {difference:.1e} on pictures of {sample.origin}, "
            f"where {allowed:g} is allowed; nothing was written"
        )
    return f"{difference:.1e} between {file} and {reference} (allowed: {allowed:g})"
