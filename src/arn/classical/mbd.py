"""MB and MB+: saliency by the minimum barrier distance to the picture's border.

J. Zhang, S. Sclaroff, Z. Lin, X. Shen, B. Price, R. Mech, "Minimum Barrier Salient Object Detection at 80 FPS",
ICCV 2015. The barrier of a path is the spread (maximum minus minimum) of the values on it; the minimum barrier distance
of a pixel is the smallest barrier of any path from it to the outermost pixels (section 3).

For research use. The authors' software is under the GPL and notes a pending patent on the method: before using it in a
product, look into that. This module is written from a description of the algorithm and shares no code with theirs.

Beside a constant "released code" means that it was read there, "from memory" recalled from the paper and not verified.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from arn.classical.common import Frame, Map, check_picture, find_frame, min_max, resize_map, resize_picture
from arn.compiled import njit

LONG_SIDE = 300  # pixels; released code: the longer side of the picture that the distances are computed on
MEDIAN = 5  # pixels; released code: side of the median filter on each channel
PASSES = 3  # released code and paper: raster, inverse raster, raster
FRAME_REACH = 20  # pixels, at LONG_SIDE; released code
FRAME_DENSITY = 0.6  # released code: share of a line that must be edge
FRAME_EDGE = 0.4 * 255  # released code; that the derivative is scaled to 255 for a full step is our reading
STRIP = 0.1  # released code: width of the four border strips, as a share of the picture's side
RIDGE = 50.0  # released code: added to the diagonal of the strips' covariance, in 8-bit Lab units squared
CENTRE_GRID = 300  # pixels; released code: the centre map is built on a square of this side, then resized
SMOOTHING = 50.0  # released code: the structuring element's side is this times the root of the map's mean
SMOOTHING_MIN = 3  # pixels; released code
STEEPNESS = 10.0  # released code: slope of the contrast's logistic function


def mb(
    picture: np.ndarray,
    *,
    long_side: int = LONG_SIDE,
    median: int = MEDIAN,
    passes: int = PASSES,
    remove_frame: bool = True,
    background: bool = False,
    enhanced: bool = True,
) -> Map:
    """MB: the minimum barrier distance to the border, summed over the Lab channels, post-processed (see `enhance`).

    `picture` is uint8 RGB, H x W x 3; the map is float32 H x W in 0..1. That the published MB is post-processed is from
    memory of the paper (MB and MB+ differ in the `background` map alone), and borne out by its scores on ECSSD.
    """
    picture = check_picture(picture)
    height, width = picture.shape[:2]
    channels, frame = prepare(picture, long_side, median, remove_frame)
    saliency = min_max(minimum_barrier_distance(channels, passes).sum(axis=0, dtype=np.float32))
    if background:
        saliency = min_max(saliency + background_map(channels))
    if enhanced:
        saliency = enhance(saliency)
    return min_max(resize_map(frame.pad(saliency), height, width))


def mb_plus(picture: np.ndarray, **constants: Any) -> Map:
    """MB+: `mb` with the colour distance to the border strips added."""
    return mb(picture, background=True, **constants)


def prepare(
    picture: np.ndarray, long_side: int = LONG_SIDE, median: int = MEDIAN, remove_frame: bool = True
) -> tuple[NDArray[np.uint8], Frame]:
    """The picture's Lab channels, small, smoothed and without frame: uint8 3 x h x w; and the frame cut off."""
    small = resize_picture(picture, long_side, enlarge=cv2.INTER_AREA)
    frame = _frame(small) if remove_frame else Frame(0, 0, 0, 0)
    channels = cv2.cvtColor(np.ascontiguousarray(frame.crop(small)), cv2.COLOR_RGB2LAB)
    channels = cv2.medianBlur(channels, median)
    return np.ascontiguousarray(channels.transpose(2, 0, 1)), frame


def _frame(small: np.ndarray) -> Frame:
    """All four sides by the widest line found, where at least two sides have one (released code); else no frame."""
    frame = find_frame(small, FRAME_REACH, FRAME_DENSITY, FRAME_EDGE)
    if sum(side > 0 for side in frame) < 2:
        return Frame(0, 0, 0, 0)
    return Frame(*(max(frame),) * 4)


