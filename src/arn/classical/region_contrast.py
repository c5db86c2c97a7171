"""RC: region contrast, a region is salient by its colour distance to the others, near and large ones counting more.

M.-M. Cheng, N. J. Mitra, X. Huang, P. H. S. Torr, S.-M. Hu, "Global Contrast Based Salient Region Detection", CVPR 2011
and IEEE TPAMI 37(3), 2015, section 4. All of it is from memory of the paper. The authors' code does more: it finds
border regions, and smooths the result over colours.
"""

from __future__ import annotations

import numpy as np
from skimage.segmentation import felzenszwalb

from arn.classical.common import Map, check_picture, min_max, region_means, resize_map, resize_picture
from arn.classical.histogram_contrast import COVER, LEVELS, quantise

LONG_SIDE = 400  # pixels; ours, so that segments keep their size: the pictures of the paper's data set are 400 wide
SCALE = 50.0  # from memory: Felzenszwalb and Huttenlocher's k, for colours in 0..255, as skimage counts it
BLUR = 0.5  # pixels; from memory
SMALLEST = 50  # pixels; from memory
SPATIAL = 0.4  # from memory: sigma_s^2, for distances as shares of the picture's side
CENTRE = 9.0  # from memory: a region's weight is exp(-CENTRE d^2), d its mean distance to the centre


def rc(
    picture: np.ndarray,
    *,
    long_side: int = LONG_SIDE,
    scale: float = SCALE,
    blur: float = BLUR,
    smallest: int = SMALLEST,
    spatial: float = SPATIAL,
    centre: float = CENTRE,
    levels: int = LEVELS,
    cover: float = COVER,
) -> Map:
    """RC's map, float32 H x W in 0..1; `picture` is uint8 RGB, H x W x 3, and is shrunk to `long_side` if larger."""
    picture = check_picture(picture)
    height, width = picture.shape[:2]
    small = resize_picture(picture, min(long_side, max(height, width)))
    labels = felzenszwalb(small, scale=scale, sigma=blur, min_size=smallest)
    saliency = region_contrast(small, labels, spatial, centre, levels, cover)
    return min_max(resize_map(saliency[labels], height, width))


def region_contrast(
    picture: np.ndarray,
    labels: np.ndarray,
    spatial: float = SPATIAL,
    centre: float = CENTRE,
    levels: int = LEVELS,
    cover: float = COVER,
) -> np.ndarray:
    """Saliency of the n regions of `labels` (int H x W, 0..n-1, all used): float64 n, not yet scaled (eq. 7).

    S_k = exp(-centre d_k^2) sum_{i != k} exp(-D_s(k, i) / spatial) size_i D_r(k, i), with D_s the distance of centroids
    as shares of the picture's sides, and D_r the mean colour distance of a pixel of one to one of the other (eq. 6).
    """
    palette = quantise(picture, levels, cover)
    count, colours = int(labels.max()) + 1, len(palette.frequency)
    joint = np.bincount((labels * colours + palette.codes).ravel(), minlength=count * colours)
    histograms = joint.reshape(count, colours).astype(np.float64)
    size = histograms.sum(axis=1)
    histograms /= size[:, None]
    colour = histograms @ palette.distance @ histograms.T
    np.fill_diagonal(colour, 0)  # i != k: a many-coloured region has a distance to itself

    height, width = labels.shape
    y, x = np.mgrid[:height, :width]
    y, x = (y + 0.5) / height, (x + 0.5) / width
    means = region_means(np.dstack([y, x, np.hypot(y - 0.5, x - 0.5)]), labels, count)
    places, to_centre = means[:, :2], means[:, 2]
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    central = np.exp(-centre * to_centre**2)
    return np.asarray(central * ((np.exp(-apart / spatial) * colour) @ size))
