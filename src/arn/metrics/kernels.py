"""Compiled loops that several measures share, over one picture; `picture` checks the input and says what things mean.

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
def extent(counts: Array) -> tuple[int, int]:
    """Lowest and highest level that occurs, from `joint_counts`."""
    lowest, highest = 0, 255
    while counts[0, lowest] + counts[1, lowest] + counts[2, lowest] == 0:
        lowest += 1
    while counts[0, highest] + counts[1, highest] + counts[2, highest] == 0:
        highest -= 1
    return lowest, highest


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