def minimum_barrier_distance(channels: np.ndarray, passes: int = PASSES) -> NDArray[np.int16]:
    """Fast MBD (Algorithm 1): approximate barrier distance of every pixel to the outermost pixels, per channel.

    `channels` is uint8 C x H x W; the distances are int16 C x H x W in 0..255. Passes visit the inner pixels in raster
    order (neighbours left then up) and inverse raster order (right then down) by turns.
    """
    values = np.ascontiguousarray(channels, np.int16)
    distance = np.full(values.shape, np.iinfo(np.int16).max, np.int16)
    distance[:, [0, -1], :] = 0
    distance[:, :, [0, -1]] = 0
    lowest, highest = values.copy(), values.copy()
    for channel in range(len(values)):
        _sweep(values[channel], distance[channel], lowest[channel], highest[channel], passes)
    return distance


@njit(cache=True, nogil=True)
def _sweep(values, distance, lowest, highest, passes):  # type: ignore[no-untyped-def] # pragma: no cover
    height, width = values.shape
    for index in range(passes):
        step = 1 if index % 2 == 0 else -1
        y = 1 if step == 1 else height - 2
        for _ in range(height - 2):
            x = 1 if step == 1 else width - 2
            # The neighbour just visited stays in registers: the chain from pixel to pixel is what the time goes into.
            low, high = lowest[y, x - step], highest[y, x - step]
            for _ in range(width - 2):
                value = values[y, x]
                best, best_low, best_high = distance[y, x], lowest[y, x], highest[y, x]
                low, high = min(value, low), max(value, high)
                if high - low < best:
                    best, best_low, best_high = high - low, low, high
                low, high = min(value, lowest[y - step, x]), max(value, highest[y - step, x])
                if high - low < best:
                    best, best_low, best_high = high - low, low, high
                distance[y, x], lowest[y, x], highest[y, x] = best, best_low, best_high
                low, high = best_low, best_high
                x += step
            y += step


def background_map(channels: np.ndarray) -> Map:
    """MB+'s second cue (section 4.2): how unlike each border strip a colour is, all but the strip it is most unlike.

    `channels` is 3 x H x W; the map float32 H x W in 0..1. Per strip colours are whitened by its covariance, and the L1
    norm of the difference to its mean is stretched to 0..1. The sum of the four less their pixelwise maximum forgives
    one strip for holding a piece of the object.
    """
    _, height, width = channels.shape
    rows, columns = max(1, int(height * STRIP)), max(1, int(width * STRIP))
    sides = (channels[:, :rows], channels[:, -rows:], channels[:, :, :columns], channels[:, :, -columns:])
    whitening = np.empty((4, 3, 3), np.float32)
    origin = np.empty((4, 3), np.float32)  # each strip's mean in whitened axes: one product instead of one per pixel
    for index, side in enumerate(sides):
        sample = side.reshape(3, -1).astype(np.float64)
        mean = sample.mean(axis=1)
        centred = sample - mean[:, None]
        covariance = centred @ centred.T / max(1, sample.shape[1] - 1)
        variances, vectors = np.linalg.eigh(covariance + RIDGE * np.eye(3))
        axes = (vectors / np.sqrt(variances)).T
        whitening[index], origin[index] = axes, axes @ mean
    total = _unlike_strips(np.ascontiguousarray(channels).reshape(3, -1), whitening, origin)
    return min_max(total.reshape(height, width))


@njit(cache=True, nogil=True)
def _unlike_strips(channels, whitening, origin):  # type: ignore[no-untyped-def] # pragma: no cover
    pixels = channels.shape[1]
    distance = np.empty((4, pixels), np.float32)
    low = np.full(4, np.inf, np.float32)
    high = np.full(4, -np.inf, np.float32)
    for strip in range(4):
        m, o = whitening[strip], origin[strip]
        for pixel in range(pixels):
            x, y, z = np.float32(channels[0, pixel]), np.float32(channels[1, pixel]), np.float32(channels[2, pixel])
            value = abs(m[0, 0] * x + m[0, 1] * y + m[0, 2] * z - o[0])
            value += abs(m[1, 0] * x + m[1, 1] * y + m[1, 2] * z - o[1])
            value += abs(m[2, 0] * x + m[2, 1] * y + m[2, 2] * z - o[2])
            distance[strip, pixel] = value
            low[strip], high[strip] = min(low[strip], value), max(high[strip], value)
    scale = np.zeros(4, np.float32)
    for strip in range(4):
        if high[strip] > low[strip]:
            scale[strip] = np.float32(1) / (high[strip] - low[strip])
    total = np.empty(pixels, np.float32)
    for pixel in range(pixels):
        a, b = (distance[0, pixel] - low[0]) * scale[0], (distance[1, pixel] - low[1]) * scale[1]
        c, d = (distance[2, pixel] - low[2]) * scale[2], (distance[3, pixel] - low[3]) * scale[3]
        total[pixel] = (a + b + c + d) - max(max(a, b), max(c, d))
    return total


