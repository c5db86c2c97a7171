"""Precision, recall and F-measure (Achanta et al., CVPR 2009, eq. 6) over 256 thresholds and at the adaptive one."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from arn.metrics.kernels import Array
from arn.metrics.measure import Column, Curve, Label, Measure, Score
from arn.metrics.picture import Picture
from arn.metrics.protocols import BETA2, Protocol


def of_picture(picture: Picture) -> dict[str, Any]:
    fg, bg = picture.bins
    curves = np.empty((3, 256))
    best = precision_recall_f(fg, bg, picture.protocol.smoothing, BETA2, curves)
    tp, fp = picture.adaptive
    precision, recall = tp / max(tp + fp, 1), tp / max(picture.n_fg, 1)
    return {
        "adaptive_precision": precision,
        "adaptive_recall": recall,
        "adaptive_f": f_measure(precision, recall, BETA2),
        "best_f": best,
        **dict(zip(("precision", "recall", "f_curve"), curves, strict=True)),
    }


def f_of(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """F-measure (beta^2 = 0.3) of arrays of precision and recall; 0 where both are 0."""
    product = (1 + BETA2) * precision * recall
    return product / np.where(product == 0, 1.0, BETA2 * precision + recall)


def curves_of(protocol: Protocol) -> dict[str, Curve]:
    """`f_curve` is the protocol's own: F of the averaged precision and recall, or the average of the pictures' F."""
    dataset, picture = Curve(("precision", "recall"), f_of), Curve(("f_curve",))
    return {
        "precision": Curve(("precision",)),
        "recall": Curve(("recall",)),
        "f_curve": dataset if protocol.average == "dataset" else picture,
        "f_curve_dataset": dataset,
        "f_curve_picture": picture,
    }


@njit(cache=True, nogil=True)
def precision_recall_f(fg: Array, bg: Array, smoothing: float, beta2: float, curves: Array) -> float:
    """Fills precision, recall and F (3 x 256, from threshold 255 down to 0) from counts by bin (257); the largest F."""
    n_fg = 0
    for k in range(257):
        n_fg += fg[k]
    tp, predicted, best = 0, 0, 0.0
    for k in range(256):
        tp += fg[256 - k]
        predicted += fg[256 - k] + bg[256 - k]
        if smoothing > 0.0:
            p = (tp + smoothing) / (predicted + smoothing)
            r = (tp + smoothing) / (n_fg + smoothing)
        else:
            p = tp / max(predicted, 1)
            r = tp / max(n_fg, 1)
        f = f_measure(p, r, beta2)
        curves[0, k], curves[1, k], curves[2, k] = p, r, f
        best = max(best, f)
    return best


@njit(cache=True, nogil=True, inline="always")
def f_measure(precision: float, recall: float, beta2: float) -> float:
    product = (1.0 + beta2) * precision * recall
    if product == 0.0:
        return 0.0
    return product / (beta2 * precision + recall)


_TAKES: tuple[Literal["max", "mean"], ...] = ("max", "mean")
ADAPTIVE = Label("adaptive F", "F-measure at the adaptive threshold, twice the map's mean", order=5)

MEASURE = Measure(
    "f",
    1,
    (
        Column("adaptive_precision"),
        Column("adaptive_recall"),
        Column("adaptive_f", label=ADAPTIVE),
        Column("best_f", label=Label("best F", "largest F-measure of the picture", order=3)),
        Column("precision", 256),
        Column("recall", 256),
        Column("f_curve", 256, Label("F", "F-measure")),
    ),
    of_picture,
    (
        Score("max_f", Label("max F", "largest F-measure over 256 thresholds", order=1, first=True), "f_curve", "max"),
        Score("mean_f", Label("mean F", "F-measure averaged over 256 thresholds", order=4), "f_curve", "mean"),
        Score("adaptive_f", ADAPTIVE, "adaptive_f"),
        *(
            Score(f"{take}_f_{kind}", Label(text, f"{meaning}, {what}"), f"f_curve_{kind}", take, listed=False)
            for kind, meaning, texts in (
                ("dataset", "F of the averaged precision and recall", ("max F of average PR", "mean F of average PR")),
                ("picture", "average of the pictures' F curves", ("max of average F", "mean of average F")),
            )
            for take, what, text in zip(_TAKES, ("largest", "averaged"), texts, strict=True)
        ),
        Score(
            "mean_best_f",
            Label("mean best F", "average of the pictures' own largest F-measures"),
            "best_f",
            listed=False,
        ),
        Score(
            "adaptive_precision",
            Label("adaptive P", "precision at the adaptive threshold"),
            "adaptive_precision",
            listed=False,
        ),
        Score(
            "adaptive_recall", Label("adaptive R", "recall at the adaptive threshold"), "adaptive_recall", listed=False
        ),
    ),
    curves_of,
)
