"""Object proposals: superpixels at several scales, merged pair by pair; every region on the way is one.

They stand in for geodesic object proposals (GOP, Kraehenbuehl and Koltun, ECCV 2014), which need a trained edge
detector. The filters are those that KSR (T. Wang et al., ECCV 2016) puts behind GOP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arn.classical.common import check_picture, lab, region_means
from arn.classical.slic import slic
from arn.compiled import njit

SIDE = 48
"""Overlaps of regions of different hierarchies are measured on a grid of that side."""


class Proposals:
    """Regions of a picture that may be objects.

    Args:
        cells: superpixels of each scale, about.
        criteria: how regions are merged, a hierarchy a scale for each: the exponents p and q of the cost
            ``|difference of mean Lab|^2 * (a b / (a + b))^p / border^q`` of a pair of a and b pixels. 1 and 0 are
            Ward's, the increase of the variance; q makes long borders fall first.
        smallest, largest: share of the picture that a region may cover.
        overlap: of two regions with a larger intersection over union only the first is kept.

    Raises ValueError for shares that are not ascending within 0..1, or no scale.
    """

    def __init__(
        self,
        cells: Sequence[int] = (60, 150, 300),
        criteria: Sequence[Sequence[float]] = ((1.0, 1.0), (0.5, 0.0), (1.0, 0.0), (0.0, 0.0)),
        compactness: float = 10.0,
        smallest: float = 0.02,
        largest: float = 0.7,
        overlap: float = 0.9,
    ) -> None:
        if not cells or min(cells) < 2:
            raise ValueError(f"proposals.cells must name scales of at least 2 superpixels, not {list(cells)}")
        if not (0 <= smallest < largest <= 1 and 0 < overlap <= 1):
            raise ValueError("proposals: 0 <= smallest < largest <= 1 and 0 < overlap <= 1 must hold")
        self.cells, self.compactness = tuple(int(count) for count in cells), compactness
        self.criteria = [(float(p), float(q)) for p, q in criteria]
        self.smallest, self.largest, self.overlap = smallest, largest, overlap

    def __call__(self, picture: np.ndarray) -> NDArray[np.bool_]:
        """uint8 RGB, H x W x 3 -> masks, N x H x W, none twice, scale by scale in the order of merging.

        A region passes that covers ``smallest`` to ``largest`` of the picture and leaves at least one of the four
        borders wholly alone.
        """
        picture = check_picture(picture)
        height, width = picture.shape[:2]
        colours = lab(picture)
        scales = [self._regions(colours, height * width / count) for count in self.cells]
        kept = np.split(
            distinct(np.concatenate([one.on_grid for one in scales]), self.overlap),
            np.cumsum([len(one.members) for one in scales])[:-1],
        )
        return np.concatenate([one.members[keep][:, one.labels] for one, keep in zip(scales, kept, strict=True)])

    def _regions(self, colours: NDArray[np.float32], pixels: float) -> _Scale:
        """Every region of superpixels of so many pixels that passes."""
        labels, count = slic(colours, pixels, self.compactness)
        sizes = np.bincount(labels.ravel(), minlength=count).astype(np.float64)
        means, lines = region_means(colours, labels, count), _lengths(labels, count)
        sides = np.zeros((4, count), np.float32)
        for side, line in zip(sides, (labels[0], labels[-1], labels[:, 0], labels[:, -1]), strict=True):
            side[line] = 1
        found: dict[bytes, NDArray[np.bool_]] = {}
        for p, q in self.criteria:
            members = np.zeros((2 * count - 1, count), np.bool_)
            members[np.arange(count), np.arange(count)] = True
            for place, (first, second) in enumerate(_merge(means, sizes, lines, p, q), count):
                members[place] = members[first] | members[second]
            share = members @ sizes / labels.size
            free = ~(members.astype(np.float32) @ sides.T > 0).all(axis=1)
            for one in members[free & (share >= self.smallest) & (share <= self.largest)]:
                found.setdefault(one.tobytes(), one)
        members = np.array(list(found.values()), np.bool_).reshape(-1, count)
        return _Scale(labels, members, members.astype(np.float32) @ _on_grid(labels, count) > 0.5)


class _Scale(NamedTuple):
    labels: NDArray[np.int32]  # superpixels, H x W
    members: NDArray[np.bool_]  # regions as sets of them, R x n
    on_grid: NDArray[np.bool_]  # the regions on a coarse grid, R x G


def _on_grid(labels: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """The share of each place of a coarse grid that each superpixel fills, n x G."""
    rows, columns = (min(SIDE, size) for size in labels.shape)
    down, across = (np.arange(size) * cells // size for size, cells in zip(labels.shape, (rows, columns), strict=True))
    places = down[:, None] * columns + across
    flat = (labels.astype(np.int64) * (rows * columns) + places).ravel()
    filled = np.bincount(flat, minlength=count * rows * columns).reshape(count, -1).astype(np.float32)
    return filled / filled.sum(axis=0)


def distinct(regions: NDArray[np.bool_], overlap: float) -> NDArray[np.bool_]:
    """Which of regions R x G to keep: those that overlap every kept earlier one by at most ``overlap``."""
    flat = regions.astype(np.float32)
    shared = flat @ flat.T
    areas = flat.sum(axis=1)
    ratio = shared / np.maximum(areas[:, None] + areas - shared, 1)
    keep = np.zeros(len(regions), np.bool_)
    for index in range(len(regions)):
        keep[index] = not keep.any() or ratio[index, keep].max() <= overlap
    return keep


def _lengths(labels: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """Pairs of neighbouring pixels (4-neighbours) that each two superpixels have, n x n, symmetric."""
    flat = np.zeros(count * count)
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        flat += np.bincount((one.astype(np.int64) * count + other).ravel(), minlength=count * count)
    lengths = flat.reshape(count, count)
    np.fill_diagonal(lengths, 0)
    return lengths + lengths.T


@njit(cache=True, nogil=True)
def _cost(difference: np.ndarray, a: float, b: float, border: float, p: float, q: float) -> float:
    return (difference * difference).sum() * (a * b / (a + b)) ** p / border**q


@njit(cache=True, nogil=True)
def _merge(means: np.ndarray, sizes: np.ndarray, borders: np.ndarray, p: float, q: float) -> np.ndarray:
    """The pairs of regions in the order of merging, the cheapest first; the k-th makes region n + k."""
    count = len(sizes)
    means, sizes, borders = means.copy(), sizes.copy(), borders.copy()
    name = np.arange(count)
    alive = np.ones(count, np.bool_)
    merged = np.zeros((max(count - 1, 0), 2), np.int64)
    cost = np.full((count, count), np.inf)
    for a in range(count):
        for b in range(count):
            if a != b and borders[a, b] > 0:
                d = means[a] - means[b]
                cost[a, b] = _cost(d, sizes[a], sizes[b], borders[a, b], p, q)
    for step in range(count - 1):
        best, first, second = np.inf, -1, -1
        for a in range(count):
            if alive[a]:
                for b in range(a + 1, count):
                    if alive[b] and (first < 0 or cost[a, b] < best):
                        best, first, second = cost[a, b], a, b
        merged[step, 0], merged[step, 1] = name[first], name[second]
        total = sizes[first] + sizes[second]
        means[first] = (means[first] * sizes[first] + means[second] * sizes[second]) / total
        sizes[first] = total
        alive[second] = False
        name[first] = count + step
        for b in range(count):
            if alive[b] and b != first:
                border = borders[first, b] + borders[second, b]
                borders[first, b], borders[b, first] = border, border
                value = np.inf
                if border > 0:
                    d = means[first] - means[b]
                    value = _cost(d, sizes[first], sizes[b], border, p, q)
                cost[first, b], cost[b, first] = value, value
    return merged
