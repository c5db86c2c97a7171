"""A trained network from whatever file or folder holds it, in the runtime and on the device that suit it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from arn.errors import ArnError
from arn.inference.devices import may_have_gpu
from arn.inference.exports import GRAPH, shipped
from arn.inference.onnx import OnnxPredictor, available
from arn.inference.square import SquarePredictor

Runtime = Literal["auto", "torch", "onnx"]


def load(
    path: str | os.PathLike[str] = "arn_lite",
    device: str = "cpu",
    bf16: bool | None = False,
    *,
    tta: str | None = None,
    mirror: bool | None = None,
    runtime: str = "auto",
) -> SquarePredictor:
    """A trained network: one that came with the package, a checkpoint, a run folder, or what `arn export` wrote.

    >>> arn.load().predict(picture)
    >>> arn.load("outputs/train/latest").predict(picture)
    >>> arn.load("exported/model.onnx").predict(picture)

    Args:
        path: a name of :data:`SHIPPED`, ``*.ckpt``, ``*.safetensors`` with its config.json beside it, ``*.onnx``, or
            the folder of a run (its best checkpoint) or an export.
        device: of torch, or ``auto``; an ONNX file runs on the CPU.
        bf16: run a network of torch under bfloat16 autocast; None: where the device multiplies it in hardware.
        tta: ``flip`` averages over the mirrored picture, ``none`` does not; None: as was stored.
        mirror: the older spelling: True is ``flip``, False is ``none``.
        runtime: ``torch``; ``onnx``: ONNX Runtime, for an export or a shipped network with its model.onnx; ``auto``:
            ONNX Runtime where it is installed, for a shipped network that has its graph, on a CPU, as stored and in
            float32. That is the faster one, starts without importing torch, and differs by 1e-5.

    Raises ArnError for no such file, or not what ARN writes; for `tta` of an ONNX file, where it is fixed; where ONNX
    Runtime is asked for and cannot do it.
    """
    if mirror is not None:
        tta = "flip" if mirror else "none"
    if Path(path).suffix == ".onnx":
        if tta is not None:
            raise ArnError(f"tta={tta}: {path} is an ONNX file, where it is fixed; export it anew")
        if runtime == "torch":
            raise ArnError(f"runtime=torch: {path} is an ONNX file, which ONNX Runtime runs")
        return OnnxPredictor(path)
    if runtime == "onnx":
        graph = find_graph(path)
        if tta is not None or bf16 or device not in ("auto", "cpu"):
            raise ArnError("runtime=onnx runs on the CPU, in float32 and with the tta that the file has; runtime=torch")
        return _in_onnx(graph, path)
    if runtime != "torch" and tta in (None, "none") and not bf16 and str(path) in shipped():
        graph = shipped()[str(path)] / GRAPH
        on_cpu = device == "cpu" or (device == "auto" and not may_have_gpu())
        if on_cpu and graph.is_file() and available("onnxruntime"):
            return _in_onnx(graph, path)
    from arn.inference.devices import choose_device, multiplies_bf16
    from arn.inference.predictor import Predictor
    from arn.inference.weights import load_network

    place = choose_device(device)
    network, config = load_network(path, tta)
    predictor = Predictor(network, config, place, multiplies_bf16(place) if bf16 is None else bf16)
    predictor.source = str(path)
    return predictor


def find_graph(path: str | os.PathLike[str]) -> Path:
    """The ONNX file of a shipped network or an export's folder. Raises ArnError where there is none."""
    folder = shipped().get(str(path), Path(path))
    graph = (folder.parent if folder.suffix == ".safetensors" else folder) / GRAPH
    if not graph.is_file():
        raise ArnError(f"runtime=onnx: {path} has no {GRAPH}; `arn export` writes one of any checkpoint")
    return graph


def _in_onnx(graph: Path, path: str | os.PathLike[str]) -> OnnxPredictor:
    predictor = OnnxPredictor(graph)
    predictor.source = str(path)
    return predictor
