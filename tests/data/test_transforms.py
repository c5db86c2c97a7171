"""Augmentation is a pure function of (seed, epoch, index), and treats picture and mask alike."""

import numpy as np
import pytest

from arn.data.scenes import draw_scene
from arn.data.transforms import Augmentation, resize
from arn.errors import ArnError

PICTURE, MASK = draw_scene(0, 1, (80, 120))
EVERYTHING = {"flip": 0.5, "crop": 0.6, "colour": 1.0, "gray": 0.2}


def augmented(seed=0, epoch=0, index=0, size=64, **options):
    return Augmentation(**(options or EVERYTHING), seed=seed)(PICTURE, MASK, size, epoch, index)


def test_same_key_same_pair():
    one, other = augmented(epoch=3, index=7), augmented(epoch=3, index=7)
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])


def test_what_came_before_does_not_matter():
    augmentation = Augmentation(**EVERYTHING)
    for index in range(5):
        augmentation(PICTURE, MASK, 64, 0, index)
    assert np.array_equal(augmentation(PICTURE, MASK, 64, 3, 7)[0], augmented(epoch=3, index=7)[0])


@pytest.mark.parametrize("changed", [{"seed": 1}, {"epoch": 1}, {"index": 1}])
def test_seed_epoch_and_index_each_change_it(changed):
    assert not np.array_equal(augmented()[0], augmented(**changed)[0])


def test_no_two_of_many_are_alike():
    seen = {augmented(epoch=epoch, index=index)[0].tobytes() for epoch in range(5) for index in range(20)}
    assert len(seen) == 100


def test_flips_half_of_the_time_and_both_together():
    flat, whole = resize(PICTURE, 64, 64), resize(MASK, 64, 64)
    flips = 0
    for index in range(200):
        picture, mask = augmented(index=index, flip=0.5)
        if np.array_equal(picture, flat):
            assert np.array_equal(mask, whole)
        else:
            flips += 1
            assert np.array_equal(picture, flat[:, ::-1])
            assert np.array_equal(mask, whole[:, ::-1])
    assert 70 < flips < 130


def test_nothing_asked_for_changes_nothing():
    picture, mask = augmented(flip=0.0)
    assert np.array_equal(picture, resize(PICTURE, 64, 64))
    assert np.array_equal(mask, resize(MASK, 64, 64))


def test_crop_cuts_picture_and_mask_at_the_same_place():
    """A picture that is its own mask stays so."""
    twin = np.repeat(MASK[..., None], 3, axis=2)
    for index in range(20):
        picture, mask = Augmentation(flip=0.5, crop=0.5)(twin, MASK, 64, 0, index)
        assert np.array_equal(picture[..., 0], mask)


def test_colour_leaves_the_mask_alone():
    _, mask = augmented(flip=0.0, colour=1.0)
    assert np.array_equal(mask, resize(MASK, 64, 64))


@pytest.mark.parametrize("size", [32, 160])
def test_any_size(size):
    picture, mask = augmented(size=size)
    assert picture.shape == (size, size, 3)
    assert mask.shape == (size, size)


@pytest.mark.parametrize("crop", [0.0, -1.0, 1.5])
def test_crop_out_of_range(crop):
    with pytest.raises(ArnError, match=r"data\.augment\.crop"):
        Augmentation(crop=crop)


def test_resize_averages_when_it_shrinks():
    board = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (8, 8))
    assert np.abs(resize(board, 4, 4).astype(int) - 128).max() <= 1


@pytest.mark.parametrize("options", [{}, {"flip": 0.0}, {"flip": 1.0}, {"flip": 0.3, "seed": 7}, EVERYTHING])
def test_written_into_a_batch_it_is_the_same(options):
    """The short way for flips alone is what albumentations does with the same key, picture by picture."""
    augmentation = Augmentation(**options)
    for index in range(60):
        places = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
        augmentation.into(places, PICTURE, MASK, 3, index)
        for place, wanted in zip(places, augmentation(PICTURE, MASK, 64, 3, index), strict=True):
            assert np.array_equal(place, wanted)
