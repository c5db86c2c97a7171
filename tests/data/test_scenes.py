"""Scenes: the same everywhere, exact, varied, and not to be solved without looking."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from arn.data.scenes import COUNTS, SIDES, draw_scene, scene


@pytest.fixture(scope="module")
def some():
    return [scene("train", index) for index in range(120)]


def test_picture_and_mask_have_the_promised_form(some):
    for picture, mask in some:
        assert picture.dtype == mask.dtype == np.uint8
        assert picture.shape == (*mask.shape, 3)
        assert all(SIDES[0] <= side <= SIDES[1] for side in mask.shape)
        assert picture.flags.c_contiguous
        assert picture.flags.writeable
        assert set(np.unique(mask)) == {0, 255}
        assert 0.015 < (mask > 0).mean() < 0.45


DIGEST = "787244180dbc2532542bb4a64246288ea4e97a871b8afdefe4656b96f5a0d387"
HASH = """
import hashlib
from arn.data.scenes import scene
digest = hashlib.sha256()
for index in range(24):
    for array in scene("test", index):
        digest.update(array.tobytes())
print(digest.hexdigest())
"""


@pytest.mark.parametrize("processor", ["this one", "one without vector instructions"])
def test_the_pixels_are_these_on_every_machine(processor):
    """A change of any pixel, by an edit or by a library, changes what every recorded scene score was measured on."""
    environment = dict(os.environ)
    if processor != "this one":
        environment["NPY_DISABLE_CPU_FEATURES"] = " ".join(name for name in __cpu_dispatch__ if __cpu_features__[name])
        environment["OPENCV_CPU_DISABLE"] = "AVX512-SKX,AVX2,FP16,AVX,SSE4.2,SSE4.1"
        environment["OPENCV_IPP"] = "disabled"
    done = subprocess.run(
        [sys.executable, "-B", "-c", HASH], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == DIGEST


def test_threads_and_order_change_nothing(some):
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda index: scene("train", index), reversed(range(40))))[::-1]
    for (picture, mask), (picture_again, mask_again) in zip(some[:40], again, strict=True):
        np.testing.assert_array_equal(picture, picture_again)
        np.testing.assert_array_equal(mask, mask_again)


def test_global_random_state_is_neither_read_nor_moved():
    np.random.seed(1)  # noqa: NPY002 - the legacy state is what is tested
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = scene("val", 3)[0]
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(first, scene("val", 3)[0])


def test_parts_and_indices_differ():
    seen = {scene(part, index)[0].tobytes() for part in COUNTS for index in range(12)}
    assert len(seen) == 12 * len(COUNTS)


def test_an_index_outside_its_part_is_refused():
    for index in (-1, COUNTS["val"]):
        with pytest.raises(IndexError, match="val"):
            scene("val", index)


@pytest.mark.parametrize("size", [(32, 32), (33, 200), (224, 224), (301, 57)])
def test_any_size_from_32_pixels(size):
    for index in range(6):
        picture, mask = draw_scene(7, index, size)
        assert picture.shape[:2] == mask.shape == size
        assert (mask > 0).any()


def test_one_to_three_objects_at_any_place(some):
    pieces = [cv2.connectedComponents(mask)[0] - 1 for _, mask in some]
    assert {1, 2, 3} <= set(pieces)
    assert max(pieces) <= 6  # an object may be cut in pieces by the border, never shattered
    centres = np.array([np.argwhere(mask).mean(0) / mask.shape for _, mask in some])
    assert (centres.min(0) < 0.25).all()
    assert (centres.max(0) > 0.75).all()
    framed = [bool(m[0].any() or m[-1].any() or m[:, 0].any() or m[:, -1].any()) for _, m in some]
    assert 0.2 < np.mean(framed) < 0.8


def test_the_mask_is_exact_to_the_pixel(some):
    """Along the mask's outline the picture changes: more than along the same outline moved by three pixels."""
    sharper = []
    for picture, mask in some:
        gradient = np.abs(cv2.Laplacian(picture, cv2.CV_32F)).sum(2)
        edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        sharper.append(gradient[edge].mean() > gradient[np.roll(edge, (3, 3), (0, 1))].mean())
    assert np.mean(sharper) > 0.9


def best_f(maps, masks):
    """Maximum F (beta^2 = .3) of precision and recall averaged over pictures, maps stretched to their range."""
    precision, recall = np.zeros(256), np.zeros(256)
    for values, mask in zip(maps, masks, strict=True):
        levels = np.rint((values - values.min()) / (np.ptp(values) or 1) * 255).astype(int)
        hit = np.bincount(levels[mask > 0], minlength=256)[::-1].cumsum()
        said = np.bincount(levels.ravel(), minlength=256)[::-1].cumsum()
        precision += hit / np.maximum(said, 1) / len(masks)
        recall += hit / hit[-1] / len(masks)
    return (1.3 * precision * recall / np.maximum(0.3 * precision + recall, 1e-9)).max()


def test_no_simple_cue_gives_the_objects_away(some):
    """Fair: neither place, brightness, saturation nor distance to the mean colour solves scenes."""
    masks = [mask for _, mask in some]

    def centre(picture):
        height, width = picture.shape[:2]
        y, x = np.mgrid[:height, :width]
        return np.exp(-(((y / height - 0.5) ** 2) + ((x / width - 0.5) ** 2)) * 8)

    def odd_colour(picture):
        lab = cv2.cvtColor(cv2.GaussianBlur(picture, (0, 0), 1.5), cv2.COLOR_RGB2LAB).astype(np.float32)
        return np.linalg.norm(lab - lab.mean((0, 1)), axis=2)

    cues = {
        "centre": (centre, 0.40),
        "bright": (lambda picture: picture.mean(2), 0.65),
        "dark": (lambda picture: -picture.mean(2), 0.65),
        "saturated": (lambda picture: np.ptp(picture, axis=2).astype(np.float32), 0.70),
        "odd colour": (odd_colour, 0.80),
    }
    reached = {name: best_f([cue(picture) for picture, _ in some], masks) for name, (cue, _) in cues.items()}
    assert all(reached[name] < most for name, (_, most) in cues.items()), reached
    assert reached["odd colour"] > 0.5, "objects must differ from their ground, or there is nothing to learn"
