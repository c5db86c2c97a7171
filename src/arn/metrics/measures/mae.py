"""Mean absolute error (Perazzi et al., CVPR 2012, eq. 9)."""

from __future__ import annotations

import numpy as np

from arn.compiled import njit
from arn.metrics.kernels import Array, Int
from arn.metrics.measure import Column, Label, Measure, Score
from arn.metrics.picture import Picture


def of_picture(picture: Picture) -> dict[str, float]:
    protocol = picture.protocol
    how, level = protocol.mae_normalise, protocol.mae_mask_level
    if picture.levels is None:
        values = picture.values if how == protocol.normalise else picture.normalised(how)
        truth = picture.gray / 255 if level is None else picture.gray > level
        return {"mae": float(np.abs(values - truth).mean())}
    if level is None:
        return {"mae": difference_sum(picture.levels, picture.gray) / 255 / picture.size}
    return {"mae": histogram_error(*picture.split(level), *picture.affine(how)) / picture.size}


@njit(cache=True, nogil=True)
def histogram_error(fg: Array, bg: Array, offset: int, scale: int) -> float:
    """Sum of |map - mask| from counts by level (256); value = (level - offset) / scale."""
    return (scale * fg.sum() + ((bg - fg) * (np.arange(256) - offset)).sum()) / scale


@njit(cache=True, nogil=True)
def difference_sum(levels: Array, gray: Array) -> Int:
    """Sum of |map - mask| in levels, of uint8 arrays."""
    p, m = levels.reshape(-1), gray.reshape(-1)
    total = np.int64(0)
    for i in range(p.size):
        total += abs(np.int32(p[i]) - np.int32(m[i]))
    return total


LABEL = Label("MAE", "mean absolute error", higher=False, order=2, first=True)

MEASURE = Measure("mae", 0, (Column("mae", label=LABEL),), of_picture, (Score("mae", LABEL, "mae"),))
