"""Weighted F-measure (Margolin et al., CVPR 2014, eqs. 9 to 14) with beta^2 = 1."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from arn.compiled import njit
from arn.metrics.kernels import EPS, Array, Int
from arn.metrics.measure import Column, Label, Measure, Score
from arn.metrics.picture import Picture

# Room for one picture's distances, kept by each thread: the system hands out fresh memory page by page, zeroed, and
# asking for it anew with every picture made two processes no faster than one.
_scratch = threading.local()


def of_picture(picture: Picture) -> dict[str, float]:
    """0 for an empty mask."""
    gray, profiles = picture.gray, picture.profiles
    n_fg = int(profiles[0].sum())
    if n_fg == 0:
        return {"weighted_f": 0.0}
    room = getattr(_scratch, "room", None)
    if room is None or room.size < gray.size:
        _scratch.room = room = np.empty(gray.size, np.int32)
    above = room[: gray.size].reshape(gray.shape)
    levels, table = (picture.values, None) if picture.levels is None else (picture.levels, picture.table[0])
    level = np.uint8(picture.protocol.mask_level)
    false_positive, false_negative = errors(levels, table, gray, level, *profiles, IMPORTANCE, above)
    true_positive = n_fg - false_negative
    recall = 1.0 - false_negative / n_fg
    precision = true_positive / (true_positive + false_positive + EPS)
    return {"weighted_f": 2.0 * recall * precision / (recall + precision + EPS)}


# 2 - exp(ln(1/2) / 5 d), a background pixel's importance by its distance d from the foreground, tabulated by d squared.
# From d = 256 on it is 2 to the last bit of a float64, so that is what every larger distance is given.
IMPORTANCE = 2.0 - np.exp(math.log(0.5) / 5.0 * np.sqrt(np.arange((1 << 16) + 1, dtype=np.float64)))

# fspecial('gaussian', 7, 5) is the outer product of this, mirrored at its last number, with itself.
_GAUSS = np.exp(-(np.arange(-3, 4) ** 2) / 50.0)
_G0, _G1, _G2, _G3 = (float(value) for value in (_GAUSS / _GAUSS.sum())[:4])

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
def _nearest_in_columns(row: Int, gray_row: Array, level: Int, above_row: Array, below: Array, nearest: Array) -> None:
    """Fills `nearest` with the row of each column's nearest foreground pixel; `below` is kept up from row to row."""
    # Two loops: each is simple enough to be vectorised.
    for j in range(below.size):
        below[j] = row if gray_row[j] > level else below[j]
    for j in range(below.size):
        nearer_below = np.int32(below[j] - row) < np.int32(row - above_row[j])
        nearest[j] = below[j] if nearer_below else above_row[j]


@njit(cache=True, nogil=True)
def _envelope(row: Int, gray_row: Array, level: Int, nearest: Array, in_column: Array, parabolas: Array) -> int:
    """Fills `parabolas` (int64, 3 x W + 1) with the lower envelope of (j - site)^2 + height2; returns their number.

    Its rows are site, height2, and the column from which on the parabola is the lowest. Columns without foreground have
    none, and inside a run of foreground pixels only the run's ends can be nearest to anything else.
    """
    width = gray_row.size
    site, height2, start = parabolas[0], parabolas[1], parabolas[2]
    last = -1
    for j in range(width):
        if in_column[j] == 0:
            continue
        h = np.int64(nearest[j] - row) * np.int64(nearest[j] - row)
        if h == 0 and 0 < j < width - 1 and gray_row[j - 1] > level and gray_row[j + 1] > level:
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
    return last + 1


@njit(cache=True, nogil=True)
def _along_row(padded: Array, averaged: Array) -> None:
    """The Gaussian along a row: `padded` is six columns wider than `averaged`."""
    for j in range(averaged.size):
        outer = _G0 * (padded[j] + padded[j + 6]) + _G1 * (padded[j + 1] + padded[j + 5])
        averaged[j] = outer + _G2 * (padded[j + 2] + padded[j + 4]) + _G3 * padded[j + 3]


@njit(cache=True, nogil=True)
def _down_columns(along: Array, row: int, average: Array) -> None:
    """The Gaussian down the columns around `row`, of seven rows that were averaged along; row i is at i modulo 7."""
    middle = along[row % 7]
    for j in range(average.size):
        average[j] = _G3 * middle[j]
    # Scalars and few arrays to a loop: the compiler must prove that nothing overlaps before it vectorises.
    for t in range(1, 4):
        g, before, behind = (_G0, _G1, _G2)[3 - t], along[(row - t) % 7], along[(row + t) % 7]
        for j in range(average.size):
            average[j] += g * (before[j] + behind[j])


