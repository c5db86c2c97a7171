"""A trained network from whatever file or folder holds it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from arn.errors import ArnError
from arn.inference.onnx import OnnxPredictor
from arn.inference.predictor import Predictor, SquarePredictor
from arn.inference.weights import load_network


def load(
    path: str | os.PathLike[str] = "arn_lite",
    device: str = "cpu",
    bf16: bool = False,
    *,
    tta: str | None = None,
    mirror: bool | None = None,
) -> SquarePredictor:
    """A trained network: one that came with the package, a checkpoint, a run folder, or what `arn export` wrote.

    >>> arn.load().predict(picture)
    >>> arn.load("outputs/train/latest").predict(picture)
    >>> arn.load("exported/model.onnx").predict(picture)

    Args:
        path: a name of :data:`SHIPPED`, ``*.ckpt``, ``*.safetensors`` with its config.json beside it, ``*.onnx``, or
            the folder of a run (its best checkpoint) or an export.
        device: of torch, or ``auto``; an ONNX file runs on the CPU.
        bf16: run a network of torch under bfloat16 autocast.
        tta: ``flip`` averages over the mirrored picture, ``none`` does not; None: as was stored.
        mirror: the older spelling: True is ``flip``, False is ``none``.

    Raises ArnError for no such file, or not what ARN writes; for `tta` of an ONNX file, where it is fixed.
    """
    if mirror is not None:
        tta = "flip" if mirror else "none"
    if Path(path).suffix == ".onnx":
        if tta is not None:
            raise ArnError(f"tta={tta}: {path} is an ONNX file, where it is fixed; export it anew")
        return OnnxPredictor(path)
    predictor = Predictor(*load_network(path, tta), choose_device(device), bf16)
    predictor.source = str(path)
    return predictor


def choose_device(name: str) -> torch.device:
    """A device by torch's name, or ``auto``. Raises ArnError where there is none of that name."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ArnError(f"device={name}: {str(error).splitlines()[0]}") from error
    return device
