"""RBD: saliency optimisation from robust background detection.

W. Zhu, S. Liang, Y. Wei, J. Sun, "Saliency Optimization from Robust Background Detection", CVPR 2014. A superpixel is
background to the degree that its region lies along the picture's border (boundary connectivity, section 3). Foreground
is what contrasts with the background (4.1), and a quadratic cost weighs both against smoothness (4.2).

The authors' software is for non-commercial use. This module is written from a description of the algorithm and shares
no code with theirs. Beside a constant "released code" means that it was read there, "from memory" recalled from the
paper and not verified.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from arn.classical.common import Frame, Map, Picture, check_picture, find_frame, lab, min_max, otsu
from arn.classical.slic import slic
from arn.compiled import njit

SUPERPIXEL = 600.0  # pixels in one superpixel; released code
COMPACTNESS = 20.0  # released code
MOST_SUPERPIXELS = 1000  # ours: distances of all pairs are kept, so a large picture gets larger superpixels instead
FRAME_REACH = 30  # pixels; released code
FRAME_DENSITY = 0.6  # released code: share of a line that must be edge
FRAME_EDGE = 0.4 * 255  # ours, as in MB: the released code's edge detector is not described
BORDER = 8  # pixels; released code: a superpixel that touches the outermost 8 is a boundary superpixel
TOP = 0.01  # released code: share of neighbour distances that counts as the largest
GEODESIC_SIGMA = (5.0, 10.0)  # Lab units; released code: bounds of the sigma (paper: a constant 10)
SMOOTHNESS_SIGMA = 20.0  # Lab units; released code: upper bound of the sigma
POSITION_SIGMA = 0.4  # share of the picture's side; released code (the paper's text has .25, from memory)
CUT = 3.0  # sigmas; released code: beyond, a Gaussian weight is zero
BOUNDARY_SIGMA = 1.0  # released code and paper
CERTAIN_CONNECTIVITY = 3.0  # released code: above, a superpixel is background for certain
CERTAIN_WEIGHT = 1000.0  # released code
BACKGROUND_WEIGHT = 5.0  # released code
REGULARISATION = 0.1  # released code and paper: smoothness between neighbours of whatever colour


def rbd(
    picture: np.ndarray,
    *,
    superpixel: float = SUPERPIXEL,
    compactness: float = COMPACTNESS,
    most_superpixels: int = MOST_SUPERPIXELS,
    remove_frame: bool = True,
    border: int = BORDER,
    position_sigma: float = POSITION_SIGMA,
    boundary_sigma: float = BOUNDARY_SIGMA,
    background_weight: float = BACKGROUND_WEIGHT,
    regularisation: float = REGULARISATION,
) -> Map:
    """RBD's map, float32 H x W in 0..1, constant on each superpixel; `picture` is uint8 RGB, H x W x 3."""
    picture = check_picture(picture)
    frame = find_frame(picture, FRAME_REACH, FRAME_DENSITY, FRAME_EDGE) if remove_frame else Frame(0, 0, 0, 0)
    regions = segment(np.ascontiguousarray(frame.crop(picture)), superpixel, compactness, most_superpixels, border)
    colour = pairwise(regions.colours)
    scale = colour_scale(regions.adjacent, colour)
    linked = link_boundary(regions.adjacent, regions.boundary)
    geodesic = geodesic_distances(colour, linked, scale.clip)
    connectivity = boundary_connectivity(geodesic, regions.boundary, scale.geodesic_sigma)
    probability = 1 - np.exp(-(connectivity**2) / (2 * boundary_sigma**2))
    foreground = weighted_contrast(colour, pairwise(regions.places), probability, position_sigma)
    background = np.where(connectivity > CERTAIN_CONNECTIVITY, CERTAIN_WEIGHT, probability)
    two_hops = link_boundary(hops(regions.adjacent), regions.boundary)
    smoothness = gaussian(colour, scale.smoothness_sigma, cut=None) * two_hops + regularisation * regions.adjacent
    saliency = optimise(smoothness, background_weight * background, foreground)
    painted = min_max(saliency).astype(np.float32)[regions.labels]
    return np.ascontiguousarray(frame.pad(painted))


