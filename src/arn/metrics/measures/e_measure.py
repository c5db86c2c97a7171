"""E-measure (Fan et al., IJCAI 2018, eqs. 2 to 5) over 256 thresholds and at the adaptive one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from arn.metrics.kernels import EPS, Array
from arn.metrics.measure import Column, Label, Measure, Score
from arn.metrics.picture import Picture


def of_picture(picture: Picture) -> dict[str, Any]:
    curve = np.empty(256)
    best = alignment_curve(*picture.bins, curve)
    adaptive = enhanced_alignment(*picture.adaptive, picture.n_fg, picture.size)
    return {"adaptive_e": adaptive, "best_e": best, "e_curve": curve}


@njit(cache=True, nogil=True)
def enhanced_alignment(tp: int, fp: int, n_fg: int, n: int) -> float:
    """E-measure of one binary map (Fan et al., IJCAI 2018, eqs. 2-5), from counts.

    Both maps take two values, so the alignment matrix takes four; each is weighted by its pixels. The sum is divided by
    n - 1 + EPS as in the authors' code: a 1 x 1 picture scores 0 or 1 / EPS.
    """
    predicted = tp + fp
    if n_fg == 0:
        total = float(n - predicted)
    elif n_fg == n:
        total = float(predicted)
    else:
        mean_map, mean_mask = predicted / n, n_fg / n
        fn = n_fg - tp
        total = 0.0
        total += quarter(1.0 - mean_map, 1.0 - mean_mask) * tp
        total += quarter(1.0 - mean_map, -mean_mask) * fp
        total += quarter(-mean_map, 1.0 - mean_mask) * fn
        total += quarter(-mean_map, -mean_mask) * (n - predicted - fn)
    return total / (n - 1 + EPS)


@njit(cache=True, nogil=True, inline="always")
def quarter(a: float, b: float) -> float:
    """Enhanced alignment of a pixel whose mean-free map and mask are `a` and `b`."""
    aligned = 2.0 * (a * b) / (a * a + b * b + EPS)
    return (aligned + 1.0) * (aligned + 1.0) / 4.0


@njit(cache=True, nogil=True)
def alignment_curve(fg: Array, bg: Array, e_curve: Array) -> float:
    """Fills the E-measure's curve (256, from threshold 255 down to 0) from counts by bin; returns the largest."""
    n_fg, n = 0, 0
    for k in range(257):
        n_fg += fg[k]
        n += fg[k] + bg[k]
    tp, fp, best = 0, 0, 0.0
    for k in range(256):
        if k > 0 and fg[256 - k] == 0 and bg[256 - k] == 0:
            e_curve[k] = e_curve[k - 1]
            continue
        tp += fg[256 - k]
        fp += bg[256 - k]
        e_curve[k] = enhanced_alignment(tp, fp, n_fg, n)
        best = max(best, e_curve[k])
    return best


ADAPTIVE = Label("adaptive E", "E-measure at the adaptive threshold", order=10)

MEASURE = Measure(
    "e",
    2,
    (
        Column("adaptive_e", label=ADAPTIVE),
        Column("best_e", label=Label("best E", "largest E-measure of the picture", order=8)),
        Column("e_curve", 256, Label("E", "E-measure")),
    ),
    of_picture,
    (
        Score(
            "max_e",
            Label("max E", "largest enhanced-alignment measure over 256 thresholds", order=7, first=True),
            "e_curve",
            "max",
        ),
        Score("mean_e", Label("mean E", "E-measure averaged over 256 thresholds", order=9), "e_curve", "mean"),
        Score("adaptive_e", ADAPTIVE, "adaptive_e"),
        Score(
            "mean_best_e",
            Label("mean best E", "average of the pictures' own largest E-measures"),
            "best_e",
            listed=False,
        ),
    ),
)
