"""S-measure (Fan et al., ICCV 2017, eqs. 1 to 10)."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from arn.compiled import njit
from arn.metrics.kernels import EPS, Array, Int
from arn.metrics.measure import Column, Label, Measure, Score
from arn.metrics.picture import Picture

# Of map and mask: n, their means, sums of squares of the map, of the mask, and of products, about the means.
# A flat map or mask has sums of exactly 0.
Moments = tuple[float, float, float, float, float, float]


def of_picture(picture: Picture) -> dict[str, float]:
    (n_fg, fg, _, fg_squares, _, _), (n_bg, bg, _, bg_squares, _, _) = _sides(picture)
    if n_fg == 0 or n_bg == 0:
        return {"s_measure": 1.0 - bg if n_fg == 0 else fg}
    share = n_fg / picture.size
    objects = share * object_similarity(n_fg, fg, fg_squares)
    objects += (1.0 - share) * object_similarity(n_bg, 1.0 - bg, bg_squares)
    regions = 0.0
    height, width = picture.gray.shape
    row, column = (centroid(profile, picture.protocol.centroid == "half_up") + 1 for profile in picture.profiles)
    for top, bottom in pairwise((0, row, height)):
        for left, right in pairwise((0, column, width)):
            n = (bottom - top) * (right - left)
            if n > 0:
                regions += region_similarity(picture, top, bottom, left, right) * n / picture.size
    return {"s_measure": max(0.0, 0.5 * objects + 0.5 * regions)}


def _sides(picture: Picture) -> list[Moments]:
    """Of the foreground and of the background."""
    if picture.levels is None:
        mask = picture.foreground
        return [value_moments(picture.values[side], mask[side]) for side in (mask, ~mask)]
    scale = picture.affine(picture.protocol.normalise)
    return [side_moments(counts, *scale) for counts in picture.sides]


@njit(cache=True, nogil=True)
def centroid(profile: Array, half_up: bool) -> int:
    """Mean position of the foreground pixels that a profile counts; halves go up as in MATLAB, or to the even one."""
    mean = (profile * np.arange(profile.size)).sum() / profile.sum()
    return math.floor(mean + 0.5) if half_up else round(mean)


def object_similarity(n: float, mean: float, squares: float) -> float:
    """One side of eq. 10: `squares` about the mean, of the map over foreground or background."""
    deviation = math.sqrt(max(squares, 0.0) / (n - 1.0)) if n > 1.0 else 0.0
    return 2.0 * mean / (mean * mean + 1.0 + deviation + EPS)


def region_similarity(picture: Picture, top: int, bottom: int, left: int, right: int) -> float:
    """SSIM of one block (eq. 5)."""
    block = (slice(top, bottom), slice(left, right))
    if picture.levels is None:
        moments = value_moments(picture.values[block], picture.foreground[block])
    else:
        level, scale = picture.protocol.mask_level, picture.affine(picture.protocol.normalise)
        moments = block_moments(picture.levels, picture.gray, level, top, bottom, left, right, *scale)
    n, x, y, xx, yy, xy = moments
    degrees = n - 1.0 + EPS
    alpha = 4.0 * x * y * xy / degrees
    beta = (x * x + y * y) * (xx + yy) / degrees
    if alpha != 0.0:
        return alpha / (beta + EPS)
    if picture.protocol.numpy_rounding and n > 1 and xx == 0 and yy == 0 and 0 < x < 1:
        # A flat map on a flat mask is a perfect match: 1. PySODMetrics says 0 when the mean of the equal values, summed
        # in floating point, comes out a rounding error beside them.
        values = picture.values[block]
        return float(values.mean() == values[0, 0])
    return 1.0 if beta == 0.0 else 0.0


def value_moments(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> Moments:
    if values.size == 0:
        return (0.0,) * 6
    mean = float(values.flat[0] if values.min() == values.max() else values.mean())
    share = float(mask.mean())
    x, y = values - mean, mask - share
    return values.size, mean, share, float((x * x).sum()), float((y * y).sum()), float((x * y).sum())


@njit(cache=True, nogil=True)
def side_moments(counts: Array, offset: int, scale: int) -> Moments:
    """Of the map where it is counted by level (256)."""
    levels = np.arange(256)
    sums = counts.sum(), (counts * levels).sum(), (counts * levels * levels).sum()
    return level_moments(*sums, 0, 0, offset, scale)


@njit(cache=True, nogil=True)
def level_moments(n: Int, sum_p: Int, sum_pp: Int, sum_g: Int, sum_pg: Int, offset: int, scale: int) -> Moments:
    """From sums of levels p and mask g (0 or 1), in integers."""
    if n == 0:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    # About the whole part of the mean first: the differences stay small and exact.
    mean, rest = sum_p // n, float(sum_p % n)
    squares = float(sum_pp - 2 * mean * sum_p + mean * mean * n) - rest * rest / n
    products = float(sum_pg - mean * sum_g) - rest * float(sum_g) / n
    mask_squares = float(sum_g) * (n - sum_g) / n
    map_mean = (sum_p - n * offset) / (n * scale)
    return float(n), map_mean, sum_g / n, squares / (float(scale) * scale), mask_squares, products / scale


# The sum of squares of this many uint8 fits into uint32, and 32 bits are what makes the loop fast. numba widens every
# sum of integers to 64; casting each back lets the compiler keep to 32.
CHUNK = 32768


@njit(cache=True, nogil=True)
def block_moments(
    levels: Array, gray: Array, mask_level: int, top: int, bottom: int, left: int, right: int, offset: int, scale: int
) -> Moments:
    mask = np.uint8(mask_level)
    sum_p, sum_pp, sum_g, sum_pg = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for i in range(top, bottom):
        for start in range(left, right, CHUNK):
            # Slices: an index that may be negative for all the compiler knows keeps it from vectorising.
            level_row = levels[i, start : min(start + CHUNK, right)]
            gray_row = gray[i, start : min(start + CHUNK, right)]
            p1, p2, g1, pg = np.uint32(0), np.uint32(0), np.uint32(0), np.uint32(0)
            for j in range(level_row.size):
                p = np.uint32(level_row[j])
                g = np.uint32(gray_row[j] > mask)
                p1 = np.uint32(p1 + p)
                p2 = np.uint32(p2 + p * p)
                g1 = np.uint32(g1 + g)
                pg = np.uint32(pg + p * g)
            sum_p += np.int64(p1)
            sum_pp += np.int64(p2)
            sum_g += np.int64(g1)
            sum_pg += np.int64(pg)
    n = (bottom - top) * (right - left)
    return level_moments(n, sum_p, sum_pp, sum_g, sum_pg, offset, scale)


LABEL = Label("S", "structure measure", order=6, first=True)

MEASURE = Measure("s", 3, (Column("s_measure", label=LABEL),), of_picture, (Score("s_measure", LABEL, "s_measure"),))