def enhance(saliency: np.ndarray) -> Map:
    """The post-processing (section 4.3) of a map: prefer the centre, level regions out, spread the classes apart."""
    centred = min_max(saliency * centre_map(*saliency.shape))
    # Scaling once more is from memory of the paper, not in the description of the released code. Without it the
    # background stays gray: docs/classical.md has the figures.
    return stretch(min_max(smooth(centred)))


@lru_cache(maxsize=4)
def centre_map(height: int, width: int) -> Map:
    """1 at the centre falling linearly to 0 in the corners, float32 height x width, elliptic as the picture is."""
    offset = np.arange(CENTRE_GRID, dtype=np.float32) - np.float32(CENTRE_GRID - 1) / 2
    distance = np.hypot(offset[:, None], offset[None, :])
    return resize_map(1 - distance / distance.max(), height, width)


def smooth(saliency: np.ndarray, strength: float = SMOOTHING) -> Map:
    """Opening by reconstruction, then closing by reconstruction, with a square of side `strength` * sqrt(mean)."""
    side = max(SMOOTHING_MIN, int(strength * np.sqrt(saliency.mean(dtype=np.float64))))
    square = np.ones((side, side), np.uint8)
    saliency = np.ascontiguousarray(saliency, np.float32)
    opened = reconstruct(cv2.erode(saliency, square), saliency)
    # Closing is opening of the negative.
    return -reconstruct(-cv2.dilate(opened, square), -opened)


def stretch(saliency: np.ndarray) -> Map:
    """A logistic function about the middle of the means above and below half the maximum, stretched to 0..1."""
    above = saliency >= saliency.max() / 2
    if above.all():
        return np.zeros_like(saliency, np.float32)
    middle = (saliency[above].mean() + saliency[~above].mean()) / 2
    return min_max(1 / (1 + np.exp(-STEEPNESS * (saliency - middle))))


def reconstruct(marker: np.ndarray, limit: np.ndarray) -> Map:
    """Morphological reconstruction by dilation of `marker` under `limit`, 8-connected: float32 H x W, like both.

    The hybrid algorithm of L. Vincent, "Morphological grayscale reconstruction in image analysis", IEEE TIP 1993.
    `marker` may not exceed `limit`.
    """
    grown = np.pad(np.asarray(marker, np.float32), 1, constant_values=-np.inf)
    _reconstruct(grown, np.pad(np.asarray(limit, np.float32), 1, constant_values=-np.inf))
    return grown[1:-1, 1:-1]


@njit(cache=True, nogil=True)
def _reconstruct(marker, limit):  # type: ignore[no-untyped-def] # pragma: no cover
    height, width = marker.shape
    for y in range(1, height - 1):
        left = marker[y, 0]
        for x in range(1, width - 1):
            above = max(max(marker[y - 1, x - 1], marker[y - 1, x]), marker[y - 1, x + 1])
            left = min(max(max(marker[y, x], above), left), limit[y, x])
            marker[y, x] = left
    # A ring buffer of one place per pixel is enough, because a pixel waits in it at most once.
    queue = np.empty(height * width, np.int32)
    waits = np.zeros(height * width, np.bool_)
    head = 0
    count = 0
    for y in range(height - 2, 0, -1):
        right = marker[y, width - 1]
        for x in range(width - 2, 0, -1):
            below = max(max(marker[y + 1, x - 1], marker[y + 1, x]), marker[y + 1, x + 1])
            before = right
            right = min(max(max(marker[y, x], below), right), limit[y, x])
            marker[y, x] = right
            # What was passed and could still rise from here was wronged by the order of the scan.
            if (
                before < min(right, limit[y, x + 1])
                or marker[y + 1, x - 1] < min(right, limit[y + 1, x - 1])
                or marker[y + 1, x] < min(right, limit[y + 1, x])
                or marker[y + 1, x + 1] < min(right, limit[y + 1, x + 1])
            ):
                queue[count] = y * width + x
                waits[y * width + x] = True
                count += 1
    while count > 0:
        pixel = queue[head]
        head += 1
        if head == queue.size:
            head = 0
        count -= 1
        waits[pixel] = False
        y, x = pixel // width, pixel % width
        here = marker[y, x]
        for j in range(y - 1, y + 2):
            for i in range(x - 1, x + 2):
                reachable = min(here, limit[j, i])
                if marker[j, i] < reachable:
                    marker[j, i] = reachable
                    neighbour = j * width + i
                    if not waits[neighbour]:
                        waits[neighbour] = True
                        place = head + count
                        queue[place - queue.size if place >= queue.size else place] = neighbour
                        count += 1
