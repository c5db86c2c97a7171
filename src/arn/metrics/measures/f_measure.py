"""Precision, recall and F-measure (Achanta et al., CVPR 2009, eq. 6) over 256 thresholds and at the adaptive one."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from arn.compiled import njit
from arn.metrics.kernels import Array
from arn.metrics.measure import Column, Curve, Label, Measure, Score
from arn.metrics.picture import Picture
from arn.metrics.protocols import BETA2, Protocol


def of_picture(picture: Picture) -> dict[str, Any]:
    precision, recall, f_curve = precision_recall_f(*picture.at_thresholds, picture.protocol.smoothing)
    adaptive_precision, adaptive_recall, adaptive_f = precision_recall_f(*picture.at_adaptive, 0.0)
    return {
        "adaptive_precision": adaptive_precision,
        "adaptive_recall": adaptive_recall,
        "adaptive_f": adaptive_f,
        "best_f": f_curve.max(),
        "precision": precision,
        "recall": recall,
        "f_curve": f_curve,
    }


@njit(cache=True, nogil=True)
def precision_recall_f(tp: Array, fp: Array, n_fg: int, _n_bg: int, smoothing: float) -> tuple[Array, Array, Array]:
    least = 0 if smoothing > 0.0 else 1  # without smoothing, 0 of 0 is 0
    precision = (tp + smoothing) / (np.maximum(tp + fp, least) + smoothing)
    recall = (tp + smoothing) / (max(n_fg, least) + smoothing)
    return precision, recall, f_of(precision, recall)


@njit(cache=True, nogil=True)
def f_of(precision: Array, recall: Array) -> Array:
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


def _unlisted(name: str, text: str, meaning: str, of: str, take: Literal["average", "max", "mean"]) -> Score:
    return Score(name, Label(text, meaning), of, take, listed=False)


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
        _unlisted(
            "max_f_dataset",
            "max F of average PR",
            "F of the averaged precision and recall, largest",
            "f_curve_dataset",
            "max",
        ),
        _unlisted(
            "mean_f_dataset",
            "mean F of average PR",
            "F of the averaged precision and recall, averaged",
            "f_curve_dataset",
            "mean",
        ),
        _unlisted(
            "max_f_picture", "max of average F", "average of the pictures' F curves, largest", "f_curve_picture", "max"
        ),
        _unlisted(
            "mean_f_picture",
            "mean of average F",
            "average of the pictures' F curves, averaged",
            "f_curve_picture",
            "mean",
        ),
        _unlisted("mean_best_f", "mean best F", "average of the pictures' own largest F-measures", "best_f", "average"),
        _unlisted(
            "adaptive_precision", "adaptive P", "precision at the adaptive threshold", "adaptive_precision", "average"
        ),
        _unlisted("adaptive_recall", "adaptive R", "recall at the adaptive threshold", "adaptive_recall", "average"),
    ),
    curves_of,
)
