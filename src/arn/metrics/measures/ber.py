"""Balanced error rate of the binary maps at 256 thresholds and at the adaptive one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arn.metrics.measure import divided, from_counts
from arn.metrics.picture import Counts


def ber(counts: Counts) -> NDArray[np.float64]:
    """1 - (TP / (TP + FN) + TN / (TN + FP)) / 2; a side without pixels counts as missed, so it is at least 1/2 then."""
    return 1 - 0.5 * (divided(counts.tp, counts.n_fg) + divided(counts.tn, counts.n_bg))


MEASURE = from_counts("ber", 7, ber, "BER", "balanced error rate", higher=False)
