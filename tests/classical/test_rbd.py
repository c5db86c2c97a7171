"""RBD against literal transcriptions: graph distances by SciPy, the rest by loops over superpixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from scipy.sparse.csgraph import dijkstra
from skimage.filters import threshold_otsu

from arn.classical import robust_background as rbd
from arn.classical.common import min_max, otsu


@pytest.fixture(scope="module")
def regions() -> rbd.Regions:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = np.kron(blocks, np.ones((16, 16, 1), np.uint8))
    picture = np.clip(picture + rng.integers(-9, 9, picture.shape), 0, 255).astype(np.uint8)
    return rbd.segment(picture, superpixel=200)


def test_regions_are_what_a_loop_over_pixels_finds(regions: rbd.Regions) -> None:
    labels = regions.labels
    height, width = labels.shape
    count = len(regions.colours)
    assert count > 20
    adjacent = np.zeros((count, count), bool)
    boundary = np.zeros(count, bool)
    for y in range(height):
        for x in range(width):
            if min(y, x, height - 1 - y, width - 1 - x) < 8:
                boundary[labels[y, x]] = True
            for j in (y - 1, y, y + 1):
                for i in (x - 1, x, x + 1):
                    if 0 <= j < height and 0 <= i < width and labels[j, i] != labels[y, x]:
                        adjacent[labels[y, x], labels[j, i]] = True
    np.testing.assert_array_equal(regions.adjacent, adjacent)
    np.testing.assert_array_equal(regions.boundary, boundary)
    ys, xs = np.nonzero(labels == 5)
    np.testing.assert_allclose(regions.places[5], [ys.mean() / height, xs.mean() / width])


def test_mean_colours_are_lab() -> None:
    picture = np.full((40, 60, 3), (255, 0, 0), np.uint8)
    colours = rbd.segment(picture).colours
    np.testing.assert_allclose(colours, [[53.24, 80.09, 67.20]] * len(colours), atol=0.1)  # sRGB red, D65


@pytest.mark.parametrize("count", [1, 2, 30])
def test_geodesic_distances_are_scipys(count: int) -> None:
    rng = np.random.default_rng(count)
    colour = rbd.pairwise(rng.random((count, 3)) * 30)
    linked = np.triu(rng.random((count, count)) < 0.15, 1)
    linked |= linked.T
    clip = 3.0
    distance = rbd.geodesic_distances(colour, linked, clip)
    # SciPy takes a stored zero for an edge in a sparse matrix only, and clipped links cost nothing.
    rows, columns = np.nonzero(linked)
    graph = scipy.sparse.csr_array((np.maximum(colour[rows, columns] - clip, 0), (rows, columns)), (count, count))
    np.testing.assert_allclose(distance, dijkstra(graph), atol=1e-9)


def test_colour_scale_is_its_definition(regions: rbd.Regions) -> None:
    colour = rbd.pairwise(regions.colours)
    count = len(colour)
    one, two, steps = [], [], []
    for i in range(count):
        neighbours = {j for j in range(count) if regions.adjacent[i, j]}
        second = {k for j in neighbours for k in range(count) if regions.adjacent[j, k]} | neighbours
        one.append(min(colour[i, j] for j in neighbours))
        two.append(min(colour[i, j] for j in second - {i}))
        steps += [colour[i, j] for j in neighbours]
    largest = sorted(steps)[-round(len(steps) * 0.01) :]
    m1, m2, top = np.mean(one), np.mean(two), np.mean(largest)
    scale = rbd.colour_scale(regions.adjacent, colour)
    assert scale.clip == pytest.approx(m2)
    assert scale.geodesic_sigma == pytest.approx(max(5, min(10, 3 * m1, top / 10)))
    assert scale.smoothness_sigma == pytest.approx(min(3 * m1, 0.2 * top, 20))


def test_connectivity_and_contrast_are_their_sums(regions: rbd.Regions) -> None:
    colour, place = rbd.pairwise(regions.colours), rbd.pairwise(regions.places)
    count, sigma = len(colour), 7.0
    geodesic = rbd.geodesic_distances(colour, rbd.link_boundary(regions.adjacent, regions.boundary), 4.0)
    connectivity = rbd.boundary_connectivity(geodesic, regions.boundary, sigma)
    expected = []
    for i in range(count):
        share = [math.exp(-(d**2) / (2 * sigma**2)) if d <= 3 * sigma else 0 for d in geodesic[i]]
        length = sum(s for s, on_border in zip(share, regions.boundary, strict=True) if on_border)
        expected.append(length / math.sqrt(sum(share)))
    np.testing.assert_allclose(connectivity, expected)

    probability = 1 - np.exp(-(connectivity**2) / 2)
    contrast = []
    for i in range(count):
        near = [math.exp(-(d**2) / (2 * 0.4**2)) if d <= 1.2 else 0 for d in place[i]]
        contrast.append(sum(colour[i, j] * near[j] * probability[j] for j in range(count)))
    scaled = min_max(np.array(contrast))
    scaled[scaled < otsu(scaled)] = 0
    np.testing.assert_allclose(rbd.weighted_contrast(colour, place, probability), scaled, atol=1e-12)
    assert 0 < (scaled == 0).mean() < 1


def test_optimise_minimises_the_cost() -> None:
    """A general minimiser, given only the cost as the paper writes it, finds nothing lower."""
    rng = np.random.default_rng(2)
    count = 8
    smoothness = rng.random((count, count))
    smoothness = np.triu(smoothness, 1) + np.triu(smoothness, 1).T
    background, foreground = rng.random(count), rng.random(count)

    def cost(s: np.ndarray) -> float:
        data = sum(background[i] * s[i] ** 2 + foreground[i] * (s[i] - 1) ** 2 for i in range(count))
        pairs = sum(smoothness[i, j] * (s[i] - s[j]) ** 2 for i in range(count) for j in range(i))
        return float(data + pairs)

    solution = rbd.optimise(smoothness, background, foreground)
    found = scipy.optimize.minimize(cost, np.full(count, 0.5), tol=1e-12)
    np.testing.assert_allclose(solution, found.x, atol=1e-5)
    assert ((solution >= 0) & (solution <= 1)).all()


def test_hops_and_links() -> None:
    chain = np.zeros((5, 5), bool)
    for i in range(4):
        chain[i, i + 1] = chain[i + 1, i] = True
    away = np.abs(np.arange(5)[:, None] - np.arange(5))
    np.testing.assert_array_equal(rbd.hops(chain), (away > 0) & (away <= 2))
    ends = np.array([True, False, False, False, True])
    linked = rbd.link_boundary(chain, ends)
    assert linked[0, 4]
    assert linked[4, 0]
    assert not linked.diagonal().any()
    assert linked.sum() == chain.sum() + 2


def test_otsu_splits_as_skimages() -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(0.25, 0.08, 300), rng.normal(0.7, 0.1, 100)]).clip(0, 1)
    # Thresholds within an empty stretch of the histogram are equally good: what counts is who is on which side.
    levels = np.rint(values * 255).astype(np.uint8)
    np.testing.assert_array_equal(values >= otsu(values), levels > threshold_otsu(levels))
    assert otsu(np.full(9, 0.5)) == pytest.approx(0.5, abs=1 / 255)


def test_an_object_inside_stands_out_and_one_along_the_border_does_not() -> None:
    picture = np.full((200, 300, 3), (90, 120, 90), np.uint8)
    picture[70:130, 110:190] = (200, 60, 50)  # inside
    picture[:, 260:] = (60, 60, 200)  # along the right border
    saliency = rbd.rbd(picture)
    assert saliency[75:125, 115:185].min() > 0.9
    assert saliency[:, 265:].max() < 0.2
    assert saliency[:60].max() < 0.2
