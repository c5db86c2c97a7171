"""Mean boundary accuracy, mBA (Cheng et al., CascadePSP, CVPR 2020), at 256 thresholds and at the adaptive one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arn.metrics.measure import divided, from_counts
from arn.metrics.picture import Counts, Picture

STEPS = 5


def radii(height: int, width: int) -> list[int]:
    """Five, from 1 towards (width + height) / 300, truncated as the authors' program truncates them."""
    largest = (width + height) / 300
    return [1 + int((largest - 1) / STEPS * step) for step in range(STEPS)]


def near_boundary(truth: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Pixels of H x W whose disc of that radius, as OpenCV draws it, holds foreground and background."""
    import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.morphologyEx(truth.view(np.uint8), cv2.MORPH_GRADIENT, disc) > 0)


def counts_of(picture: Picture) -> tuple[Counts, Counts]:
    """Near the mask's boundary, a row for each of the five radii."""
    chosen = radii(*picture.gray.shape)
    within = {radius: picture.counts_within(near_boundary(picture.foreground, radius)) for radius in set(chosen)}
    thresholds, adaptive = zip(*(within[radius] for radius in chosen), strict=True)
    return _stacked(thresholds), _stacked(adaptive)


def _stacked(counts: tuple[Counts, ...]) -> Counts:
    tp, fp, n_fg, n_bg = (np.stack([np.atleast_1d(part) for part in parts]) for parts in zip(*counts, strict=True))
    return Counts(tp, fp, n_fg, n_bg)


def mean_accuracy(counts: Counts) -> NDArray[np.float64]:
    """(TP + TN) / all, averaged over the radii; 0 for a mask without a boundary, empty or full."""
    right = np.asarray(counts.tp + counts.tn)
    shares = divided(right, np.broadcast_to(counts.n_fg + counts.n_bg, right.shape))
    return shares.mean(axis=0).squeeze()


MEASURE = from_counts("mba", 9, mean_accuracy, "mBA", "accuracy near the mask's boundary", counts_of=counts_of)
