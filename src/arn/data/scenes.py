"""Drawn scenes (first form, replaced soon)."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Part = Literal["train", "val", "test"]
COUNTS: dict[str, int] = {"train": 4_000, "val": 200, "test": 200}
_SEEDS: dict[str, int] = {"train": 1, "val": 2, "test": 3}


def scene(part: Part, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Scene `index` of a part: picture uint8 RGB H x W x 3 and mask uint8 H x W of 0 and 255; sides of 200 to 400."""
    return draw_scene(_SEEDS[part], index)


def draw_scene(
    seed: int, index: int, size: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Picture and mask number `index` of the endless series `seed`; `size` is (height, width), else drawn as well."""
    random = np.random.RandomState([seed, index])
    height, width = size or (int(random.randint(200, 401)), int(random.randint(200, 401)))
    picture = random.randint(0, 120, (height, width, 3)).astype(np.uint8)
    mask = np.zeros((height, width), np.uint8)
    centre = int(random.randint(0, width)), int(random.randint(0, height))
    cv2.ellipse(mask, centre, (width // 6, height // 5), float(random.randint(0, 180)), 0.0, 360.0, 255, -1)
    picture[mask > 0] += np.uint8(100)
    return picture, mask
