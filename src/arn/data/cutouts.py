"""The object alone: a map refined to the picture's own edges, and the object's colours without the ground's.

Networks see a picture at a few hundred pixels a side, so that their maps are soft by several pixels at native size.
The guided filter (He, Sun, Tang, TPAMI 2013, colour guide; coefficients at reduced size as in He and Sun, arXiv
1505.00996) moves the transition to where the picture has its edge. Along that edge a pixel shows object and ground
mixed; the object's share of the colour is estimated by blur fusion (Forte, ICIP 2021).

Radius and epsilon: of a dozen pairs, the one whose alpha came closest to the masks of 25 ECSSD pictures. No score
depends on them: only cutouts are refined.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

WORKING_SIDE = 512  # px, longer side at which all that is smooth is computed
RADIUS = 0.008  # of the longer side: about two positions of a map of 224 px
EPSILON = 1e-3  # variance of the guide, in 0..1, that counts as none
SOLID, EMPTY = 0.8, 0.2  # of a map: opaque from, transparent to


def refine(picture: NDArray[np.uint8], saliency: NDArray[np.float32]) -> NDArray[np.float32]:
    """Guided filter of a map, H x W in 0..1, by its picture, uint8 RGB H x W x 3; a map likewise."""
    size = _working_size(*saliency.shape)
    guide, small = _resized(picture, size) / np.float32(255), _resized(saliency, size)
    radius = max(1, round(RADIUS * max(size)))
    window = (2 * radius + 1, 2 * radius + 1)

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.blur(values, window, borderType=cv2.BORDER_REFLECT), np.float32)

    average, of_map = mean(guide), mean(small)
    covariance = mean(guide * small[..., None]) - average * of_map[..., None]
    products = (guide[..., :, None] * guide[..., None, :]).reshape(*guide.shape[:2], 9)
    variance = mean(products).reshape(*guide.shape[:2], 3, 3) - average[..., :, None] * average[..., None, :]
    variance += EPSILON * np.eye(3, dtype=np.float32)
    slope = np.linalg.solve(variance, covariance[..., None])[..., 0].astype(np.float32)
    offset = of_map - (slope * average).sum(axis=-1)
    refined = np.empty(saliency.shape, np.float32)
    for rows, (weights, constant) in _strips(saliency.shape, mean(slope), mean(offset)):
        refined[rows] = np.einsum("hwc,hwc->hw", weights, picture[rows].astype(np.float32) / 255) + constant
    return np.clip(refined, 0, 1, out=refined)


def steepen(saliency: Floats) -> Floats:
    """0 up to `EMPTY`, 1 from `SOLID` on, linear between."""
    steep = saliency - np.float32(EMPTY)
    steep /= np.float32(SOLID - EMPTY)
    return np.clip(steep, 0, 1, out=steep)


def _working_size(height: int, width: int) -> tuple[int, int]:
    scale = min(1.0, WORKING_SIDE / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def object_colours(picture: NDArray[np.uint8], alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture, uint8 RGB H x W x 3, with the object's own colour where `alpha`, its share (H x W), is below 1."""
    size = _working_size(*alpha.shape)
    colours, share = _resized(picture, size), _resized(alpha, size)
    front = ground = found = colours
    # A wide look for pixels far from anything solid, then a narrow one for what lies along the edge.
    for part in (0.05, 0.01):
        side = 2 * max(1, round(part * max(size))) + 1
        front, ground = _weighted_mean(found, share, side), _weighted_mean(colours, 1 - share, side)
        found = _object_share(colours, share[..., None], front, ground)
    result = picture.copy()
    for rows, (before, behind) in _strips(alpha.shape, front, ground):
        mixed = (alpha[rows] > 0) & (alpha[rows] < 1)
        seen, share = picture[rows][mixed].astype(np.float32), alpha[rows][mixed][:, None]
        result[rows][mixed] = np.round(_object_share(seen, share, before[mixed], behind[mixed])).astype(np.uint8)
    return result


def _resized(image: NDArray[np.generic], size: tuple[int, int]) -> Floats:
    """To (width, height) as float32: area-averaged when it shrinks, bilinear when it grows.

    Channel by channel, so that a large picture is never whole in memory as float32.
    """
    how = cv2.INTER_AREA if size[0] <= image.shape[1] else cv2.INTER_LINEAR
    planes = [image] if image.ndim == 2 else [image[..., channel] for channel in range(image.shape[2])]
    small = [cv2.resize(np.asarray(plane, np.float32), size, interpolation=how) for plane in planes]
    return np.asarray(small[0] if image.ndim == 2 else np.dstack(small), np.float32)


def _strips(shape: tuple[int, ...], *small: Floats, height: int = 256) -> Iterator[tuple[slice, tuple[Floats, ...]]]:
    """Arrays enlarged bilinearly to H x W, as many rows at a time: pictures may be large, and all at once larger."""
    wide = [np.asarray(cv2.resize(one, (shape[1], len(one)), interpolation=cv2.INTER_LINEAR)) for one in small]
    for top in range(0, shape[0], height):
        rows = np.arange(top, min(top + height, shape[0]))
        parts = []
        for one in wide:
            place = np.clip((rows + 0.5) * (len(one) / shape[0]) - 0.5, 0, len(one) - 1)
            above = np.floor(place).astype(int)
            weight = (place - above).astype(np.float32).reshape(-1, *[1] * (one.ndim - 1))
            below = np.minimum(above + 1, len(one) - 1)
            parts.append(one[above] * (1 - weight) + one[below] * weight)
        yield slice(rows[0], rows[-1] + 1), tuple(parts)


def _object_share(colours: Floats, share: Floats, front: Floats, ground: Floats) -> Floats:
    """Around the smooth guess `front`, the colour that mixes with `ground` into the one seen."""
    return np.clip(front + share * (colours - share * front - (1 - share) * ground), 0, 255)


def _weighted_mean(colours: Floats, weight: Floats, side: int) -> Floats:
    total = cv2.blur(weight, (side, side))[..., None]
    summed = np.asarray(cv2.blur(colours * weight[..., None], (side, side)), np.float32)
    return np.where(total > 1e-4, summed / np.maximum(total, 1e-4), colours)


def cutout(picture: NDArray[np.uint8], saliency: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The object as uint8 RGBA, H x W x 4, of a picture, uint8 RGB H x W x 3, and its map, H x W in 0..1."""
    alpha = steepen(refine(picture, steepen(saliency)))
    cut = np.empty((*alpha.shape, 4), np.uint8)
    cut[..., :3] = object_colours(picture, alpha)
    alpha *= 255
    cut[..., 3] = np.round(alpha, out=alpha)
    return cut
