"""E-measure (Fan et al., IJCAI 2018, eqs. 2 to 5) over 256 thresholds and at the adaptive one."""

from __future__ import annotations

from typing import Any

from arn.compiled import njit
from arn.metrics.kernels import EPS, Array
from arn.metrics.measure import Column, Label, Measure, Score
from arn.metrics.picture import Picture


def of_picture(picture: Picture) -> dict[str, Any]:
    curve = e_measure(*picture.at_thresholds)
    return {"adaptive_e": e_measure(*picture.at_adaptive), "best_e": curve.max(), "e_curve": curve}


@njit(cache=True, nogil=True)
def e_measure(tp: Array, fp: Array, n_fg: int, n_bg: int) -> Array:
    """E-measure of binary maps.

    Map and mask take two values each, so the alignment matrix takes four; each is weighted by its pixels. The sum is
    divided by n - 1 + EPS as in the authors' code: a 1 x 1 picture scores 0 or 1 / EPS.
    """
    n = n_fg + n_bg
    mean_map, mean_mask = (tp + fp) / n, n_fg / n
    if n_fg == 0:
        total = 1.0 * (n_bg - fp)
    elif n_bg == 0:
        total = 1.0 * tp
    else:
        total = aligned(1 - mean_map, 1 - mean_mask) * tp
        total += aligned(1 - mean_map, -mean_mask) * fp
        total += aligned(-mean_map, 1 - mean_mask) * (n_fg - tp)
        total += aligned(-mean_map, -mean_mask) * (n_bg - fp)
    return total / (n - 1 + EPS)


@njit(cache=True, nogil=True)
def aligned(a: Array, b: float) -> Array:
    """Enhanced alignment of a pixel whose mean-free map and mask are `a` and `b`."""
    root = 2 * (a * b) / (a * a + b * b + EPS) + 1
    return root * root / 4


MAX = Label("max E", "largest enhanced-alignment measure over 256 thresholds", order=7, first=True)
ADAPTIVE = Label("adaptive E", "E-measure at the adaptive threshold", order=10)
MEAN_BEST = Label("mean best E", "average of the pictures' own largest E-measures")

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
        Score("max_e", MAX, "e_curve", "max"),
        Score("mean_e", Label("mean E", "E-measure averaged over 256 thresholds", order=9), "e_curve", "mean"),
        Score("adaptive_e", ADAPTIVE, "adaptive_e"),
        Score("mean_best_e", MEAN_BEST, "best_e", listed=False),
    ),
)
