"""Itti-Koch: saliency as centre-surround differences of intensity, colour and orientation over a pyramid.

L. Itti, C. Koch, E. Niebur, "A Model of Saliency-Based Visual Attention for Rapid Scene Analysis", IEEE TPAMI 20(11),
1998. Its maps are blobs at a sixteenth of the resolution, not objects. All of it is from memory of the paper.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from arn.classical.common import Map, check_picture, min_max, resize_map, resize_picture

LONG_SIDE = 640  # pixels; from memory: the paper's pictures are 640 x 480, and nine scales need the room
CENTRES = (2, 3, 4)  # from memory: scales of the centre; scale k is 2^k times smaller than the picture
DELTAS = (3, 4)  # from memory: the surround is this many scales coarser
MAP_SCALE = 4  # from memory: the scale that the map is put together at
ORIENTATIONS = (0.0, 45.0, 90.0, 135.0)  # degrees; from memory
DARK = 0.1  # from memory: hue counts where the intensity is above this share of the picture's largest
WAVELENGTH = 7.0  # pixels; ours: the paper names Gabor pyramids and gives no constants that we recall
GABOR_SIGMA = 7 / 3  # pixels; ours
GABOR_SIDE = 15  # pixels; ours


def itti_koch(
    picture: np.ndarray,
    *,
    long_side: int = LONG_SIDE,
    centres: tuple[int, ...] = CENTRES,
    deltas: tuple[int, ...] = DELTAS,
    map_scale: int = MAP_SCALE,
    orientations: tuple[float, ...] = ORIENTATIONS,
) -> Map:
    """Itti and Koch's map, float32 H x W in 0..1; `picture` is uint8 RGB, H x W x 3."""
    picture = check_picture(picture)
    height, width = picture.shape[:2]
    scaled = resize_picture(picture, long_side)
    red, green, blue = (scaled[..., k].astype(np.float32) / 255 for k in range(3))
    intensity = (red + green + blue) / 3

    # Hue apart from brightness; in the dark there is none to be seen.
    lit = intensity > DARK * intensity.max()
    r, g, b = (np.where(lit, c / np.where(lit, intensity, 1), 0) for c in (red, green, blue))
    only_red, only_green = np.maximum(r - (g + b) / 2, 0), np.maximum(g - (r + b) / 2, 0)
    only_blue, yellow = np.maximum(b - (r + g) / 2, 0), np.maximum((r + g) / 2 - np.abs(r - g) / 2 - b, 0)

    scales = max(max(centres) + max(deltas), map_scale) + 1
    light = pyramid(intensity, scales)
    shape = light[map_scale].shape

    def conspicuity(features: Iterable[list[np.ndarray]]) -> np.ndarray:
        # Normalised one by one and added at one scale (eq. 5 to 7).
        maps = [
            normalise(resize_map(np.abs(levels[c] - resize_map(levels[c + d], *levels[c].shape)), *shape))
            for levels in features
            for c in centres
            for d in deltas
        ]
        return np.sum(maps, axis=0)

    # The paper has |(R - G)(c) - (G - R)(s)|; with R - G on both sides an even colour has no contrast (ours).
    colour = conspicuity([pyramid(only_red - only_green, scales), pyramid(only_blue - yellow, scales)])
    brightness = conspicuity([light])
    orientation = np.sum(
        [normalise(conspicuity([[oriented(level, angle) for level in light]])) for angle in orientations], axis=0
    )
    saliency = (normalise(brightness) + normalise(colour) + normalise(orientation)) / 3  # eq. 8
    return min_max(resize_map(saliency, height, width))


def pyramid(image: np.ndarray, scales: int) -> list[np.ndarray]:
    """`scales` images, each a low-pass of the one before at half its size (rounded up); the first is `image`."""
    levels = [np.asarray(image, np.float32)]
    for _ in range(scales - 1):
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.float32))
    return levels


def oriented(image: np.ndarray, angle: float) -> np.ndarray:
    """Magnitude of the Gabor response of `image` (float32 h x w) to lines at `angle` degrees; 0 for an even image."""
    responses = []
    for phase in (0.0, np.pi / 2):
        size, radians = (GABOR_SIDE, GABOR_SIDE), float(np.deg2rad(angle))
        gabor = np.asarray(cv2.getGaborKernel(size, GABOR_SIGMA, radians, WAVELENGTH, 1.0, phase, cv2.CV_64F), float)
        kernel = gabor - gabor.mean()  # of sum 0: an even image has no orientation
        kernel /= np.abs(kernel).sum()
        responses.append(cv2.filter2D(image, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT))
    return np.hypot(*responses)


def normalise(feature: np.ndarray) -> np.ndarray:
    """The operator N: scaled to 0..1, then times (1 - m)^2, m being the mean of the local maxima but the largest.

    Promotes a map with one peak over one with many alike. A flat map is zeros; so is what rounding alone made uneven.
    """
    if feature.max() - feature.min() < 1e-5:
        return np.zeros_like(feature)
    feature = min_max(feature)
    peaks = feature[(feature == cv2.dilate(feature, np.ones((3, 3), np.uint8))) & (feature > 0)]
    others = peaks[peaks < 1]
    # Several peaks at the very maximum are rivals to one another: only one of them is left out.
    total = others.sum() + (len(peaks) - len(others) - 1)
    mean = total / (len(peaks) - 1) if len(peaks) > 1 else 0.0
    return feature * np.float32((1 - mean) ** 2)
