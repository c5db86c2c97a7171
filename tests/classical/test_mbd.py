"""MB and MB+ against literal transcriptions of their definitions, slow and in plain Python."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from skimage.morphology import reconstruction

from arn.classical import mbd
from arn.classical.common import min_max


def raster_scan(image: np.ndarray, passes: int) -> np.ndarray:
    """Algorithm 1 of the paper on one channel, as its description reads: the neighbours one after the other."""
    height, width = image.shape
    values = [[int(v) for v in row] for row in image]
    distance = [[10**6] * width for _ in range(height)]
    for y in range(height):
        for x in range(width):
            if y in (0, height - 1) or x in (0, width - 1):
                distance[y][x] = 0
    upper = [list(row) for row in values]
    lower = [list(row) for row in values]
    for index in range(1, passes + 1):
        forward = index % 2 == 1
        ys, xs = list(range(1, height - 1)), list(range(1, width - 1))
        neighbours = [(0, -1), (-1, 0)] if forward else [(0, 1), (1, 0)]
        for y in ys if forward else ys[::-1]:
            for x in xs if forward else xs[::-1]:
                for dy, dx in neighbours:
                    high = max(values[y][x], upper[y + dy][x + dx])
                    low = min(values[y][x], lower[y + dy][x + dx])
                    if high - low < distance[y][x]:
                        distance[y][x], upper[y][x], lower[y][x] = high - low, high, low
    return np.array(distance)


def exact_barrier(image: np.ndarray) -> np.ndarray:
    """The minimum barrier distance to the outermost pixels by its definition, 4-connected.

    For every lowest value of a path, the smallest highest one follows from Dijkstra's algorithm with the maximum
    in place of the sum; the distance is the smallest difference.
    """
    height, width = image.shape
    best = np.full((height, width), 10**6)
    for low in np.unique(image):
        top = np.full((height, width), 10**6)
        heap = []
        for y in range(height):
            for x in range(width):
                if (y in (0, height - 1) or x in (0, width - 1)) and image[y, x] >= low:
                    top[y, x] = image[y, x]
                    heap.append((int(image[y, x]), y, x))
        heapq.heapify(heap)
        while heap:
            high, y, x = heapq.heappop(heap)
            if high > top[y, x]:
                continue
            for j, i in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= j < height and 0 <= i < width and image[j, i] >= low:
                    through = max(high, int(image[j, i]))
                    if through < top[j, i]:
                        top[j, i] = through
                        heapq.heappush(heap, (through, j, i))
        best = np.minimum(best, top - int(low))
    return best


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 5), (3, 3), (9, 14), (17, 12)])
@pytest.mark.parametrize("passes", [1, 2, 3, 4])
def test_distance_is_the_raster_scan(shape: tuple[int, int], passes: int) -> None:
    rng = np.random.default_rng(shape[1] * 10 + passes)
    for levels in (4, 256):  # few levels: many ties, where the order of the neighbours decides
        channels = rng.integers(0, levels, (3, *shape), dtype=np.uint8)
        distance = mbd.minimum_barrier_distance(channels, passes)
        expected = np.stack([raster_scan(channel, passes) for channel in channels])
        np.testing.assert_array_equal(distance, expected)


def test_distance_is_never_below_the_exact_one_and_mostly_equal_on_smooth_pictures() -> None:
    rng = np.random.default_rng(3)
    equal = []
    for _ in range(5):
        coarse = rng.integers(0, 256, (5, 5)).astype(np.float32)
        image = np.kron(coarse, np.ones((4, 4))).astype(np.uint8)
        fast, exact = mbd.minimum_barrier_distance(image[None], 3)[0], exact_barrier(image)
        assert (fast >= exact).all()
        equal.append((fast == exact).mean())
    assert np.mean(equal) > 0.7


def test_many_passes_settle() -> None:
    channels = np.random.default_rng(4).integers(0, 256, (1, 20, 20), dtype=np.uint8)
    settled = mbd.minimum_barrier_distance(channels, 60)
    np.testing.assert_array_equal(settled, mbd.minimum_barrier_distance(channels, 61))
    assert (settled <= mbd.minimum_barrier_distance(channels, 3)).all()


def test_a_closed_object_stands_out_by_its_contrast_and_an_open_one_does_not() -> None:
    image = np.full((1, 30, 40), 50, np.uint8)
    image[0, 10:20, 10:20] = 90  # closed
    image[0, 5:25, 30:] = 200  # reaches the right border
    distance = mbd.minimum_barrier_distance(image)[0]
    assert (distance[10:20, 10:20] == 40).all()
    assert distance[:, 30:].max() == 0
    assert distance[:, :10].max() == 0


def test_background_map_is_its_definition() -> None:
    rng = np.random.default_rng(5)
    channels = rng.integers(0, 256, (3, 23, 31), dtype=np.uint8)
    strips = [channels[:, :2], channels[:, -2:], channels[:, :, :3], channels[:, :, -3:]]
    distances = []
    for strip in strips:
        colours = strip.reshape(3, -1).T.astype(float)
        covariance = np.cov(colours, rowvar=False) + 50 * np.eye(3)
        rotation, singular, _ = np.linalg.svd(covariance)
        whiten = rotation @ np.diag(singular**-0.5)
        difference = (channels.reshape(3, -1).T - colours.mean(axis=0)) @ whiten
        distances.append(min_max(np.abs(difference).sum(axis=1)))
    stacked = np.array(distances)
    expected = min_max(stacked.sum(axis=0) - stacked.max(axis=0)).reshape(23, 31)
    np.testing.assert_allclose(mbd.background_map(channels), expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (13, 20), (40, 30)])
def test_reconstruct_is_skimages(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        limit = rng.random(shape, np.float32)
        marker = limit * (rng.random(shape) < 0.1) - np.float32(0.2) * (rng.random(shape) < 0.5)
        marker = marker.astype(np.float32)
        expected = reconstruction(marker, limit, method="dilation", footprint=np.ones((3, 3)))
        np.testing.assert_array_equal(mbd.reconstruct(marker, limit), expected.astype(np.float32))


def test_reconstruct_follows_a_spiral_that_two_scans_cannot() -> None:
    size = 25
    limit = np.zeros((size, size), np.float32)
    y, x, step = 0, 0, size - 1
    limit[0, 0] = 1
    for turn, (dy, dx) in enumerate([(0, 1), (1, 0), (0, -1), (-1, 0)] * 6):
        for _ in range(step):
            y, x = y + dy, x + dx
            limit[y, x] = 1
        if turn >= 2 and turn % 2 == 0:
            step -= 4
        if step <= 0:
            break
    marker = np.zeros_like(limit)
    marker[0, 0] = 1
    np.testing.assert_array_equal(
        mbd.reconstruct(marker, limit), reconstruction(marker, limit, footprint=np.ones((3, 3))).astype(np.float32)
    )


def test_smooth_removes_spots_and_holes_and_keeps_contours() -> None:
    saliency = np.zeros((60, 80), np.float32)
    saliency[20:45, 20:50] = 1
    clean = saliency.copy()
    saliency[5, 5] = 1
    saliency[30:32, 30:32] = 0
    np.testing.assert_array_equal(mbd.smooth(saliency, strength=10), clean)


def test_stretch_is_its_formula() -> None:
    saliency = min_max(np.random.default_rng(7).random((20, 30), np.float32))
    high, low = saliency[saliency >= 0.5].mean(), saliency[saliency < 0.5].mean()
    expected = min_max(1 / (1 + np.exp(-10 * (saliency - (high + low) / 2))))
    np.testing.assert_allclose(mbd.stretch(saliency), expected, atol=1e-6)


def test_centre_map_is_highest_at_the_centre_and_symmetric() -> None:
    centre = mbd.centre_map(51, 81)
    assert centre.argmax() == 25 * 81 + 40
    np.testing.assert_allclose(centre, centre[::-1, ::-1], atol=1e-5)
    assert centre.min() >= 0
    assert centre[0, 0] < 0.02


def test_plus_adds_the_background_map_and_enhanced_the_post_processing() -> None:
    rng = np.random.default_rng(8)
    picture = rng.integers(0, 256, (300, 200, 3), dtype=np.uint8)  # already at the working size: nothing is resized
    channels, frame = mbd.prepare(picture)
    assert not any(frame)
    distance = min_max(mbd.minimum_barrier_distance(channels).sum(axis=0).astype(np.float32))
    plus = min_max(distance + mbd.background_map(channels))
    np.testing.assert_allclose(mbd.mb(picture, enhanced=False), distance, atol=1e-6)
    np.testing.assert_allclose(mbd.mb_plus(picture, enhanced=False), plus, atol=1e-6)
    np.testing.assert_allclose(mbd.mb(picture), min_max(mbd.enhance(distance)), atol=1e-6)
    np.testing.assert_allclose(mbd.mb_plus(picture), min_max(mbd.enhance(plus)), atol=1e-6)


def test_a_frame_is_found_and_cut_on_all_sides() -> None:
    rng = np.random.default_rng(9)
    inside = rng.integers(90, 130, (200, 300, 3), dtype=np.uint8)
    framed = np.zeros_like(inside)
    framed[8:-8, 5:-5] = inside[8:-8, 5:-5]
    _, frame = mbd.prepare(framed)
    assert frame.top == frame.left == frame.bottom == frame.right
    assert not any(mbd.prepare(inside)[1])
    assert not any(mbd.prepare(framed, remove_frame=False)[1])
    one_side = inside.copy()
    one_side[:8] = 0
    assert not any(mbd.prepare(one_side)[1])  # one straight line may be anything
