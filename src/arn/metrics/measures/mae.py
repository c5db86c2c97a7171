"""Mean absolute error (Perazzi et al., CVPR 2012, eq. 9)."""

from __future__ import annotations

import numpy as np
from numba import njit

from arn.metrics.kernels import Array, Int
from arn.metrics.measure import Column, Label, Measure, Score
from arn.metrics.picture import Picture


def of_picture(picture: Picture) -> dict[str, float]:
    protocol = picture.protocol
    if picture.given is not None:
        same = protocol.mae_normalise == protocol.normalise
        values = picture.values if same else picture.normalised(protocol.mae_normalise)
        level = -1 if protocol.mae_mask_level is None else protocol.mae_mask_level
        error = absolute_error(values, picture.gray, level)
    elif protocol.mae_mask_level is None:
        error = difference_sum(picture.levels, picture.gray) / 255.0
    else:
        scale = _affine(*picture.extent, protocol.mae_normalise)
        error = histogram_error(*picture.split(protocol.mae_mask_level), *scale)
    return {"mae": error / picture.size}


def _affine(lowest: int, highest: int, normalise: str) -> tuple[int, int]:
    """Offset and scale of a normalisation of levels: value = (level - offset) / scale."""
    if normalise == "minmax" and highest > lowest:
        return lowest, highest - lowest
    if normalise == "max" and highest > 0:
        return 0, highest
    return 0, 255


@njit(cache=True, nogil=True)
def difference_sum(levels: Array, gray: Array) -> Int:
    """Sum of |map - mask| in levels, of uint8 arrays."""
    p, m = levels.reshape(-1), gray.reshape(-1)
    total = np.int64(0)
    for i in range(p.size):
        total += abs(np.int32(p[i]) - np.int32(m[i]))
    return total


@njit(cache=True, nogil=True)
def histogram_error(fg: Array, bg: Array, offset: int, scale: int) -> float:
    """Sum of |map - mask| from counts by level (256); value = (level - offset) / scale."""
    total = 0
    for level in range(256):
        total += fg[level] * (scale - (level - offset)) + bg[level] * (level - offset)
    return total / scale


@njit(cache=True, nogil=True)
def absolute_error(values: Array, gray: Array, mask_level: int) -> float:
    """Sum of |map - mask|; of a gray mask, level / 255, where `mask_level` is negative."""
    total = 0.0
    v, g = values.reshape(-1), gray.reshape(-1)
    for i in range(v.size):
        if mask_level < 0:
            total += abs(v[i] - g[i] / 255.0)
        elif g[i] > mask_level:
            total += 1.0 - v[i]
        else:
            total += v[i]
    return total


LABEL = Label("MAE", "mean absolute error", higher=False, order=2, first=True)

MEASURE = Measure("mae", 0, (Column("mae", label=LABEL),), of_picture, (Score("mae", LABEL, "mae"),))
