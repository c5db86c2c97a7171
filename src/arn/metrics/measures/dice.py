"""Dice coefficient of the binary maps at 256 thresholds and at the adaptive one: F with beta^2 = 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arn.metrics.measure import divided, from_counts
from arn.metrics.picture import Counts


def dice(counts: Counts) -> NDArray[np.float64]:
    """2 TP / (2 TP + FP + FN), 0 where neither map nor mask has foreground."""
    return divided(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


MEASURE = from_counts("dice", 6, dice, "Dice", "Dice coefficient")
