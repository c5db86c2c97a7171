"""A map as an image to look at: gray levels, the object in colour over a dimmed ground, or the object alone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from arn.data.cutouts import cutout
from arn.inference.methods import Map, Picture

Image = NDArray[np.uint8]


def render(picture: Picture, saliency: Map, kind: str) -> Image:
    """Picture uint8 H x W x 3 and map H x W in 0..1 -> uint8 overlay (RGB), cutout (RGBA) or map (gray)."""
    if kind == "cutout":
        return cutout(picture, saliency)
    if kind == "overlay":
        return overlay(picture, saliency)
    return np.round(saliency * 255).astype(np.uint8)


def overlay(picture: Picture, saliency: Map) -> Image:
    """The object in its colours, the rest dimmed and gray."""
    weight = saliency[..., None]
    gray = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.float32)
    return np.round(picture * weight + 0.35 * gray * (1 - weight)).astype(np.uint8)


def encode(image: Image, suffix: str) -> bytes:
    """RGB or RGBA as the bytes of a file, ``.png`` or ``.jpg``."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    done, data = cv2.imencode(suffix, bgr)
    assert done
    return data.tobytes()