@njit(cache=True, nogil=True)
def errors(
    levels: Array, table: Any, gray: Array, level: Int, in_row: Array, in_column: Array, importance: Array, above: Array
) -> tuple[float, float]:
    """The weighted errors of background and foreground, of a mask that is not empty.

    `levels` is the map as uint8, and `table` (256) the values in 0..1 that its levels stand for; or the map's values as
    float64, and None. `in_row` and `in_column` are the mask's profiles, `above` is room for int32, H x W. `importance`
    is the table of this module, handed in: as a global, numba would copy it into its compiled code.

    The nearest foreground pixel of each background pixel is exact, found along columns and then along rows through the
    lower envelope of parabolas (Felzenszwalb and Huttenlocher, Theory of Computing 2012), in integers. Of several
    nearest ones the same is taken as by `scipy.ndimage.distance_transform_edt`: the upper of a column, then the
    leftmost column. Row by row from the last, so that next to nothing is allocated: fresh memory costs more than the
    arithmetic.
    """
    height, width = gray.shape
    rows, columns = np.flatnonzero(in_row), np.flatnonzero(in_column)
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    false_positive, false_negative = 0.0, 0.0
    _nearest_above(gray, level, above)
    below, nearest = np.full(width, _FAR, np.int32), np.empty(width, np.int32)
    parabolas = np.empty((3, width + 1), np.int64)
    values, weight, average = np.empty(width), np.empty(width), np.empty(right + 1 - left)
    # The error that each pixel of a row lends to its neighbours' average: its own, or that of the nearest foreground
    # pixel. Three columns of zeros on each side stand for what lies outside the picture, as do rows of zeros.
    lent, along = np.zeros(width + 6), np.zeros((7, average.size))
    for i in range(max(height - 1, bottom + 3), min(-1, top - 4), -1):
        near = top - 3 <= i <= bottom + 3
        if 0 <= i < height:
            gray_row = gray[i]
            _nearest_in_columns(np.int32(i), gray_row, level, above[i], below, nearest)
            _values(levels[i], table, values)
            begin, end = _span(values)  # distances matter where the map is not 0, and near the foreground
            if near:
                begin, end = min(begin, max(0, left - 3)), max(end, min(width, right + 4))
            if begin >= end:
                continue
            count = _envelope(np.int32(i), gray_row, level, nearest, in_column, parabolas)
            for t in range(count):
                s, h = parabolas[0, t], parabolas[1, t]
                here, after = max(parabolas[2, t], begin), min(parabolas[2, t + 1], end)
                for j in range(here, after):
                    weight[j] = importance[np.uint64(min((j - s) * (j - s) + h, 65536))]
                if near:
                    value = levels[nearest[s], s] if table is None else table[levels[nearest[s], s]]
                    lent[here + 3 : max(here, after) + 3] = 1.0 - value
            if near:
                _lend_own(lent[3 : 3 + width], values, gray_row, level)
            false_positive += _false_positives(weight[begin:end], values[begin:end], gray_row[begin:end], level)
        if near:
            # Along this row, and then, once three more rows are known, down the columns.
            if 0 <= i < height:
                _along_row(lent[left : right + 7], along[i % 7])
            else:
                along[i % 7] = 0.0
            if top <= i + 3 <= bottom:
                _down_columns(along, i + 3, average)
                _values(levels[i + 3, left : right + 1], table, values)
                false_negative += _false_negatives(average, values, gray[i + 3, left : right + 1], level)
    return false_positive, false_negative


@njit(cache=True, nogil=True)
def _values(levels: Array, table: Any, values: Array) -> None:
    for j in range(levels.size):
        values[j] = levels[j] if table is None else table[levels[j]]


@njit(cache=True, nogil=True)
def _span(values: Array) -> tuple[int, int]:
    """The first entry that is not 0, and the one after the last."""
    begin, end = 0, values.size
    while begin < values.size and values[begin] == 0.0:
        begin += 1
    while end > begin and values[end - 1] == 0.0:
        end -= 1
    return begin, end


@njit(cache=True, nogil=True)
def _lend_own(lent: Array, values: Array, gray: Array, level: Int) -> None:
    for j in range(values.size):
        lent[j] = 1.0 - values[j] if gray[j] > level else lent[j]


@njit(cache=True, nogil=True)
def _false_positives(weight: Array, values: Array, gray: Array, level: Int) -> float:
    for j in range(weight.size):
        weight[j] = 0.0 if gray[j] > level else weight[j] * values[j]
    return _sum(weight)


@njit(cache=True, nogil=True)
def _false_negatives(average: Array, values: Array, gray: Array, level: Int) -> float:
    """The smaller of a foreground pixel's own and its averaged error."""
    for j in range(average.size):
        average[j] = min(1.0 - values[j], average[j]) if gray[j] > level else 0.0
    return _sum(average)


LABEL = Label("weighted F", "weighted F-measure", order=11, first=True)

MEASURE = Measure(
    "wf", 4, (Column("weighted_f", label=LABEL),), of_picture, (Score("weighted_f", LABEL, "weighted_f"),)
)
