"""Cutouts: the map's soft border moves to the picture's edge, and the ground's colour leaves the rim."""

import cv2
import numpy as np
import pytest

from arn.data.cutouts import cutout, object_colours, refine, steepen
from arn.data.images import read_mask, read_picture
from arn.data.layout import find_dataset

RED, BLUE = np.array([220, 30, 20]), np.array([10, 40, 200])


def disc(side, radius):
    """Share of a red disc in each pixel, and the picture of it on blue with its border mixed as a lens does."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    share = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    picture = share[..., None] * RED + (1 - share[..., None]) * BLUE
    return share, np.round(picture).astype(np.uint8)


def test_the_border_moves_to_the_edge():
    share, picture = disc(300, 90)
    soft = cv2.GaussianBlur(share, (0, 0), 4)  # what a map of 224 px is at native size
    refined = refine(picture, soft)
    assert refined.shape == (300, 300)
    assert refined.dtype == np.float32
    assert 0 <= refined.min() <= refined.max() <= 1
    before, after = (np.abs(steepen(one) - share).mean() for one in (soft, refined))
    assert after < 0.75 * before


def test_a_flat_picture_leaves_the_map_soft_as_it_is():
    share, _ = disc(120, 40)
    soft = cv2.GaussianBlur(share, (0, 0), 4)
    assert np.abs(refine(np.full((120, 120, 3), 90, np.uint8), soft) - soft).max() < 0.1


def test_the_rim_takes_the_objects_colour():
    share, picture = disc(300, 90)
    found = object_colours(picture, share)
    mixed = (share > 0.3) & (share < 0.9)
    assert np.abs(picture[mixed] - RED.astype(float)).mean() > 30
    assert np.abs(found[mixed] - RED.astype(float)).mean() < 12
    assert np.array_equal(found[share == 1], picture[share == 1])


def test_sure_pixels_keep_their_colour_and_unsure_ground_goes():
    share, picture = disc(200, 60)
    cut = cutout(picture, cv2.GaussianBlur(share, (0, 0), 2))
    assert cut.shape == (200, 200, 4)
    assert cut.dtype == np.uint8
    assert (cut[80:120, 80:120, 3] == 255).all()
    assert np.array_equal(cut[80:120, 80:120, :3], picture[80:120, 80:120])
    assert (cut[:20, :, 3] == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (37, 2), (900, 700)])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_any_size_and_flat_maps(shape, level):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    cut = cutout(picture, np.full(shape, level, np.float32))
    assert cut.shape == (*shape, 4)
    if level != 0.5:
        assert (cut[..., 3] == (255 if level else 0)).all()


@pytest.mark.real
def test_a_coarse_map_of_a_photograph_comes_closer_to_its_mask(data_dir):
    """ECSSD masks brought to 56 px and back stand for maps; the filter must take back some of what that lost."""
    lost = []
    for pair in find_dataset("ECSSD", data_dir)[::50]:
        picture, mask = read_picture(pair.picture), (read_mask(pair.mask) > 127).astype(np.float32)
        coarse = cv2.resize(cv2.resize(mask, (56, 56), interpolation=cv2.INTER_AREA), mask.shape[::-1])
        soft = cv2.GaussianBlur(coarse, (0, 0), 4)
        lost.append([np.abs(one - mask).mean() for one in (steepen(soft), cutout(picture, soft)[..., 3] / 255)])
    before, after = np.mean(lost, axis=0)
    assert after < 0.95 * before
