"""S-measure (Fan et al., ICCV 2017, eqs. 1 to 10)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from arn.metrics.kernels import EPS, Array, Int
from arn.metrics.measure import Column, Label, Measure, Score
from arn.metrics.picture import Picture


def of_picture(picture: Picture) -> dict[str, float]:
    return {"s_measure": _of_values(picture) if picture.levels is None else _of_levels(picture)}


def _of_levels(picture: Picture) -> float:
    fg, bg = picture.sides
    offset, scale = picture.table.offset, picture.table.scale
    n_fg, n_bg = int(fg.sum()), int(bg.sum())
    if n_fg == 0 or n_bg == 0:
        mean = float((fg + bg) @ (np.arange(256) - offset)) / (scale * picture.size)
        return 1.0 - mean if n_fg == 0 else mean
    level, cut = picture.protocol.mask_level, _cut(picture)
    blocks = level_blocks(picture.levels, picture.gray, level, cut, offset, scale)
    return _structure(picture, level_sides(fg, bg, offset, scale), blocks, cut)


def _of_values(picture: Picture) -> float:
    level = picture.protocol.mask_level
    sides = value_sides(picture.values, picture.gray, level)
    if sides[0, 0] == 0:
        return float(1.0 - sides[1, 1])
    if sides[1, 0] == 0:
        return float(sides[0, 1])
    cut = _cut(picture)
    return _structure(picture, sides, value_blocks(picture.values, picture.gray, level, cut), cut)


def _cut(picture: Picture) -> tuple[int, int]:
    protocol = picture.protocol
    row, column = centroid(picture.gray, protocol.mask_level, protocol.centroid == "half_up")
    return row, column


def _structure(
    picture: Picture, sides: NDArray[np.float64], blocks: NDArray[np.float64], cut: tuple[int, int]
) -> float:
    """S-measure from its moments."""
    similarities, doubtful = region_similarities(blocks)
    if doubtful and picture.protocol.numpy_rounding:
        # A block where the map is flat and the mask is, too, is a perfect match: 1. PySODMetrics says 0 when the mean
        # of the equal values, summed in floating point, comes out a rounding error beside them.
        for b, (n, mean, _, squares, mask_squares, _) in enumerate(blocks):
            if n > 1 and squares == 0 and mask_squares == 0 and 0 < mean < 1:
                rows = slice(0, cut[0]) if b < 2 else slice(cut[0], None)
                columns = slice(0, cut[1]) if b % 2 == 0 else slice(cut[1], None)
                block = picture.values[rows, columns]
                similarities[b] = float(block.mean() == block[0, 0])
    return float(structure(sides, similarities, blocks))


@njit(cache=True, nogil=True)
def centroid(gray: Array, mask_level: int, half_up: bool) -> tuple[Int, Int]:
    """Height and width of the upper left block of the S-measure: the mask's centroid, rounded, and one more.

    `half_up` rounds a centroid that lies between two pixels away from the origin, as MATLAB's `round`; otherwise to the
    even one, as NumPy's. The mask must not be empty.
    """
    height, width = gray.shape
    level = np.uint8(mask_level)
    in_column = np.zeros(width, np.uint32)
    n, rows, columns = np.int64(0), np.int64(0), np.int64(0)
    for i in range(height):
        in_row = np.uint32(0)
        for j in range(width):
            g = np.uint32(gray[i, j] > level)
            in_row = np.uint32(in_row + g)
            in_column[j] = np.uint32(in_column[j] + g)
        n += np.int64(in_row)
        rows += np.int64(in_row) * i
    for j in range(width):
        columns += np.int64(in_column[j]) * j
    if half_up:
        return (2 * rows + n) // (2 * n) + 1, (2 * columns + n) // (2 * n) + 1
    return half_even(rows, n) + 1, half_even(columns, n) + 1


@njit(cache=True, nogil=True, inline="always")
def half_even(numerator: Int, denominator: Int) -> Int:
    quotient = numerator // denominator
    rest = 2 * (numerator - quotient * denominator)
    if rest > denominator or (rest == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


# The sum of squares of this many uint8 fits into uint32, and 32 bits are what makes the loop fast. numba widens every
# sum of integers to 64; casting each back lets the compiler keep to 32.
CHUNK = 32768


@njit(cache=True, nogil=True)
def level_blocks(levels: Array, gray: Array, mask_level: int, cut: tuple[int, int], offset: int, scale: int) -> Array:
    """The moments of map and mask in the S-measure's four blocks (upper left, upper right, lower left, lower right).

    Returns float64, 4 x 6: n; mean of the map, of the mask; sums of squares of the map, of the mask, and of products,
    all about the means. Summed in integers, so a flat block has a sum of squares of exactly 0.
    """
    height, width = levels.shape
    mask = np.uint8(mask_level)
    blocks = np.zeros((4, 6))
    for b in range(4):
        top, bottom = (0, cut[0]) if b < 2 else (cut[0], height)
        left, right = (0, cut[1]) if b % 2 == 0 else (cut[1], width)
        n = (bottom - top) * (right - left)
        if n == 0:
            continue
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
        # About the whole part of the mean first: the differences stay small and exact.
        mean, rest = sum_p // n, sum_p % n
        squares = float(sum_pp - 2 * mean * sum_p + mean * mean * n) - float(rest) * float(rest) / n
        products = float(sum_pg - mean * sum_g) - float(rest) * float(sum_g) / n
        blocks[b, 0] = n
        blocks[b, 1] = (sum_p - n * offset) / (n * scale)
        blocks[b, 2] = sum_g / n
        blocks[b, 3] = squares / (float(scale) * scale)
        blocks[b, 4] = float(sum_g) * (n - sum_g) / n
        blocks[b, 5] = products / scale
    return blocks


@njit(cache=True, nogil=True)
def value_blocks(values: Array, gray: Array, mask_level: int, cut: tuple[int, int]) -> Array:
    """As `level_blocks`, of float64 values."""
    height, width = values.shape
    blocks = np.zeros((4, 6))
    for b in range(4):
        top, bottom = (0, cut[0]) if b < 2 else (cut[0], height)
        left, right = (0, cut[1]) if b % 2 == 0 else (cut[1], width)
        n = (bottom - top) * (right - left)
        if n == 0:
            continue
        total, n_fg = 0.0, np.int64(0)
        lowest, highest = np.inf, -np.inf
        for i in range(top, bottom):
            for j in range(left, right):
                v = values[i, j]
                total += v
                lowest, highest = min(lowest, v), max(highest, v)
                n_fg += np.int64(gray[i, j] > mask_level)
        flat = lowest == highest
        mean_v, mean_g = (lowest if flat else total / n), n_fg / n
        squares, products = 0.0, 0.0
        if not flat:
            for i in range(top, bottom):
                for j in range(left, right):
                    v = values[i, j] - mean_v
                    squares += v * v
                    if gray[i, j] > mask_level:
                        products += v  # the mask's mean adds nothing: v sums to 0
        blocks[b, 0], blocks[b, 1], blocks[b, 2], blocks[b, 3] = n, mean_v, mean_g, squares
        blocks[b, 4] = float(n_fg) * (n - n_fg) / n
        blocks[b, 5] = 0.0 if n_fg == n else products
    return blocks


@njit(cache=True, nogil=True)
def region_similarities(blocks: Array) -> tuple[Array, bool]:
    """The blocks' similarities, and whether map and mask are both flat in one, at a value that is not 0 or 1."""
    similarities = np.empty(4)
    doubtful = False
    for b in range(4):
        similarities[b] = region_similarity(blocks[b])
        flat = blocks[b, 0] > 1.0 and blocks[b, 3] == 0.0 and blocks[b, 4] == 0.0
        doubtful |= flat and 0.0 < blocks[b, 1] < 1.0
    return similarities, doubtful


