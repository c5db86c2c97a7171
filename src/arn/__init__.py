"""ARN: train, ablate and honestly benchmark the attentional recurrent network for salient object detection.

>>> import arn
>>> saliency = arn.load("outputs/train/.../checkpoints/best.ckpt")
>>> saliency.predict(picture)   # uint8 RGB, H x W x 3  ->  float32 map in 0..1, H x W

Attributes load on first use, so that importing the package (and `arn --help`) does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from arn import data, metrics, networks
    from arn.inference.loading import load

_LAZY_MODULES = ("data", "metrics", "networks")

__all__ = ["__version__", "data", "load", "metrics", "networks"]


def __getattr__(name: str) -> Any:
    if name == "load":
        return importlib.import_module("arn.inference.loading").load
    if name in _LAZY_MODULES:
        return importlib.import_module(f"arn.{name}")
    raise AttributeError(f"module 'arn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
