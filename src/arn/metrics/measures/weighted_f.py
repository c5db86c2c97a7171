"""Weighted F-measure (Margolin et al., CVPR 2014, eqs. 9 to 14) with beta^2 = 1."""

from __future__ import annotations

import math
import threading

import numpy as np
from numba import njit

from arn.metrics.kernels import EPS, Array, Int
from arn.metrics.measure import Column, Label, Measure, Score
from arn.metrics.picture import Picture

# Room for one picture's distances, kept by each thread: the system hands out fresh memory page by page, zeroed, and
# asking for it anew with every picture made two processes no faster than one.
_scratch = threading.local()


def of_picture(picture: Picture) -> dict[str, float]:
    gray = picture.gray
    room = getattr(_scratch, "room", None)
    if room is None or room.size < gray.size:
        _scratch.room = room = np.empty(gray.size, np.int32)
    levels, table = (picture.values, None) if picture.levels is None else (picture.levels, picture.table.values)
    level = picture.protocol.mask_level
    return {"weighted_f": float(weighted_f(levels, table, gray, level, IMPORTANCE, GAUSS, 1.0, room))}


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


LABEL = Label("weighted F", "weighted F-measure", order=11, first=True)

MEASURE = Measure(
    "wf", 4, (Column("weighted_f", label=LABEL),), of_picture, (Score("weighted_f", LABEL, "weighted_f"),)
)