@njit(cache=True, nogil=True)
def region_similarity(block: Array) -> float:
    """SSIM of one block as the S-measure defines it (Fan et al., ICCV 2017, eq. 5); 0 for an empty block."""
    n, x, y = block[0], block[1], block[2]
    if n == 0.0:
        return 0.0
    degrees = n - 1.0 + EPS
    alpha = 4.0 * x * y * block[5] / degrees
    beta = (x * x + y * y) * (block[3] + block[4]) / degrees
    if alpha != 0.0:
        return alpha / (beta + EPS)
    return 1.0 if beta == 0.0 else 0.0


@njit(cache=True, nogil=True)
def object_similarity(n: int, mean: float, squares: float) -> float:
    """One side of eq. 10 of the S-measure: `squares` about the mean, of the map over foreground or background."""
    deviation = math.sqrt(max(squares, 0.0) / (n - 1)) if n > 1 else 0.0
    return 2.0 * mean / (mean * mean + 1.0 + deviation + EPS)


@njit(cache=True, nogil=True)
def level_sides(fg: Array, bg: Array, offset: int, scale: int) -> Array:
    """n, mean, and sum of squares about the mean, of the foreground and the background: float64, 2 x 3."""
    sides = np.zeros((2, 3))
    for side in range(2):
        counts = fg if side == 0 else bg
        n, total, squared = 0, 0, 0
        for level in range(256):
            n += counts[level]
            total += counts[level] * level
        if n == 0:
            continue
        mean, rest = total // n, total % n
        for level in range(256):
            squared += counts[level] * (level - mean) * (level - mean)
        sides[side, 0] = n
        sides[side, 1] = (total - n * offset) / (n * scale)
        sides[side, 2] = (float(squared) - float(rest) * float(rest) / n) / (float(scale) * scale)
    return sides


@njit(cache=True, nogil=True)
def value_sides(values: Array, gray: Array, mask_level: int) -> Array:
    """As `level_sides`, of float64 values."""
    sides = np.zeros((2, 3))
    v, g = values.reshape(-1), gray.reshape(-1)
    for i in range(v.size):
        side = 0 if g[i] > mask_level else 1
        sides[side, 0] += 1.0
        sides[side, 1] += v[i]
    for side in range(2):
        if sides[side, 0] > 0.0:
            sides[side, 1] /= sides[side, 0]
    for i in range(v.size):
        side = 0 if g[i] > mask_level else 1
        d = v[i] - sides[side, 1]
        sides[side, 2] += d * d
    return sides


@njit(cache=True, nogil=True)
def structure(sides: Array, similarities: Array, blocks: Array) -> float:
    """S-measure with alpha = 1/2 of a mask that is neither empty nor full; not below 0."""
    n_fg, n_bg = sides[0, 0], sides[1, 0]
    n = n_fg + n_bg
    share = n_fg / n
    objects = share * object_similarity(int(n_fg), sides[0, 1], sides[0, 2])
    objects += (1.0 - share) * object_similarity(int(n_bg), 1.0 - sides[1, 1], sides[1, 2])
    regions = 0.0
    for b in range(4):
        regions += similarities[b] * blocks[b, 0] / n
    return max(0.0, 0.5 * objects + 0.5 * regions)


LABEL = Label("S", "structure measure", order=6, first=True)

MEASURE = Measure("s", 3, (Column("s_measure", label=LABEL),), of_picture, (Score("s_measure", LABEL, "s_measure"),))
