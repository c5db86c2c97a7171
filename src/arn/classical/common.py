"""What the training-free methods share: checking a picture, normalising a map, Lab, Otsu's threshold, frames."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Map = NDArray[np.float32]


def check_picture(picture: np.ndarray) -> Picture:
    """The picture itself, C-contiguous. Raises ValueError unless uint8 RGB, H x W x 3, not empty."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise ValueError(f"a picture is uint8 RGB, H x W x 3; got {picture.dtype} of shape {picture.shape}")
    return np.ascontiguousarray(picture)


def min_max(values: np.ndarray) -> np.ndarray:
    """`values` stretched to 0..1, float32 or float64 like the input; zeros where they are all equal."""
    low, high = values.min(), values.max()
    if not high > low:
        return np.zeros_like(values)
    # Subtracting before dividing keeps the maximum at exactly 1: x / x.
    return (values - low) / (high - low)


def lab(picture: Picture) -> NDArray[np.float32]:
    """CIE Lab (D65), float32 H x W x 3: L in 0..100, a and b in about -127..127."""
    return cv2.cvtColor(picture.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)  # type: ignore[return-value]


def resize_picture(picture: Picture, long_side: int, enlarge: int = cv2.INTER_LINEAR) -> Picture:
    """The picture with its longer side at `long_side` pixels."""
    height, width = picture.shape[:2]
    ratio = long_side / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    interpolation = cv2.INTER_AREA if ratio < 1 else enlarge
    return cv2.resize(picture, size, interpolation=interpolation)  # type: ignore[return-value]


def resize_map(saliency: np.ndarray, height: int, width: int) -> Map:
    """`saliency` as float32 height x width, bilinear (area when it shrinks, or detail would alias)."""
    saliency = np.asarray(saliency, np.float32)
    if saliency.shape == (height, width):
        return saliency
    shrinks = height < saliency.shape[0] and width < saliency.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(saliency, (width, height), interpolation=interpolation)  # type: ignore[return-value]


def region_means(values: np.ndarray, labels: np.ndarray, count: int) -> NDArray[np.float64]:
    """Means of `values`, H x W x C, over the regions of `labels`, int H x W, 0..count-1, all used: count x C."""
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=count)
    return np.stack([np.bincount(flat, one, count) / sizes for one in values.reshape(len(flat), -1).T], axis=1)


def otsu(values: np.ndarray, bins: int = 256) -> float:
    """Otsu's threshold of `values` in 0..1: the bin whose split has the largest between-class variance, in 0..1.

    Where several splits tie (an empty stretch of the histogram) their mean is taken. Flat values give their own value.
    """
    # Rounded, not floored: the level k/(bins-1) then stands for the values nearest to it.
    levels = np.rint(np.clip(values, 0, 1).ravel() * (bins - 1)).astype(np.intp)
    histogram = np.bincount(levels, minlength=bins) / levels.size
    below = np.cumsum(histogram)
    moment = np.cumsum(histogram * np.arange(bins))
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (moment[-1] * below - moment) ** 2 / (below * (1 - below))
    variance[~np.isfinite(variance)] = -1
    best = variance.max()
    if best <= 0:
        return float(levels[0] / (bins - 1))
    return float(np.mean(np.flatnonzero(variance >= best * (1 - 1e-9)))) / (bins - 1)


class Frame(NamedTuple):
    """Widths in pixels of an artificial frame on each side, 0 where there is none."""

    top: int
    bottom: int
    left: int
    right: int

    def crop(self, array: np.ndarray) -> np.ndarray:
        """What lies inside the frame; a view."""
        height, width = array.shape[:2]
        return array[self.top : height - self.bottom, self.left : width - self.right]

    def pad(self, saliency: np.ndarray) -> np.ndarray:
        """`saliency` of the inside, with zeros where the frame was."""
        return np.pad(saliency, ((self.top, self.bottom), (self.left, self.right))) if any(self) else saliency


def find_frame(picture: Picture, reach: int, density: float, edge: float) -> Frame:
    """The artificial frame of a picture: per side, the innermost straight line that lies within `reach` pixels.

    A line is a row (column) of which more than `density` are pixels where the 3 x 3 Sobel derivative across it, 255 for
    a step from black to white, exceeds `edge`.
    """
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    height, width = gray.shape
    if min(height, width) < 2 * reach + 2:
        return Frame(0, 0, 0, 0)

    def innermost(strip: np.ndarray, along: int) -> int:
        """Width of the frame at the start of `strip`, whose lines run along axis `along`."""
        derivative = cv2.Sobel(strip, cv2.CV_32F, int(along == 0), int(along == 1), ksize=3, scale=0.25)
        lines = np.flatnonzero((np.abs(derivative) > edge).mean(axis=along)[:reach] > density)
        return int(lines[-1]) + 1 if len(lines) else 0

    flipped = gray[::-1, ::-1]
    # One more line than `reach`: the derivative at the last needs it.
    top, bottom = (innermost(np.ascontiguousarray(side[: reach + 1]), 1) for side in (gray, flipped))
    left, right = (innermost(np.ascontiguousarray(side[:, : reach + 1]), 0) for side in (gray, flipped))
    return Frame(top, bottom, left, right)
