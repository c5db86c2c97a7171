"""Boundary IoU (Cheng et al., CVPR 2021, eq. 3) of the binary maps at 256 thresholds and at the adaptive one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arn.metrics import kernels
from arn.metrics.measure import from_counts
from arn.metrics.measures.iou import iou
from arn.metrics.picture import Counts, Picture

WIDTH = 0.02  # of the picture's diagonal, as the authors set it


def eroded(levels: NDArray[Any]) -> NDArray[Any]:
    """Of uint8 or uint16 H x W, the lowest value as far around each pixel as a boundary is wide; 0 outside the picture.

    A binary map without its boundary is the eroded map at the same threshold, so that one erosion serves all 256.
    """
    import cv2

    width = max(1, round(WIDTH * math.hypot(*levels.shape)))
    square = np.ones((3, 3), np.uint8)
    return cv2.erode(levels, square, iterations=width, borderType=cv2.BORDER_CONSTANT, borderValue=0)


def counts_of(picture: Picture) -> tuple[Counts, Counts]:
    """Of the boundaries: pixels in both, in the map's alone, in the mask's, and the others."""
    truth, adaptive = (_boundary(side) for side in (picture.foreground, picture.adaptive))
    bins = picture.bins
    inner = eroded(bins)
    fg, bg = (_histogram(bins[side]) - _histogram(inner[side]) for side in (truth, ~truth))
    tp, fp, *_ = kernels.cumulated(fg, bg, np.arange(257))
    sides = int(truth.sum()), int((~truth).sum())
    hits, misses = (np.asarray(np.count_nonzero(adaptive & side)) for side in (truth, ~truth))
    return Counts(tp, fp, *sides), Counts(hits, misses, *sides)


def _boundary(binary: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inner = eroded(binary.view(np.uint8)).view(np.bool_)
    return binary & ~inner


def _histogram(bins: NDArray[np.uint16]) -> NDArray[np.int64]:
    return np.bincount(bins, minlength=257)


MEASURE = from_counts("biou", 8, iou, "boundary IoU", "intersection over union of boundaries", counts_of=counts_of)
