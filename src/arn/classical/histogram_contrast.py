"""HC: histogram contrast, a colour is salient by its distance to all the others, weighted by how often they occur.

M.-M. Cheng, N. J. Mitra, X. Huang, P. H. S. Torr, S.-M. Hu, "Global Contrast Based Salient Region Detection", CVPR 2011
and IEEE TPAMI 37(3), 2015, section 3. All of it is from memory of the paper. Quantised colours stand for the mean Lab
colour of their pixels (ours: the paper's histogram keeps the bin's own colour).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arn.classical.common import Map, Picture, check_picture, lab, min_max, region_means

LEVELS = 12  # from memory: values per RGB channel
COVER = 0.95  # from memory: the most frequent colours that make up this share of the picture are kept
NEIGHBOURS = 0.25  # from memory: share of the colours that a colour's saliency is averaged over


def hc(
    picture: np.ndarray, *, levels: int = LEVELS, cover: float = COVER, neighbours: float | None = NEIGHBOURS
) -> Map:
    """HC's map, float32 H x W in 0..1, one value per quantised colour; `picture` is uint8 RGB, H x W x 3.

    `neighbours=None` leaves out the smoothing in colour space.
    """
    palette = quantise(check_picture(picture), levels, cover)
    saliency = palette.distance @ palette.frequency
    if neighbours is not None:
        saliency = smooth_over_colours(saliency, palette.distance, neighbours)
    return min_max(saliency).astype(np.float32)[palette.codes]


class Palette(NamedTuple):
    """The n colours that a picture is reduced to."""

    codes: NDArray[np.intp]  # H x W, 0..n-1
    frequency: NDArray[np.float64]  # n, share of the picture's pixels; they sum to 1
    distance: NDArray[np.float64]  # n x n, Euclidean in CIE Lab


def quantise(picture: Picture, levels: int = LEVELS, cover: float = COVER) -> Palette:
    """Reduce a picture to its frequent colours; each rare colour is replaced by the nearest frequent one (eq. 4)."""
    bins = picture.astype(np.int32) * levels // 256
    code = (bins[..., 0] * levels + bins[..., 1]) * levels + bins[..., 2]
    _, index, counts = np.unique(code, return_inverse=True, return_counts=True)
    index = index.reshape(code.shape)
    means = region_means(lab(picture), index, len(counts))
    order = np.argsort(-counts, kind="stable")
    kept = order[: int(np.searchsorted(np.cumsum(counts[order]), cover * counts.sum())) + 1]
    distance = np.linalg.norm(means[:, None] - means[None, kept], axis=2)
    nearest = distance.argmin(axis=1)
    nearest[kept] = np.arange(len(kept))  # also where two kept colours have the same mean
    frequency = np.bincount(nearest, counts, len(kept)) / counts.sum()
    return Palette(nearest[index], frequency, distance[kept])


def smooth_over_colours(saliency: np.ndarray, distance: np.ndarray, neighbours: float) -> np.ndarray:
    """Each colour's saliency as the mean over its `neighbours` * n nearest, at least 2, the nearer the more (eq. 5).

    `saliency` and the result are float64 n, `distance` n x n. Hides the seams that quantising leaves.
    """
    count = min(len(saliency), max(2, round(neighbours * len(saliency))))
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :count]
    apart = np.take_along_axis(distance, nearest, axis=1)
    total = apart.sum(axis=1, keepdims=True)
    weight = np.where(total > 0, total - apart, 1.0)
    return np.asarray((weight * saliency[nearest]).sum(axis=1) / weight.sum(axis=1))
