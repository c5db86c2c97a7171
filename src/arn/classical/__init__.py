"""Training-free methods of the comparison set: a picture in, a map out, nothing learned and nothing downloaded.

A method takes a picture (uint8 RGB, H x W x 3) and returns its map (float32, H x W, 0..1, at the picture's own size).
Each is deterministic and accepts every picture down to 1 x 1; a picture without contrast gets a map of zeros, and
anything else raises ValueError.

>>> from arn.classical import METHODS, mb_plus
>>> saliency = mb_plus(picture)  # the same as METHODS["mb_plus"](picture)

`METHODS` holds what `arn bench methods=[...]` and `arn predict method=...` can name. Each loads numba and OpenCV on its
first call. Its constants are keyword arguments of the function of its module.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

Method = Callable[[np.ndarray], np.ndarray]

# name -> (module, function)
_FUNCTIONS = {
    "mb": ("mbd", "mb"),
    "mb_plus": ("mbd", "mb_plus"),
    "rbd": ("robust_background", "rbd"),
    "hc": ("histogram_contrast", "hc"),
    "rc": ("region_contrast", "rc"),
    "itti_koch": ("centre_surround", "itti_koch"),
}


def _deferred(name: str, module: str, function: str) -> Method:

    def method(picture: np.ndarray, **constants: Any) -> np.ndarray:
        return getattr(importlib.import_module(f"{__name__}.{module}"), function)(picture, **constants)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"See `{__name__}.{module}.{function}`."
    return method


METHODS: dict[str, Method] = {name: _deferred(name, *where) for name, where in _FUNCTIONS.items()}

globals().update(METHODS)  # from arn.classical import rbd

if TYPE_CHECKING:

    def __getattr__(name: str) -> Method: ...


__all__ = ["METHODS", "Method", *METHODS]
