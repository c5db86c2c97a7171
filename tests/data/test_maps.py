"""Maps as others store them: every lossless form reads as the PNG that it was made from, and bad ones are named."""

import cv2
import numpy as np
import pytest
from PIL import Image

from arn.data.images import read_map
from arn.data.maps import MapFile, read_head, top_of
from arn.errors import ArnError


@pytest.fixture(scope="module")
def levels(data_dir):
    """A published map of SOD's."""
    return read_map(sorted((data_dir / "SOD/maps/DSS").glob("*.png"))[1])


def image(mode, **options):
    return lambda path, levels: Image.fromarray(levels).convert(mode).save(path, **options)


STORED = {
    "gray.png": image("L"),
    "gray.PNG": image("L"),
    "gray.tif": image("L"),
    "gray.bmp": image("L"),
    "rgb.png": image("RGB"),
    "rgba.png": image("RGBA"),
    "palette.png": image("P"),
    "rgb.webp": image("RGB", lossless=True),
    "wide.png": lambda path, levels: cv2.imwrite(str(path), levels.astype(np.uint16) * 257),
    "shifted.tif": lambda path, levels: cv2.imwrite(str(path), levels.astype(np.uint16) << 8),
    "float.tiff": lambda path, levels: Image.fromarray(levels.astype(np.float32) / 255).save(path),
    "float.npy": lambda path, levels: np.save(path, levels / 255),
    "half.npy": lambda path, levels: np.save(path, (levels / 255).astype(np.float16)),
    "stack.npy": lambda path, levels: np.save(path, (levels / np.float32(255))[None]),
    "levels.npy": lambda path, levels: np.save(path, levels),
    "wide.npy": lambda path, levels: np.save(path, levels.astype(np.uint16) * 257),
}


@pytest.mark.parametrize("name", STORED)
def test_lossless_forms_read_alike(tmp_path, levels, name):
    path = tmp_path / name
    STORED[name](path, levels)
    read = MapFile(path).read()
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, levels)
    assert read_head(path).size == levels.shape
    assert read_head(path).wide == name.startswith(("wide", "shifted"))


@pytest.mark.parametrize(("name", "options"), [("a.jpg", {"quality": 95}), ("a.webp", {"quality": 90})])
def test_lossy_forms_are_near(tmp_path, levels, name, options):
    Image.fromarray(levels).convert("RGB").save(tmp_path / name, **options)
    assert np.abs(MapFile(tmp_path / name).read().astype(int) - levels).mean() < 1


def test_another_range_is_read_as_it_is_said(tmp_path, levels):
    for name, values in {"f.npy": levels.astype(np.float32), "i.npy": levels.astype(np.int64)}.items():
        np.save(tmp_path / name, values)
        with pytest.raises(ArnError, match=rf"{name}.*range: 255"):
            MapFile(tmp_path / name).read()
        np.testing.assert_array_equal(MapFile(tmp_path / name, top=255).read(), levels)


def test_eight_bits_in_sixteen_are_told_from_the_folder_not_from_one_map(tmp_path, levels):
    """A map that is all but black must not be brightened because it never passes 255 of 65,535."""
    for number, dark in enumerate((levels // 8, levels)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), dark.astype(np.uint16))
        cv2.imwrite(str(tmp_path / f"wide{number}.png"), dark.astype(np.uint16) * (257 if number else 1))
    narrow, wide = ([tmp_path / f"{name}{number}.png" for number in (0, 1)] for name in ("", "wide"))
    assert top_of(narrow) == 255
    assert top_of(wide) is None
    np.testing.assert_array_equal(MapFile(narrow[1], top=255).read(), levels)
    assert MapFile(wide[0]).read().max() == 0
    with pytest.raises(ArnError, match=r"wide1\.png holds values from 0 to 65535 where 0 to 255"):
        MapFile(wide[1], top=255).read()


def test_maps_are_resized_before_they_are_rounded(tmp_path, levels):
    height, width = levels.shape
    small = cv2.resize(levels, (224, 224))
    cv2.imwrite(str(tmp_path / "a.png"), small)
    np.save(tmp_path / "a.npy", small.astype(np.float32) / 255)
    expected = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    one, other = (MapFile(tmp_path / name, (height, width)) for name in ("a.png", "a.npy"))
    np.testing.assert_array_equal(one.read(), expected)
    assert np.abs(other.read().astype(int) - expected).max() <= 1
    sharp = MapFile(tmp_path / "a.npy", (height, width), "bicubic").read()  # overshoots, and is cut off
    assert np.abs(sharp.astype(int) - expected).mean() < 2
    assert one.key() != MapFile(tmp_path / "a.png").key()
    assert one.key() != MapFile(tmp_path / "a.png", (height, width), "nearest").key()


BAD = {
    "NaN": (np.full((4, 4), np.nan), "no numbers"),
    "infinite": (np.full((4, 4), np.inf), "no numbers"),
    "negative": (np.full((4, 4), -0.5), "from -0.5 to -0.5 where 0 to 1"),
    "beyond": (np.full((4, 4), 1.5), "from 1.5 to 1.5 where 0 to 1"),
    "three channels": (np.zeros((4, 4, 3)), r"shape \(4, 4, 3\)"),
    "text": (np.array([["a"]]), "a map is numbers"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_arrays_are_named(tmp_path, what):
    values, told = BAD[what]
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ArnError, match=rf"a\.npy.*{told}"):
        MapFile(tmp_path / "a.npy").read()


def test_an_overshoot_of_rounding_is_one(tmp_path):
    np.save(tmp_path / "a.npy", np.full((4, 4), np.nextafter(np.float32(1), np.float32(2))))
    assert MapFile(tmp_path / "a.npy").read().min() == 255


def test_damaged_files_are_named(tmp_path, levels):
    np.save(tmp_path / "a.npy", levels)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-9])
    (tmp_path / "b.npy").write_text("no array")
    np.save(tmp_path / "c.npy", np.array([[{}]]), allow_pickle=True)  # code in disguise
    (tmp_path / "d.png").write_text("<html>")
    noise = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "e.png")
    for name in ("a.npy", "b.npy", "c.npy", "d.png", "e.png"):
        with pytest.raises(ArnError, match=name):
            MapFile(tmp_path / name).read()
    assert read_head(tmp_path / "b.npy").size is None
