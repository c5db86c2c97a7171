"""Object proposals: what passes the filters, what a hierarchy holds, how near the regions come to real objects."""

import numpy as np
import pytest

from arn.classical.proposals import Proposals, _lengths, _merge, distinct
from arn.data.layout import find_dataset
from arn.data.scenes import scene
from arn.data.sources import PairSource
from arn.data.transforms import resize


@pytest.fixture(scope="module")
def found():
    picture, _ = scene("test", 0)
    return Proposals()(resize(picture, 96, 80))


def test_every_region_passes_the_filters(found):
    assert found.dtype == bool
    assert found.shape[1:] == (80, 96) or found.shape[1:] == (96, 80)
    share = found.mean(axis=(1, 2))
    assert len(found) > 20
    assert share.min() >= 0.02
    assert share.max() <= 0.7
    touched = np.stack([found[:, 0].any(1), found[:, -1].any(1), found[:, :, 0].any(1), found[:, :, -1].any(1)], axis=1)
    assert not touched.all(axis=1).any()


def test_the_same_picture_gives_the_same_regions():
    picture = resize(scene("test", 1)[0], 64, 64)
    assert np.array_equal(Proposals()(picture), Proposals()(picture.copy()))


@pytest.mark.parametrize(("overlap", "least"), [(1.0, 0.97), (0.9, 0.9)])
def test_a_flat_disc_is_found_as_nearly_as_regions_are_kept_apart(overlap, least):
    y, x = np.mgrid[:96, :96]
    disc = (y - 50) ** 2 + (x - 40) ** 2 < 22**2
    picture = np.where(disc[..., None], np.uint8([220, 60, 40]), np.uint8([60, 90, 160])).astype(np.uint8)
    regions = Proposals(overlap=overlap)(picture)
    assert ((regions & disc).sum((1, 2)) / (regions | disc).sum((1, 2))).max() > least


def test_a_picture_without_regions_gives_none():
    regions = Proposals(smallest=0.69)(np.zeros((40, 40, 3), np.uint8))
    assert regions.shape[1:] == (40, 40)


def test_distinct_keeps_the_first_of_what_is_nearly_the_same():
    regions = np.zeros((3, 100), bool)
    regions[0, :50], regions[1, :48], regions[2, :20] = True, True, True
    assert distinct(regions, 0.9).tolist() == [True, False, True]
    assert distinct(regions, 0.99).tolist() == [True, True, True]


def test_lengths_of_borders():
    labels = np.array([[0, 0, 1], [0, 2, 1], [2, 2, 1]], np.int32)
    assert _lengths(labels, 3).tolist() == [[0, 1, 3], [1, 0, 2], [3, 2, 0]]


def test_merging_is_wards_and_of_neighbours_only():
    """Three in a row, the outer two alike: not neighbours, so each step takes a pair that touches."""
    means = np.array([[0.0, 0, 0], [5.0, 0, 0], [1.0, 0, 0]])
    sizes = np.array([10.0, 1.0, 1.0])
    borders = np.array([[0.0, 4, 0], [4, 0, 4], [0, 4, 0]])
    # 0-1 costs 25 * 10 / 11, 1-2 costs 16 * 1 / 2.
    assert _merge(means, sizes, borders, 1.0, 0.0).tolist() == [[1, 2], [0, 3]]
    # A border of 4 against one of 100: with q = 1 the long one falls first.
    borders[0, 1] = borders[1, 0] = 100.0
    assert _merge(means, sizes, borders, 1.0, 1.0).tolist() == [[0, 1], [3, 2]]


def test_real_objects_are_among_the_regions(data_dir):
    """Of twelve DUTS-TR objects at 128 px, most have a region that overlaps by half."""
    source = PairSource(find_dataset("DUTS-TR")[::880])
    best = []
    for index in range(12):
        picture, mask = (resize(one, 128, 128) for one in source.read(index))
        regions, truth = Proposals()(picture), mask >= 128
        best.append(((regions & truth).sum((1, 2)) / (regions | truth).sum((1, 2))).max())
    assert np.mean(best) > 0.6
    assert np.mean(np.array(best) > 0.5) >= 0.7


@pytest.mark.parametrize(
    "wrong", [{"cells": ()}, {"cells": (1,)}, {"smallest": 0.8}, {"overlap": 0.0}, {"largest": 1.2}]
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="proposals"):
        Proposals(**wrong)