class Regions(NamedTuple):
    """The n superpixels of a picture and who touches whom."""

    labels: NDArray[np.int32]  # H x W, 0..n-1
    colours: NDArray[np.float64]  # n x 3, mean CIE Lab
    places: NDArray[np.float64]  # n x 2, mean row and column, as shares of the picture's height and width
    adjacent: NDArray[np.bool_]  # n x n, symmetric, False on the diagonal: share a side or a corner of a pixel
    boundary: NDArray[np.bool_]  # n, touches the picture's border


def segment(
    picture: Picture,
    superpixel: float = SUPERPIXEL,
    compactness: float = COMPACTNESS,
    most: int = MOST_SUPERPIXELS,
    border: int = BORDER,
) -> Regions:
    """SLIC superpixels of a picture, described. Their number is its pixels / `superpixel`, `most` at most (about)."""
    height, width = picture.shape[:2]
    colours = lab(picture)
    labels, count = slic(colours, max(superpixel, height * width / most), compactness)
    means, adjacent, boundary = _describe(labels, colours, count, border)
    means[:, 3] /= height
    means[:, 4] /= width
    return Regions(labels, means[:, :3], means[:, 3:], adjacent, boundary)


@njit(cache=True, nogil=True)
def _describe(labels, colours, count, border):  # type: ignore[no-untyped-def] # pragma: no cover
    height, width = labels.shape
    means = np.zeros((count, 5))
    sizes = np.zeros(count)
    adjacent = np.zeros((count, count), np.bool_)
    boundary = np.zeros(count, np.bool_)
    for y in range(height):
        for x in range(width):
            here = labels[y, x]
            sizes[here] += 1
            for k in range(3):
                means[here, k] += colours[y, x, k]
            means[here, 3] += y
            means[here, 4] += x
            if y < border or x < border or y >= height - border or x >= width - border:
                boundary[here] = True
            # Right, below left, below, below right: each pair of 8-neighbours is met once.
            for j, i in ((y, x + 1), (y + 1, x - 1), (y + 1, x), (y + 1, x + 1)):
                if j < height and 0 <= i < width and labels[j, i] != here:
                    adjacent[here, labels[j, i]] = True
                    adjacent[labels[j, i], here] = True
    for index in range(count):
        means[index] /= sizes[index]
    return means, adjacent, boundary


def pairwise(points: np.ndarray) -> NDArray[np.float64]:
    """Euclidean distances between the rows of `points` (n x d): float64 n x n."""
    difference = points[:, None, :] - points[None, :, :]
    return np.sqrt(np.einsum("ijk,ijk->ij", difference, difference))


def hops(adjacent: np.ndarray) -> NDArray[np.bool_]:
    """Neighbours, and neighbours' neighbours: bool n x n, False on the diagonal, like `adjacent`."""
    near = adjacent.astype(np.float32)
    two = (near @ near > 0) | adjacent
    np.fill_diagonal(two, False)
    return two


def link_boundary(adjacent: np.ndarray, boundary: np.ndarray) -> NDArray[np.bool_]:
    """`adjacent` with all boundary superpixels linked to one another: the background often goes on outside."""
    linked = adjacent | (boundary[:, None] & boundary[None, :])
    np.fill_diagonal(linked, False)
    return linked


def gaussian(distance: np.ndarray, sigma: float, cut: float | None = CUT) -> NDArray[np.float64]:
    """exp(-d^2 / (2 sigma^2)), zero beyond `cut` sigmas; for sigma 0 its limit: 1 where the distance is 0, else 0."""
    if sigma <= 0:
        return (distance == 0).astype(np.float64)
    weight = np.exp(-(distance**2) / (2 * sigma**2))
    if cut is not None:
        weight[distance > cut * sigma] = 0
    return weight


