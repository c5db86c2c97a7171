"""Compiled loops of the measures. Private to this room: `functional` checks the input and says what things mean.

Everything here takes contiguous arrays that have been checked, releases the interpreter (threads scale) and is compiled
once per machine (`cache=True`). No `fastmath`: results must not depend on how the compiler reorders a sum.

Throughout, `fg` and `bg` are foreground and background of the mask, n counts pixels, and a pixel's bin is the number of
the 256 thresholds that it passes, 0..256.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

NONE, MAX, MINMAX = 0, 1, 2
TRUNCATE, COMPARE, STRICT = 0, 1, 2

# The distance between 1 and the next float64: the `eps` of MATLAB and `np.spacing(1)` of PySODMetrics.
EPS = float(np.spacing(1.0))

Array = Any  # numba infers the types of arguments
Int = Any


# Pixels brought to keys at a time: few enough to stay in the fastest cache.
_BLOCK = 4096


@njit(cache=True, nogil=True)
def joint_counts(levels: Array, gray: Array) -> Array:
    """Pixels by mask level and map level: int64, 3 x 256, in one pass over uint8 `levels` and `gray` of one shape.

    The first axis is the mask's class: 0 up to 25, 1 for 26..128, 2 above, so that both binarisations in use (at least
    a tenth; above 128) come from the same pass.
    """
    p, m = levels.reshape(-1), gray.reshape(-1)
    n = p.size
    # Mask class and level as one key of 16 bits, four keys to a word. Maps and masks are flat over large parts, where a
    # word repeats and is counted as a run. Elsewhere an increment must wait for the last one of the same bin to be
    # stored: four tables taken in turn keep that wait off the path.
    keys = np.empty(_BLOCK, np.uint16)
    words = keys.view(np.uint64)
    tables = np.zeros((4, 1024), np.int64)
    a, b, c, d = tables[0], tables[1], tables[2], tables[3]
    low, ones = np.uint64(0xFFFF), np.uint64(0x0001000100010001)
    for start in range(0, n, _BLOCK):
        p_block, m_block = p[start : start + _BLOCK], m[start : start + _BLOCK]
        for i in range(p_block.size):
            class_of = np.uint16(m_block[i] > np.uint8(25)) + np.uint16(m_block[i] > np.uint8(128))
            keys[i] = np.uint16(np.uint16(class_of << np.uint16(8)) | np.uint16(p_block[i]))
        size = (p_block.size + 3) // 4
        keys[p_block.size : 4 * size] = 0
        a[0] -= 4 * size - p_block.size  # what fills the last word
        i = 0
        while i < size:
            word = words[i]
            i += 1
            first = word & low
            if word == first * ones:
                run = 4
                while i < size and words[i] == word:
                    run += 4
                    i += 1
                a[first] += run
            else:
                a[first] += 1
                b[(word >> np.uint64(16)) & low] += 1
                c[(word >> np.uint64(32)) & low] += 1
                d[word >> np.uint64(48)] += 1
    counts = np.empty((3, 256), np.int64)
    for k in range(3):
        for v in range(256):
            j = 256 * k + v
            counts[k, v] = a[j] + b[j] + c[j] + d[j]
    return counts


@njit(cache=True, nogil=True)
def difference_sum(levels: Array, gray: Array) -> Int:
    """Sum of |map - mask| in levels, of uint8 arrays."""
    p, m = levels.reshape(-1), gray.reshape(-1)
    total = np.int64(0)
    for i in range(p.size):
        total += abs(np.int32(p[i]) - np.int32(m[i]))
    return total


@njit(cache=True, nogil=True)
def extent(counts: Array) -> tuple[int, int]:
    """Lowest and highest level that occurs, from `joint_counts`."""
    lowest, highest = 0, 255
    while counts[0, lowest] + counts[1, lowest] + counts[2, lowest] == 0:
        lowest += 1
    while counts[0, highest] + counts[1, highest] + counts[2, highest] == 0:
        highest -= 1
    return lowest, highest


@njit(cache=True, nogil=True)
def histogram_error(fg: Array, bg: Array, offset: int, scale: int) -> float:
    """Sum of |map - mask| from counts by level (256); value = (level - offset) / scale."""
    total = 0
    for level in range(256):
        total += fg[level] * (scale - (level - offset)) + bg[level] * (level - offset)
    return total / scale


@njit(cache=True, nogil=True, inline="always")
def bin_of(value: float, quantise: int) -> int:
    """How many of the thresholds 0/255 .. 255/255 `value`, in 0..1, passes."""
    k = int(value * 255.0)
    if quantise == TRUNCATE:
        return k + 1
    # value * 255 is off by a rounding error; the comparison with k / 255 is what MATLAB's histc does.
    while k < 255 and value >= (k + 1) / 255.0:
        k += 1
    while k > 0 and value < k / 255.0:
        k -= 1
    if quantise == STRICT and value == k / 255.0:
        return k
    return k + 1


@njit(cache=True, nogil=True)
def level_table(lowest: int, highest: int, normalise: int, quantise: int) -> tuple[Array, Array, int, int]:
    """What the 256 levels of a map with that lowest and highest level become.

    Returns the normalised values (float64, 256), their bins (int64, 256), and the same normalisation in integers:
    value = (level - offset) / scale. Levels outside lowest..highest are left 0. The floating-point operations are those
    of the original programs, one by one: a value that meets a threshold exactly must fall on the same side.
    """
    values, bins = np.zeros(256), np.zeros(256, np.int64)
    low, high = lowest / 255.0, highest / 255.0
    offset, scale = 0, 255
    if normalise == MINMAX and highest > lowest:
        offset, scale = lowest, highest - lowest
    elif normalise == MAX and highest > 0:
        scale = highest
    for level in range(lowest, highest + 1):
        value = level / 255.0
        if normalise == MINMAX and highest > lowest:
            value = (value - low) / (high - low)
        elif normalise == MAX and highest > 0:
            value = value / high
        values[level] = value
        bins[level] = bin_of(value, quantise)
    return values, bins, offset, scale


@njit(cache=True, nogil=True)
def rebinned(counts: Array, bins: Array) -> Array:
    """Counts by level (256) as counts by bin (257)."""
    out = np.zeros(257, np.int64)
    for level in range(256):
        out[bins[level]] += counts[level]
    return out


@njit(cache=True, nogil=True)
def precision_recall_f(
    fg: Array, bg: Array, smoothing: float, beta2: float, precision: Array, recall: Array, f_curve: Array
) -> float:
    """Fills the three curves (256, from threshold 255 down to 0) from counts by bin (257); returns the largest F."""
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
        precision[k], recall[k], f_curve[k] = p, r, f
        best = max(best, f)
    return best


@njit(cache=True, nogil=True, inline="always")
def f_measure(precision: float, recall: float, beta2: float) -> float:
    product = (1.0 + beta2) * precision * recall
    if product == 0.0:
        return 0.0
    return product / (beta2 * precision + recall)


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


@njit(cache=True, nogil=True)
def adaptive_counts(fg: Array, bg: Array, offset: int, scale: int) -> tuple[int, int, int]:
    """True and false positives at the threshold min(2 mean, 1), from counts by level (256).

    A level's value is (level - offset) / scale. Decided in integers, hence exactly. Returns also the level that meets
    2 mean exactly, or -1: there the answer of a program that sums in floating point depends on how it rounds. Levels
    of value 0 and 1 meet it safely.
    """
    n, total = 0, 0
    for level in range(256):
        count = fg[level] + bg[level]
        n += count
        total += count * (level - offset)
    threshold = min(2 * total, n * scale)
    tp, fp, tie = 0, 0, -1
    for level in range(256):
        if fg[level] + bg[level] == 0:
            continue
        value = n * (level - offset)
        if value >= threshold:
            tp += fg[level]
            fp += bg[level]
        if value == 2 * total and 0 < level - offset < scale:
            tie = level
    return tp, fp, tie


# ------------------------------------------------------------------------------------------------------- S-measure


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
def level_blocks(
    levels: Array, gray: Array, mask_level: int, cut_row: int, cut_column: int, offset: int, scale: int
) -> Array:
    """The moments of map and mask in the S-measure's four blocks (upper left, upper right, lower left, lower right).

    Returns float64, 4 x 6: n; mean of the map, of the mask; sums of squares of the map, of the mask, and of products,
    all about the means. Summed in integers, so a flat block has a sum of squares of exactly 0.
    """
    height, width = levels.shape
    mask = np.uint8(mask_level)
    blocks = np.zeros((4, 6))
    for b in range(4):
        top, bottom = (0, cut_row) if b < 2 else (cut_row, height)
        left, right = (0, cut_column) if b % 2 == 0 else (cut_column, width)
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
def value_blocks(values: Array, gray: Array, mask_level: int, cut_row: int, cut_column: int) -> Array:
    """As `level_blocks`, of float64 values."""
    height, width = values.shape
    blocks = np.zeros((4, 6))
    for b in range(4):
        top, bottom = (0, cut_row) if b < 2 else (cut_row, height)
        left, right = (0, cut_column) if b % 2 == 0 else (cut_column, width)
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


# ------------------------------------------------------------------------------------------------- weighted F-measure

# 2 - exp(ln(1/2) / 5 d), a background pixel's importance by its distance d from the foreground, tabulated by d squared.
# From d = 256 on it is 2 to the last bit of a float64, so that is what every larger distance is given.
IMPORTANCE = 2.0 - np.exp(math.log(0.5) / 5.0 * np.sqrt(np.arange((1 << 16) + 1, dtype=np.float64)))

# fspecial('gaussian', 7, 5) is the outer product of this with itself.
GAUSS = np.exp(-(np.arange(-3, 4) ** 2) / 50.0)
GAUSS = GAUSS / GAUSS.sum()

_FAR = 1 << 30


@njit(cache=True, nogil=True)
def _sum(array: Array) -> float:
    """Four sums side by side, since an addition waits for the last one of its own sum."""
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    fours = array.size - array.size % 4
    for j in range(0, fours, 4):
        s0 += array[j]
        s1 += array[j + 1]
        s2 += array[j + 2]
        s3 += array[j + 3]
    for j in range(fours, array.size):
        s0 += array[j]
    return (s0 + s1) + (s2 + s3)


@njit(cache=True, nogil=True)
def _nearest_above(gray: Array, level: Int, above: Array) -> None:
    """Row of the nearest foreground pixel at or above, in the same column: int32, H x W; -_FAR where there is none."""
    height, width = gray.shape
    seen = np.full(width, -_FAR, np.int32)
    for i in range(height):
        row = np.int32(i)
        gray_row, above_row = gray[i], above[i]
        for j in range(width):
            seen[j] = row if gray_row[j] > level else seen[j]
            above_row[j] = seen[j]


@njit(cache=True, nogil=True)
def weighted_f(
    levels: Array,
    table: Array | None,
    gray: Array,
    mask_level: int,
    importance: Array,
    gauss: Array,
    beta2: float,
    scratch: Array,
) -> float:
    """Weighted F-measure (Margolin et al., CVPR 2014, eqs. 9-14); 0 for an empty mask.

    `levels` is the map as uint8, and `table` (256) the values in 0..1 that its levels stand for; or the map's values as
    float64, and None. `scratch` is int32, with room for as many as there are pixels. `importance` and `gauss` are the
    tables of this module, handed in: as globals, numba would copy them into its compiled code.

    The nearest foreground pixel of each background pixel is exact, found along columns and then along rows through the
    lower envelope of parabolas (Felzenszwalb and Huttenlocher, Theory of Computing 2012), in integers. Of several
    nearest ones the same is taken as by `scipy.ndimage.distance_transform_edt`: the upper of a column, then the
    leftmost column. Row by row, so that next to nothing is allocated: fresh memory costs more than the arithmetic.
    """
    height, width = gray.shape
    level = np.uint8(mask_level)
    in_column = np.zeros(width, np.uint32)
    top, bottom, n_fg = height, -1, np.int64(0)
    for i in range(height):
        in_row = np.uint32(0)
        gray_row = gray[i]
        for j in range(width):
            g = np.uint32(gray_row[j] > level)
            in_row = np.uint32(in_row + g)
            in_column[j] = np.uint32(in_column[j] + g)
        if in_row > 0:
            top, bottom = min(top, i), i
            n_fg += np.int64(in_row)
    if n_fg == 0:
        return 0.0
    left, right = 0, width - 1
    while in_column[left] == 0:
        left += 1
    while in_column[right] == 0:
        right -= 1
    columns = right + 1 - left

    above = scratch[: height * width].reshape(height, width)
    _nearest_above(gray, level, above)
    below = np.full(width, _FAR, np.int32)
    nearest, site, height2 = np.empty(width, np.int32), np.empty(width, np.int64), np.empty(width, np.int64)
    start = np.empty(width + 1, np.int64)
    values_row, weight, average = np.empty(width), np.empty(width), np.empty(columns)
    # The error that each pixel of a row lends to its neighbours' average: its own, or that of the nearest foreground
    # pixel. Three columns of zeros on each side stand for what lies outside the picture, as do rows of zeros.
    lent = np.zeros(width + 6)
    # Seven rows of it, averaged along the row: row i is kept at i modulo 7.
    along = np.zeros((7, columns))
    g0, g1, g2, g3 = gauss[0], gauss[1], gauss[2], gauss[3]
    false_positive, false_negative = 0.0, 0.0

    for i in range(max(height - 1, bottom + 3), min(-1, top - 4), -1):
        near = top - 3 <= i <= bottom + 3
        if 0 <= i < height:
            row = np.int32(i)
            levels_row, gray_row, above_row = levels[i], gray[i], above[i]
            # Two loops: each is simple enough to be vectorised.
            for j in range(width):
                below[j] = row if gray_row[j] > level else below[j]
            for j in range(width):
                nearer_below = np.int32(below[j] - row) < np.int32(row - above_row[j])
                nearest[j] = below[j] if nearer_below else above_row[j]
            for j in range(width):
                values_row[j] = levels_row[j] if table is None else table[levels_row[j]]

            # Distances matter where the map is not 0, and near the foreground.
            begin, end = 0, width
            while begin < width and values_row[begin] == 0.0:
                begin += 1
            while end > begin and values_row[end - 1] == 0.0:
                end -= 1
            if near:
                begin, end = min(begin, max(0, left - 3)), max(end, min(width, right + 4))
            if begin >= end:
                continue

            # Lower envelope of the parabolas (j - site)^2 + height2; site t is the lowest from start[t] on. Columns
            # without foreground have none, and inside a run of foreground pixels only the run's ends can be nearest to
            # anything else.
            last = -1
            for j in range(left, right + 1):
                if in_column[j] == 0:
                    continue
                h = np.int64(nearest[j] - row) * np.int64(nearest[j] - row)
                if h == 0 and left < j < right and gray_row[j - 1] > level and gray_row[j + 1] > level:
                    continue
                since = 0
                while last >= 0:
                    gap = j - site[last]
                    # The first column where site j is lower, not merely as low: ties stay with the left. The quotient
                    # is either whole or far enough from whole for a float64 to be on the right side.
                    rise = gap * (j + site[last]) + h - height2[last]
                    since = math.floor(float(rise) / float(2 * gap)) + 1
                    if since > start[last]:
                        break
                    last -= 1
                if last < 0:
                    since = 0
                if since < width:
                    last += 1
                    site[last], height2[last], start[last] = j, h, since
            start[last + 1] = width

            for t in range(last + 1):
                s, h = site[t], height2[t]
                here, after = max(start[t], begin), min(start[t + 1], end)
                for j in range(here, after):
                    d2 = (j - s) * (j - s) + h
                    weight[j] = importance[np.uint64(min(d2, 65536))]
                if near:
                    value = levels[nearest[s], s] if table is None else table[levels[nearest[s], s]]
                    lent[here + 3 : max(here, after) + 3] = 1.0 - value
            if near:
                own = lent[3 : 3 + width]
                for j in range(width):
                    own[j] = 1.0 - values_row[j] if gray_row[j] > level else own[j]
            errors, value_part, gray_part = weight[begin:end], values_row[begin:end], gray_row[begin:end]
            for j in range(errors.size):
                errors[j] = 0.0 if gray_part[j] > level else errors[j] * value_part[j]
            false_positive += _sum(errors)
        if not near:
            continue

        # Average over the window: along this row, and then, once three more rows are known, down the columns. Scalars
        # and few arrays to a loop: the compiler must prove that nothing overlaps before it vectorises.
        along_row = along[i % 7]
        if 0 <= i < height:
            padded = lent[left : right + 7]
            for j in range(columns):
                outer = g0 * (padded[j] + padded[j + 6]) + g1 * (padded[j + 1] + padded[j + 5])
                along_row[j] = outer + g2 * (padded[j + 2] + padded[j + 4]) + g3 * padded[j + 3]
        else:
            along_row[:] = 0.0
        done = i + 3
        if not top <= done <= bottom:
            continue
        middle = along[done % 7]
        for j in range(columns):
            average[j] = g3 * middle[j]
        for t in range(1, 4):
            g, before, behind = gauss[3 - t], along[(done - t) % 7], along[(done + t) % 7]
            for j in range(columns):
                average[j] += g * (before[j] + behind[j])
        levels_part, gray_part = levels[done, left : right + 1], gray[done, left : right + 1]
        for j in range(columns):
            error = 1.0 - (levels_part[j] if table is None else table[levels_part[j]])
            average[j] = min(error, average[j]) if gray_part[j] > level else 0.0
        false_negative += _sum(average)

    true_positive = n_fg - false_negative
    recall = 1.0 - false_negative / n_fg
    precision = true_positive / (true_positive + false_positive + EPS)
    return (1.0 + beta2) * recall * precision / (recall + beta2 * precision + EPS)


# --------------------------------------------------------------------------------------------------------- float maps


@njit(cache=True, nogil=True)
def value_range(values: Array) -> tuple[float, float, bool]:
    """Lowest and highest value, and whether all are numbers."""
    lowest, highest, numbers = np.inf, -np.inf, True
    v = values.reshape(-1)
    for i in range(v.size):
        numbers &= not np.isnan(v[i])
        lowest, highest = min(lowest, v[i]), max(highest, v[i])
    return lowest, highest, numbers


@njit(cache=True, nogil=True)
def normalised(values: Array, lowest: float, highest: float, normalise: int) -> Array:
    """`values` as float64, normalised."""
    out = np.empty(values.shape)
    v, o = values.reshape(-1), out.reshape(-1)
    for i in range(v.size):
        value = float(v[i])
        if normalise == MINMAX and highest > lowest:
            value = (value - lowest) / (highest - lowest)
        elif normalise == MAX and highest > 0.0:
            value = value / highest
        o[i] = value
    return out


@njit(cache=True, nogil=True)
def level_values(levels: Array, table: Array) -> Array:
    out = np.empty(levels.shape)
    p, o = levels.reshape(-1), out.reshape(-1)
    for i in range(p.size):
        o[i] = table[p[i]]
    return out


@njit(cache=True, nogil=True)
def value_counts(values: Array, gray: Array, mask_level: int, quantise: int) -> tuple[Array, Array]:
    """Foreground and background pixels by bin: int64, 257 each."""
    fg, bg = np.zeros(257, np.int64), np.zeros(257, np.int64)
    v, g = values.reshape(-1), gray.reshape(-1)
    for i in range(v.size):
        k = bin_of(v[i], quantise)
        if g[i] > mask_level:
            fg[k] += 1
        else:
            bg[k] += 1
    return fg, bg


@njit(cache=True, nogil=True)
def counts_from(values: Array, gray: Array, mask_level: int, threshold: float) -> tuple[int, int]:
    """Foreground and background pixels with values of at least `threshold`."""
    tp, fp = 0, 0
    v, g = values.reshape(-1), gray.reshape(-1)
    for i in range(v.size):
        if v[i] >= threshold:
            if g[i] > mask_level:
                tp += 1
            else:
                fp += 1
    return tp, fp


@njit(cache=True, nogil=True)
def absolute_error(values: Array, gray: Array, mask_level: int) -> float:
    """Sum of |map - mask|; of a gray mask, level / 255, where `mask_level` is negative."""
    total = 0.0
    v, g = values.reshape(-1), gray.reshape(-1)
    for i in range(v.size):
        if mask_level < 0:
            total += abs(v[i] - g[i] / 255.0)
        elif g[i] > mask_level:
            total += 1.0 - v[i]
        else:
            total += v[i]
    return total


# --------------------------------------------------------------------------------------------------------- exact sums


@njit(cache=True, nogil=True)
def add_exactly(limbs: Array, row: Array) -> None:
    """Adds each value of `row` (float64, K) to `limbs` (int64, 3 x K): units, 2^-32 and 2^-64."""
    for k in range(row.size):
        whole = math.floor(row[k])
        rest = (row[k] - whole) * 4294967296.0
        middle = math.floor(rest)
        limbs[0, k] += np.int64(whole)
        limbs[1, k] += np.int64(middle)
        limbs[2, k] += np.int64(math.floor((rest - middle) * 4294967296.0))
