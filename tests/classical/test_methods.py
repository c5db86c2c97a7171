"""Every training-free method on every kind of picture: a finite map of the right size, the same one each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from arn.classical import METHODS


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def scene(height: int = 120, width: int = 160) -> np.ndarray:
    """A red disc on textured green, a little off the centre."""
    rng = np.random.default_rng(1)
    picture = (np.array([70, 120, 60]) + rng.integers(-12, 12, (height, width, 3))).astype(np.uint8)
    y, x = np.ogrid[:height, :width]
    disc = (y - 0.5 * height) ** 2 + (x - 0.45 * width) ** 2 < (0.22 * height) ** 2
    picture[disc] = np.array([210, 50, 40]) + rng.integers(-12, 12, (disc.sum(), 3))
    return picture


def framed() -> np.ndarray:
    picture = np.pad(scene(200, 260), ((9, 9), (9, 9), (0, 0)))
    picture[[8, -9], 8:-8] = picture[8:-8, [8, -9]] = 255  # a thin white line inside the black
    return picture


DEGENERATE = {
    "one pixel": noise(1, 1),
    "one row": noise(1, 90),
    "one column": noise(90, 1),
    "two by two": noise(2, 2),
    "one colour": np.full((64, 80, 3), (12, 200, 90), np.uint8),
    "black": np.zeros((50, 50, 3), np.uint8),
    "white": np.full((50, 50, 3), 255, np.uint8),
    "gray": np.repeat(noise(60, 70)[:, :, :1], 3, axis=2),
    "two colours": np.repeat(np.repeat(np.eye(8, dtype=np.uint8)[:, :, None] * 200, 9, axis=0), 9, axis=1).repeat(3, 2),
    "4,000 pixels wide": noise(60, 4000),
    "artificial frame": framed(),
}


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("method", METHODS)
def test_degenerate_pictures_give_a_finite_map_of_their_size(method: str, case: str) -> None:
    picture = DEGENERATE[case]
    before = picture.copy()
    with np.errstate(all="raise", under="ignore"):
        saliency = METHODS[method](picture)
    assert saliency.dtype == np.float32
    assert saliency.shape == picture.shape[:2]
    assert np.isfinite(saliency).all()
    assert saliency.min() >= 0
    assert saliency.max() <= 1
    np.testing.assert_array_equal(picture, before)  # the caller's picture is not written to


@pytest.mark.parametrize("case", ["one pixel", "one colour", "black", "white"])
@pytest.mark.parametrize("method", METHODS)
def test_no_contrast_is_no_saliency(method: str, case: str) -> None:
    assert not METHODS[method](DEGENERATE[case]).any()


@pytest.mark.parametrize("method", METHODS)
def test_the_disc_is_found_the_map_spans_0_to_1_and_repeats(method: str) -> None:
    picture = scene()
    y, x = np.ogrid[:120, :160]
    disc = (y - 60) ** 2 + (x - 72) ** 2 < 26**2
    saliency = METHODS[method](picture)
    assert saliency.min() == 0
    assert saliency.max() == pytest.approx(1, abs=1e-6)
    assert saliency[disc].mean() > 2 * saliency[~disc].mean() + 0.1
    np.testing.assert_array_equal(saliency, METHODS[method](picture))


@pytest.mark.parametrize("method", ["mb", "mb_plus", "rbd"])
def test_the_frame_is_not_salient_and_the_object_inside_it_is(method: str) -> None:
    picture = framed()
    saliency = METHODS[method](picture)
    assert saliency[:7].max() < 0.02
    assert saliency[:, -7:].max() < 0.02
    assert saliency[109, 126] > 0.9  # the disc's centre


@pytest.mark.parametrize("method", METHODS)
def test_views_and_read_only_pictures_are_taken(method: str) -> None:
    picture = scene()
    flipped = picture[:, ::-1]
    flipped.flags.writeable = False
    np.testing.assert_array_equal(METHODS[method](flipped), METHODS[method](flipped.copy()))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), "u1"),
    ],
    ids=["float", "gray", "four channels", "empty"],
)
def test_what_is_no_picture_is_refused(method: str, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a picture is uint8 RGB"):
        METHODS[method](wrong)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, arn.classical; "
        "print([m for m in ('numba', 'cv2', 'scipy', 'skimage', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_methods_go_by_their_names_in_any_order_of_imports() -> None:
    """An imported module becomes an attribute of its package: none may hide a method."""
    code = (
        "import importlib, pkgutil, arn.classical as package\n"
        "for one in pkgutil.iter_modules(package.__path__): importlib.import_module(f'arn.classical.{one.name}')\n"
        "from arn.classical import METHODS, hc, itti_koch, mb, mb_plus, rbd, rc\n"
        "print([hc, itti_koch, mb, mb_plus, rbd, rc] == [METHODS[name] for name in sorted(METHODS)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    from arn.classical import hc

    assert hc(scene()).shape == (120, 160)


def test_constants_pass_through() -> None:
    picture = scene()
    assert not np.array_equal(METHODS["rbd"](picture), METHODS["rbd"](picture, superpixel=200))


# Maximum F over data-set-averaged precision and recall, and MAE (protocol arn2018), on every 20th picture of ECSSD.
# Measured when the methods were written; a change that moves them is a change of the method.
KNOWN = {"mb": (0.6623, 0.1961), "mb_plus": (0.7106, 0.1783), "rbd": (0.6767, 0.1732)}


@pytest.mark.real
@pytest.mark.parametrize("method", KNOWN)
def test_scores_on_fifty_real_pictures_stay(method: str) -> None:
    root = os.environ.get("ARN_DATA_DIR")
    folder = Path(root or ".") / "ECSSD"
    if not root or not folder.is_dir():
        pytest.skip("ARN_DATA_DIR holds no ECSSD: the scores need its real pictures")
    from PIL import Image

    precision, recall, errors = np.zeros(256), np.zeros(256), []
    paths = sorted((folder / "images").glob("*.jpg"))[::20]
    assert len(paths) == 50
    for path in paths:
        picture = np.asarray(Image.open(path).convert("RGB"))
        mask = np.asarray(Image.open(folder / "masks" / f"{path.stem}.png").convert("L")) > 127
        saliency = METHODS[method](picture)
        assert saliency.shape == mask.shape
        level = np.rint(saliency / saliency.max() * 255).astype(int)
        hits = np.bincount(level[mask], minlength=256)[::-1].cumsum()
        found = np.bincount(level.ravel(), minlength=256)[::-1].cumsum()
        precision += hits / np.maximum(found, 1)
        recall += hits / mask.sum()
        errors.append(np.abs(saliency - mask).mean())
    precision, recall = precision / len(paths), recall / len(paths)
    f = 1.3 * precision * recall / np.maximum(0.3 * precision + recall, 1e-12)
    known_f, known_mae = KNOWN[method]
    assert f.max() == pytest.approx(known_f, abs=0.003)
    assert np.mean(errors) == pytest.approx(known_mae, abs=0.002)