class ColourScale(NamedTuple):
    """How far apart the colours of this picture's neighbouring superpixels lie, in Lab units."""

    clip: float  # a step this small costs nothing on a geodesic path
    geodesic_sigma: float
    smoothness_sigma: float


def colour_scale(adjacent: np.ndarray, colour: np.ndarray) -> ColourScale:
    """The sigmas and the clip of a picture, from its n x n colour distances (released code; the paper: constants)."""
    if not adjacent.any():
        return ColourScale(0.0, GEODESIC_SIGMA[0], 0.0)
    nearest = _mean_smallest(colour, adjacent)
    nearest_of_two = _mean_smallest(colour, hops(adjacent))
    steps = np.sort(colour[adjacent])[::-1]
    largest = float(steps[: max(1, round(TOP * steps.size))].mean())
    low, high = GEODESIC_SIGMA
    return ColourScale(
        clip=nearest_of_two,
        geodesic_sigma=max(min(high, 3 * nearest, largest / 10), low),
        smoothness_sigma=min(3 * nearest, largest / 5, SMOOTHNESS_SIGMA),
    )


def _mean_smallest(colour: np.ndarray, linked: np.ndarray) -> float:
    # Superpixels cover one connected picture, so where there are two each has a neighbour.
    return float(np.where(linked, colour, np.inf).min(axis=1).mean())


def geodesic_distances(colour: np.ndarray, linked: np.ndarray, clip: float = 0.0) -> NDArray[np.float64]:
    """Lengths n x n of the shortest paths (eq. 1), a link of colour distance d costing max(0, d - clip)."""
    distance = np.where(linked, np.maximum(colour - clip, 0), np.inf)
    np.fill_diagonal(distance, 0)
    _floyd_warshall(distance)
    return distance


@njit(cache=True, nogil=True)
def _floyd_warshall(distance):  # type: ignore[no-untyped-def] # pragma: no cover
    # Dense, because links among all boundary superpixels make it so.
    count = len(distance)
    through = np.empty(count)
    for middle in range(count):
        through[:] = distance[middle]
        for start in range(count):
            first = through[start]
            if first < np.inf:
                row = distance[start]
                for end in range(count):
                    detour = first + through[end]
                    row[end] = detour if detour < row[end] else row[end]


def boundary_connectivity(geodesic: np.ndarray, boundary: np.ndarray, sigma: float) -> NDArray[np.float64]:
    """Boundary connectivity of n superpixels (eq. 3 to 5): length along the border / sqrt(area) of the soft region."""
    weight = gaussian(geodesic, sigma)
    return weight[:, boundary].sum(axis=1) / np.sqrt(weight.sum(axis=1))


def weighted_contrast(
    colour: np.ndarray, place: np.ndarray, probability: np.ndarray, sigma: float = POSITION_SIGMA
) -> NDArray[np.float64]:
    """Background-weighted contrast (eq. 7), float64 n in 0..1, with what Otsu's threshold calls low set to 0.

    `colour` and `place` are n x n distances, `probability`, n, is that of being background.
    """
    contrast = min_max((colour * gaussian(place, sigma)) @ probability)
    contrast[contrast < otsu(contrast)] = 0
    return contrast


def optimise(smoothness: np.ndarray, background: np.ndarray, foreground: np.ndarray) -> NDArray[np.float64]:
    """The map s of n superpixels that minimises the cost of eq. 9, float64 n in 0..1:

    sum_i background_i s_i^2 + sum_i foreground_i (s_i - 1)^2 + sum_{i<j} smoothness_ij (s_i - s_j)^2.
    """
    matrix = np.diag(smoothness.sum(axis=1) + background + foreground) - smoothness
    # Positive definite: boundary superpixels have a background weight, and a picture's graph is connected.
    solution: NDArray[np.float64] = scipy.linalg.solve(matrix, foreground, assume_a="pos")
    return solution
