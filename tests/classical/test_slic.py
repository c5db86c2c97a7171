"""SLIC against a literal transcription, and the invariants that a label image must keep."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from arn.classical import slic


def plain_cluster(
    planes: np.ndarray, centres: np.ndarray, step: float, compactness: float, reach: tuple[float, float], rounds: int
) -> np.ndarray:
    """The k-means of the paper's Algorithm 1, pixel by pixel."""
    _, height, width = planes.shape
    centres = centres.copy()
    labels = np.zeros((height, width), np.int32)
    for _ in range(rounds):
        distance = np.full((height, width), np.inf)
        for index, (cy, cx, *colour) in enumerate(centres):
            for y in range(max(0, int(cy - reach[0])), min(height, int(cy + reach[0]) + 1)):
                for x in range(max(0, int(cx - reach[1])), min(width, int(cx + reach[1]) + 1)):
                    in_colour = sum((float(planes[k, y, x]) - colour[k]) ** 2 for k in range(3))
                    in_place = (y - cy) ** 2 + (x - cx) ** 2
                    d = in_colour + (compactness / step) ** 2 * in_place
                    if d < distance[y, x]:
                        distance[y, x], labels[y, x] = d, index
        for index in range(len(centres)):
            ys, xs = np.nonzero(labels == index)
            if len(ys):
                centres[index] = [ys.mean(), xs.mean(), *planes[:, ys, xs].astype(float).mean(axis=1)]
    return labels


def test_cluster_is_the_paper_s_k_means() -> None:
    rng = np.random.default_rng(0)
    planes = (rng.random((3, 24, 30)) * 40).astype(np.float32)
    ys, xs = np.meshgrid([4.0, 12.0, 20.0], [5.0, 15.0, 25.0], indexing="ij")
    places = np.stack([ys.ravel(), xs.ravel()], axis=1)
    centres = np.concatenate([places, planes[:, places[:, 0].astype(int), places[:, 1].astype(int)].T], axis=1)
    expected = plain_cluster(planes, centres, 9.0, 20.0, (8.0, 10.0), 4)
    labels = slic._cluster(planes, centres.copy(), 9.0, 20.0, 8.0, 10.0, 4)
    assert (labels == expected).mean() > 0.995  # float32 against float64: a tie may fall the other way


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2), (37, 61)])
def test_superpixels_cover_the_picture_are_connected_and_numbered(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    colours = (rng.random((*shape, 3)) * 60).astype(np.float32)
    labels, count = slic.slic(colours, 60, 10)
    assert labels.shape == shape
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(np.unique(labels), np.arange(count))
    for label in range(count):
        assert ndimage.label(labels == label)[1] == 1


def test_a_boundary_in_colour_is_a_boundary_of_superpixels() -> None:
    colours = np.zeros((60, 90, 3), np.float32)
    colours[13:41, 22:67, 0] = 60
    labels, _ = slic.slic(colours, 100, 10)
    inside = np.zeros((60, 90), bool)
    inside[13:41, 22:67] = True
    assert not set(labels[inside]) & set(labels[~inside])


def test_number_and_size_follow_the_request() -> None:
    rng = np.random.default_rng(2)
    colours = ndimage.gaussian_filter(rng.random((120, 160, 3)) * 100, (6, 6, 0)).astype(np.float32)
    _, count = slic.slic(colours, 300, 20)
    assert 45 <= count <= 90  # 120 * 160 / 300 = 64


def test_small_pieces_join_a_neighbour() -> None:
    labels = np.zeros((10, 10), np.int32)
    labels[4, 4] = 1
    labels[:, 8:] = 2
    connected = np.empty_like(labels)
    assert slic._connect(labels, connected, 3.0) == 2
    assert connected[4, 4] == connected[0, 0] != connected[0, 9]
