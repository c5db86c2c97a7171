"""Balanced error rate of the binary maps at 256 thresholds and at the adaptive one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arn.metrics.measure import divided, from_counts
from arn.metrics.picture import Counts


def ber(counts: Counts) -> NDArray[np.float64]:
    """1 - (TP / (TP + FN) + TN / (TN + FP)) / 2; a side without pixels counts as missed, so it is at least 1/2 then."""
    hits = divided(counts.tp, np.broadcast_to(counts.n_fg, counts.tp.shape))
    rejections = divided(counts.tn, np.broadcast_to(counts.n_bg, counts.tp.shape))
    result: NDArray[np.float64] = 1 - 0.5 * (hits + rejections)
    return result


MEASURE = from_counts("ber", 7, ber, "BER", "balanced error rate", higher=False)
