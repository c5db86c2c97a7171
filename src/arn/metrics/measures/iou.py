"""Intersection over union (Jaccard index) of the binary maps at 256 thresholds and at the adaptive one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arn.metrics.measure import divided, from_counts
from arn.metrics.picture import Counts


def iou(counts: Counts) -> NDArray[np.float64]:
    """TP / (TP + FP + FN), 0 where neither map nor mask has foreground."""
    return divided(counts.tp, counts.tp + counts.fp + counts.fn)


MEASURE = from_counts("iou", 5, iou, "IoU", "intersection over union")
