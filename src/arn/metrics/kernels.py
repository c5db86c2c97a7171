"""Compiled loops that several measures share, over one picture; `picture` checks the input and says what things mean.

Everything here takes contiguous arrays that have been checked, releases the interpreter (threads scale) and is compiled
once per machine (`cache=True`). No `fastmath`: results must not depend on how the compiler reorders a sum.

Throughout, `fg` and `bg` are foreground and background of the mask, n counts pixels, and a pixel's bin is the number of
the 256 thresholds that it passes, 0..256.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from arn.compiled import njit

MAX, MINMAX = 1, 2  # any other number leaves maps as they are
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
    return (a + b + c + d)[:768].reshape(3, 256)


@njit(cache=True, nogil=True)
def profiles(gray: Array, mask_level: int) -> tuple[Array, Array]:
    """Foreground pixels of each row and of each column."""
    height, width = gray.shape
    level = np.uint8(mask_level)
    in_row, in_column = np.zeros(height, np.int64), np.zeros(width, np.uint32)
    for i in range(height):
        gray_row, count = gray[i], np.uint32(0)
        for j in range(width):
            g = np.uint32(gray_row[j] > level)
            count = np.uint32(count + g)
            in_column[j] = np.uint32(in_column[j] + g)
        in_row[i] = count
    return in_row, in_column.astype(np.int64)


@njit(cache=True, nogil=True)
def extent(counts: Array) -> tuple[int, int]:
    """Lowest and highest level that occurs, from `joint_counts`."""
    occurring = np.flatnonzero(counts[0] + counts[1] + counts[2])
    return occurring[0], occurring[-1]


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
def scaled(value: Any, lowest: float, highest: float, normalise: int) -> Any:
    """A map's value, or an array of them, normalised.

    The operations are those of the original programs, one by one: a value that meets a threshold exactly must fall on
    the same side.
    """
    if normalise == MINMAX and highest > lowest:
        return (value - lowest) / (highest - lowest)
    if normalise == MAX and highest > 0.0:
        return value / highest
    return value


@njit(cache=True, nogil=True)
def level_table(lowest: int, highest: int, normalise: int, quantise: int) -> tuple[Array, Array]:
    """Normalised values (float64, 256) and their bins (int64, 256) of the levels lowest..highest, elsewhere 0."""
    values, bins = np.zeros(256), np.zeros(256, np.int64)
    for level in range(lowest, highest + 1):
        values[level] = scaled(level / 255.0, lowest / 255.0, highest / 255.0, normalise)
        bins[level] = bin_of(values[level], quantise)
    return values, bins


@njit(cache=True, nogil=True)
def cumulated(fg: Array, bg: Array, bins: Array) -> tuple[Array, Array, int, int]:
    """True and false positives at thresholds 255 to 0 (256 each), foreground and background pixels, where `fg` and `bg`
    are counted by entries of `bins`."""
    counts = np.zeros((2, 257), np.int64)
    for k in range(bins.size):
        counts[0, bins[k]] += fg[k]
        counts[1, bins[k]] += bg[k]
    return counts[0, :0:-1].cumsum(), counts[1, :0:-1].cumsum(), fg.sum(), bg.sum()


@njit(cache=True, nogil=True)
def adaptive_counts(fg: Array, bg: Array, offset: int, scale: int) -> tuple[int, int, bool]:
    """True and false positives at the threshold min(2 mean, 1), from counts by level (256), decided in integers.

    A level's value is (level - offset) / scale. Returns also whether a level meets 2 mean exactly: there the answer of
    a program that sums in floating point depends on how it rounds. Levels of value 0 and 1 meet it safely.
    """
    n, total = 0, 0
    for level in range(256):
        count = fg[level] + bg[level]
        n += count
        total += count * (level - offset)
    threshold = min(2 * total, n * scale)
    tp, fp, tie = 0, 0, False
    for level in range(256):
        if fg[level] + bg[level] == 0:
            continue
        value = n * (level - offset)
        if value >= threshold:
            tp += fg[level]
            fp += bg[level]
        if value == 2 * total and 0 < level - offset < scale:
            tie = True
    return tp, fp, tie


def normalised(values: Array, lowest: float, highest: float, normalise: int) -> Array:
    """A whole map, `scaled`: float64."""
    return scaled(values.astype(np.float64), lowest, highest, normalise)


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
def bins_of(values: Array, quantise: int) -> Array:
    """The bin of each value: uint16 H x W."""
    bins = np.empty(values.shape, np.uint16)
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            bins[i, j] = bin_of(values[i, j], quantise)
    return bins
