"""SLIC superpixels, several times faster than skimage's, whose `compactness` is another number.

R. Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel methods", IEEE TPAMI 34(11), 2012:
k-means in (L, a, b, x, y) from a regular grid, each centre looking no further than one grid step away. Details are from
memory of the paper.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arn.compiled import njit

ITERATIONS = 10  # from memory of the paper: enough for most pictures
SMALLEST = 0.25  # from memory of the authors' code: smaller connected pieces, as a share of a grid cell, are merged


def slic(colours: np.ndarray, pixels: float, compactness: float) -> tuple[NDArray[np.int32], int]:
    """Superpixels of about `pixels` pixels each: int32 H x W labels 0..n-1, every one connected and used; and n.

    `colours` is float32 H x W x 3, CIE Lab. The distance of a pixel to a centre is colour^2 + (compactness / step)^2 *
    place^2, with `step` = sqrt(pixels). Pieces that are not connected (4-neighbours) to the rest of their superpixel
    become superpixels of their own or, if small, join a neighbour.
    """
    height, width = colours.shape[:2]
    step = float(np.sqrt(pixels))
    rows, columns = max(1, round(height / step)), max(1, round(width / step))
    ys = (np.arange(rows) + 0.5) * height / rows
    xs = (np.arange(columns) + 0.5) * width / columns
    places = np.stack(np.meshgrid(ys, xs, indexing="ij"), axis=-1).reshape(-1, 2)
    planes = np.ascontiguousarray(colours.transpose(2, 0, 1), np.float32)
    _settle(planes, places)
    centres = np.concatenate([places, planes[:, places[:, 0].astype(int), places[:, 1].astype(int)].T], axis=1)
    labels = _cluster(planes, centres, step, compactness, height / rows, width / columns, ITERATIONS)
    connected = np.empty_like(labels)
    count = _connect(labels, connected, SMALLEST * pixels)
    return connected, int(count)


def _settle(planes: np.ndarray, places: np.ndarray) -> None:
    """Move each centre, in place, to the lowest gradient among its 3 x 3 neighbours: off edges and noisy pixels."""
    _, height, width = planes.shape
    if height < 3 or width < 3:
        return
    gradient = np.full((height, width), np.inf, np.float32)
    across = planes[:, 1:-1, 2:] - planes[:, 1:-1, :-2]
    down = planes[:, 2:, 1:-1] - planes[:, :-2, 1:-1]
    gradient[1:-1, 1:-1] = (across**2 + down**2).sum(axis=0)
    for place in places:
        y, x = min(max(int(place[0]), 1), height - 2), min(max(int(place[1]), 1), width - 2)
        window = gradient[y - 1 : y + 2, x - 1 : x + 2]
        j, i = divmod(int(window.argmin()), 3)
        if window[j, i] < window[1, 1]:
            place[:] = y + j - 1, x + i - 1


@njit(cache=True, nogil=True)
def _cluster(planes, centres, step, compactness, reach_y, reach_x, iterations):  # type: ignore[no-untyped-def] # pragma: no cover
    _, height, width = planes.shape
    count = len(centres)
    labels = np.zeros((height, width), np.int32)
    distance = np.empty((height, width), np.float32)
    weight = np.float32((compactness / step) ** 2)
    sums = np.empty((count, 6))
    for _ in range(iterations):
        distance[:] = np.inf
        for index in range(count):
            cy, cx = np.float32(centres[index, 0]), np.float32(centres[index, 1])
            cl, ca, cb = np.float32(centres[index, 2]), np.float32(centres[index, 3]), np.float32(centres[index, 4])
            top, bottom = max(0, int(cy - reach_y)), min(height, int(cy + reach_y) + 1)
            left, right = max(0, int(cx - reach_x)), min(width, int(cx + reach_x) + 1)
            for y in range(top, bottom):
                down = (np.float32(y) - cy) ** 2
                for x in range(left, right):
                    across = np.float32(x) - cx
                    l, a, b = planes[0, y, x] - cl, planes[1, y, x] - ca, planes[2, y, x] - cb  # noqa: E741
                    d = l * l + a * a + b * b + weight * (down + across * across)
                    # Both stores happen always, so that the loop has no branch and runs on vectors.
                    closer = d < distance[y, x]
                    labels[y, x] = index if closer else labels[y, x]
                    distance[y, x] = d if closer else distance[y, x]
        sums[:] = 0
        for y in range(height):
            for x in range(width):
                # A pixel that no centre reaches (they have all moved off) stays with its last superpixel.
                total = sums[labels[y, x]]
                total[0] += y
                total[1] += x
                total[2] += planes[0, y, x]
                total[3] += planes[1, y, x]
                total[4] += planes[2, y, x]
                total[5] += 1
        for index in range(count):
            if sums[index, 5] > 0:
                for k in range(5):
                    centres[index, k] = sums[index, k] / sums[index, 5]
    return labels


@njit(cache=True, nogil=True)
def _connect(labels, connected, smallest):  # type: ignore[no-untyped-def] # pragma: no cover
    """Number the 4-connected pieces of `labels` into `connected`; a small one joins the piece before it. Returns n."""
    height, width = labels.shape
    connected[:] = -1
    piece_y = np.empty(height * width, np.int64)
    piece_x = np.empty(height * width, np.int64)
    count = 0
    for top in range(height):
        for left in range(width):
            if connected[top, left] >= 0:
                continue
            # The piece begins here, in raster order, so what is left of or above it has its number already.
            neighbour = -1
            if left > 0:
                neighbour = connected[top, left - 1]
            elif top > 0:
                neighbour = connected[top - 1, left]
            label = labels[top, left]
            connected[top, left] = count
            piece_y[0], piece_x[0] = top, left
            size = 1
            read = 0
            while read < size:
                y, x = piece_y[read], piece_x[read]
                read += 1
                for j, i in ((y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)):
                    inside = 0 <= j < height and 0 <= i < width
                    if inside and connected[j, i] < 0 and labels[j, i] == label:
                        connected[j, i] = count
                        piece_y[size], piece_x[size] = j, i
                        size += 1
            if size < smallest and neighbour >= 0:
                for read in range(size):
                    connected[piece_y[read], piece_x[read]] = neighbour
            else:
                count += 1
    return count
