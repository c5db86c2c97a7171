"""Pairs: every format met in the wild, written here by other means than ours, and every way a folder can be wrong."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from arn.data import images as module
from arn.data.catalogue import CATALOGUE
from arn.data.images import read_map, read_mask, read_picture, write_map
from arn.data.layout import Pair, check_same_size, find_dataset, find_pairs
from arn.data.scenes import draw_scene
from arn.data.verify import verify
from arn.errors import ArnError
from arn.files import write_atomically

HEIGHT, WIDTH = 48, 70


@pytest.fixture
def rgb():
    """A smooth picture (JPEG keeps it nearly whole) whose four corners differ."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([y * 5, x * 3, 255 - y * 2 - x], 2).astype(np.uint8)


@pytest.fixture
def truth():
    """A mask that no turn or flip maps to itself."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:30, 10:25] = 255
    mask[25:30, 25:60] = 255
    return mask


def stored(path: Path, array: np.ndarray, mode: str | None = None, **options) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


# -------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp"])
def test_lossless_rgb_is_read_exactly(tmp_path, rgb, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    read = read_picture(stored(tmp_path / f"a.{suffix}", rgb, **options))
    np.testing.assert_array_equal(read, rgb)
    assert read.dtype == np.uint8
    assert read.flags.writeable


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 40}])
def test_the_fast_way_to_read_jpeg_is_exact(tmp_path, rgb, options, monkeypatch):
    path = stored(tmp_path / "a.jpg", rgb, **options)
    assert module._size_of_ordinary_jpeg(path.read_bytes())
    fast = read_picture(path)
    monkeypatch.setattr(module, "_size_of_ordinary_jpeg", lambda data: None)
    np.testing.assert_array_equal(fast, read_picture(path))
    with Image.open(path) as image:
        np.testing.assert_array_equal(fast, np.array(image))


@pytest.mark.parametrize(
    ("size", "at_least", "scale"),
    [((803, 611), 300, 2), ((803, 611), 306, 1), ((803, 611), 150, 4), ((803, 611), 20, 8), ((100, 900), 51, 1)],
)
def test_large_jpegs_are_decoded_no_smaller_than_asked(tmp_path, size, at_least, scale):
    smooth = np.asarray(Image.fromarray(draw_scene(0, 0, (64, 64))[0]).resize(size, Image.Resampling.BICUBIC))
    path = stored(tmp_path / "a.jpg", smooth, quality=95)
    whole, read = read_picture(path), read_picture(path, at_least)
    assert read.shape == (-(-size[1] // scale), -(-size[0] // scale), 3)
    assert min(read.shape[:2]) >= min(at_least, min(size))
    area = cv2.resize(whole, read.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(read.astype(int) - area).mean() < 2


def test_only_jpegs_are_decoded_at_a_fraction(tmp_path, rgb):
    path = stored(tmp_path / "a.png", rgb)
    np.testing.assert_array_equal(read_picture(path, 2), rgb)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_the_fast_way_to_read_masks_is_exact(tmp_path, rgb, truth, mode, monkeypatch):
    path = stored(tmp_path / "a.png", *((rgb[:, :, 0],) if mode == "L" else (truth, "1")))
    assert module._is_ordinary_png(path.read_bytes())
    fast = read_mask(path)
    monkeypatch.setattr(module, "_is_ordinary_png", lambda data: False)
    np.testing.assert_array_equal(fast, read_mask(path))


def test_the_fast_way_to_read_masks_is_for_whole_opaque_gray_pngs(tmp_path, rgb, truth):
    whole = stored(tmp_path / "a.png", truth).read_bytes()
    Image.fromarray(truth).save(tmp_path / "b.png", transparency=0)
    others = [
        whole[:-1],
        whole[: len(whole) // 2],
        stored(tmp_path / "c.png", rgb).read_bytes(),
        (tmp_path / "b.png").read_bytes(),
        stored(tmp_path / "d.jpg", truth).read_bytes(),
        stored(tmp_path / "e.png", truth.astype(np.uint16) * 257).read_bytes(),
        b"",
    ]
    assert module._is_ordinary_png(whole)
    assert not any(module._is_ordinary_png(data) for data in others)
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 255
    (tmp_path / "f.png").write_bytes(broken)
    with pytest.raises(ArnError, match=r"f\.png"):
        read_mask(tmp_path / "f.png")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_gray_becomes_rgb(tmp_path, rgb, suffix):
    gray = rgb[:, :, 0]
    read = read_picture(stored(tmp_path / f"a.{suffix}", gray, **({"quality": 100} if suffix == "jpg" else {})))
    assert read.shape == (HEIGHT, WIDTH, 3)
    assert (read == read[:, :, :1]).all()
    np.testing.assert_allclose(read[:, :, 0].astype(int), gray, atol=2)


def test_one_bit_and_palette_become_rgb(tmp_path, rgb, truth):
    np.testing.assert_array_equal(read_picture(stored(tmp_path / "a.png", truth, "1"))[:, :, 1], truth)
    few = (rgb // 86) * 86
    image = Image.fromarray(few).quantize(64)
    image.save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png"), np.array(image.convert("RGB")))


def test_transparency_is_laid_over_white(tmp_path, rgb, truth):
    for mode in ("RGBA", "P"):
        layered = Image.fromarray(np.dstack([np.full_like(rgb, 40), truth]))
        path = tmp_path / f"{mode}.png"
        (layered if mode == "RGBA" else layered.quantize(4)).save(path)
        read = read_picture(path)
        assert (read[truth == 0] == 255).all()
        assert (read[truth == 255] == 40).all()
    opaque = stored(tmp_path / "opaque.png", np.dstack([rgb, np.full((HEIGHT, WIDTH), 255, np.uint8)]))
    np.testing.assert_array_equal(read_picture(opaque), rgb)


def test_cmyk_is_converted(tmp_path, rgb):
    read = read_picture(stored(tmp_path / "a.jpg", rgb, "CMYK", quality=100, subsampling=0))
    assert read.shape == rgb.shape
    np.testing.assert_allclose(read.astype(int), rgb, atol=6)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path, rgb):
    wide = rgb.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "rgb.png"), wide[:, :, ::-1])
    np.testing.assert_array_equal(read_picture(tmp_path / "rgb.png"), rgb)
    for suffix in ("png", "tif"):
        cv2.imwrite(str(tmp_path / f"gray.{suffix}"), wide[:, :, 1])
        read = read_picture(tmp_path / f"gray.{suffix}")
        for channel in range(3):
            np.testing.assert_array_equal(read[:, :, channel], rgb[:, :, 1])


TURNS = {1: lambda a: a, 3: lambda a: a[::-1, ::-1], 6: lambda a: np.rot90(a, -1), 8: np.rot90, 2: lambda a: a[:, ::-1]}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation_turns_picture_and_mask_alike(tmp_path, rgb, truth, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    picture = read_picture(stored(tmp_path / f"p.{suffix}", rgb, exif=exif, **options))
    np.testing.assert_allclose(picture.astype(int), TURNS[orientation](rgb), atol=4)
    mask = read_mask(stored(tmp_path / f"m.{suffix}", truth, exif=exif, **options))
    np.testing.assert_array_equal(mask > 127, TURNS[orientation](truth) > 127)


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.98])
@pytest.mark.parametrize("kind", ["jpg", "progressive.jpg", "gray.jpg", "exif.jpg", "png", "tif", "webp", "bmp"])
def test_a_truncated_picture_is_an_error_that_names_it(tmp_path, kind, share):
    # Noise fills the file with data, so that every cut takes away some of the picture.
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = tmp_path / f"whole.{kind}"
    exif = Image.Exif()
    exif[0x0112] = 6
    stored(
        path,
        noise[:, :, 0] if kind.startswith("gray") else noise,
        **({"progressive": True} if kind.startswith("progressive") else {}),
        **({"exif": exif} if kind.startswith("exif") else {}),
    )
    assert read_picture(path).shape[2] == 3
    data = path.read_bytes()
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(data[: int(len(data) * share)])
    for read in (read_picture, read_mask, read_map):
        with pytest.raises(ArnError, match=r"cut\.") as caught:
            read(cut)
        assert str(cut) in str(caught.value)


def test_verify_and_audit_read_a_picture_once(tmp_path, rgb, monkeypatch):
    """Bytes that were read already are decoded as the file is."""
    from arn.data import audit, verify

    Image.fromarray(rgb).save(tmp_path / "a.jpg")
    pair = Pair("a", tmp_path / "a.jpg", None)
    whole, read = read_picture(pair.picture), []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: read.append(self) or original(self))
    verify._look(pair)
    audit._print(pair)
    assert read == [pair.picture] * 2
    assert np.array_equal(read_picture(tmp_path / "gone.jpg", data=original(pair.picture)), whole)


def test_a_jpeg_that_lost_only_its_last_bytes_is_truncated_too(tmp_path, rgb):
    path = stored(tmp_path / "a.jpg", rgb)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ArnError, match="truncated or damaged"):
        read_picture(path)


def test_a_png_with_a_wrong_checksum_is_damaged(tmp_path, rgb):
    path = stored(tmp_path / "a.png", rgb)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ArnError, match="truncated or damaged"):
        read_picture(path)


def test_what_is_no_picture(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>404 not found</html>")
    with pytest.raises(ArnError, match=r"a\.jpg is no picture"):
        read_picture(tmp_path / "a.jpg")
    with pytest.raises(ArnError, match=r"Cannot read .*b\.jpg: No such file"):
        read_picture(tmp_path / "b.jpg")
    stored(tmp_path / "c.tif", np.zeros((4, 4), np.float32))
    with pytest.raises(ArnError, match=r"c\.tif holds 32-bit values"):
        read_mask(tmp_path / "c.tif")


# ----------------------------------------------------------------------------------------------------------- masks


def test_masks_of_one_bit_gray_rgb_and_palette_read_alike(tmp_path, truth):
    files = [
        stored(tmp_path / "bit.png", truth, "1"),
        stored(tmp_path / "gray.png", truth),
        stored(tmp_path / "rgb.png", np.dstack([truth] * 3)),
        stored(tmp_path / "palette.png", truth, "P"),
        stored(tmp_path / "gray.bmp", truth),
        stored(tmp_path / "bit.tif", truth, "1"),
    ]
    cv2.imwrite(str(tmp_path / "wide.png"), truth.astype(np.uint16) * 257)
    for path in [*files, tmp_path / "wide.png"]:
        mask = read_mask(path)
        np.testing.assert_array_equal(mask, truth, err_msg=path.name)
        assert mask.dtype == np.uint8
        assert mask.flags.writeable
        np.testing.assert_array_equal(read_map(path), truth, err_msg=path.name)


def test_graded_masks_keep_every_value(tmp_path):
    graded = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
    for path in (stored(tmp_path / "gray.png", graded), stored(tmp_path / "rgb.png", np.dstack([graded] * 3))):
        np.testing.assert_array_equal(read_mask(path), graded)
    cv2.imwrite(str(tmp_path / "wide.png"), graded.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_mask(tmp_path / "wide.png"), graded)


def test_class_numbers_0_and_1_are_a_mask_not_an_empty_one(tmp_path, truth):
    numbers = (truth > 0).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "wide.png"), numbers.astype(np.uint16))
    indexed = Image.fromarray(numbers, "P")
    indexed.putpalette([0, 0, 0, 1, 1, 1])
    indexed.save(tmp_path / "palette.png")
    files = [stored(tmp_path / "gray.png", numbers), stored(tmp_path / "rgb.png", np.dstack([numbers] * 3))]
    for path in [*files, tmp_path / "wide.png", tmp_path / "palette.png"]:
        np.testing.assert_array_equal(read_mask(path), truth, err_msg=path.name)
    # A map may well be that dark: its values are left alone.
    np.testing.assert_array_equal(read_map(files[0]), numbers)


def test_noise_of_a_jpeg_mask_does_not_become_an_object(tmp_path):
    stored(tmp_path / "a.jpg", np.ones((HEIGHT, WIDTH), np.uint8), quality=100)
    assert read_mask(tmp_path / "a.jpg").max() == 1


def test_eight_bit_values_stored_in_sixteen_are_not_lost(tmp_path, truth):
    cv2.imwrite(str(tmp_path / "a.png"), truth.astype(np.uint16))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), truth)


def test_nearly_equal_channels_are_gray(tmp_path, truth):
    path = stored(tmp_path / "a.jpg", np.dstack([truth] * 3), quality=75)
    mask = read_mask(path)
    np.testing.assert_array_equal(mask > 127, truth > 127)
    tinted = np.dstack([truth, truth, np.maximum(truth, 9)])
    np.testing.assert_array_equal(read_mask(stored(tmp_path / "b.png", tinted)) > 127, truth > 127)


def test_black_and_one_dark_colour_is_a_mask(tmp_path, truth):
    """The red (128, 0, 0) of class 1 in VOC's palette has luminance 38: any threshold would lose it."""
    indexed = Image.fromarray((truth > 0).astype(np.uint8), "P")
    indexed.putpalette([0, 0, 0, 128, 0, 0])
    indexed.save(tmp_path / "voc.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "voc.png"), truth)


def test_several_colours_are_refused_with_the_files_name(tmp_path, rgb):
    with pytest.raises(ArnError, match=r"a\.png has several colours"):
        read_mask(stored(tmp_path / "a.png", rgb))
    labels = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) % 3, "P")
    labels.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    labels.save(tmp_path / "b.png")
    with pytest.raises(ArnError, match=r"b\.png has several colours"):
        read_mask(tmp_path / "b.png")


def test_transparent_masks(tmp_path, truth):
    opaque = np.full_like(truth, 255)
    cases = {
        "opaque": np.dstack([truth] * 3 + [opaque]),
        "black cut out": np.dstack([np.zeros_like(truth)] * 3 + [truth]),
        "white cut out": np.dstack([opaque] * 3 + [truth]),
        "white on clear black": np.dstack([truth] * 4),
    }
    for name, layered in cases.items():
        np.testing.assert_array_equal(read_mask(stored(tmp_path / f"{name}.png", layered)), truth, err_msg=name)
    np.testing.assert_array_equal(read_mask(stored(tmp_path / "la.png", cases["opaque"], "LA")), truth)


@pytest.mark.parametrize("value", [0, 255])
def test_an_empty_and_a_full_mask(tmp_path, value):
    flat = np.full((HEIGHT, WIDTH), value, np.uint8)
    for mode in ("1", "L", "RGB", "P"):
        np.testing.assert_array_equal(read_mask(stored(tmp_path / f"{mode}.png", flat, mode)), flat)


# --------------------------------------------------------------------------------------------------------- finding


def folder(place: Path, *names: str) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        (place / name).write_bytes(b"")
    return place


def test_pairs_are_sorted_and_matched_by_stem(tmp_path):
    images = folder(tmp_path / "images", "b.jpg", "a.PNG", "c.x.jpeg", "._a.jpg", ".DS_Store", "Thumbs.db", "notes.txt")
    masks = folder(tmp_path / "masks", "c.x.png", "a.png", "b.bmp", "._b.png")
    assert find_pairs(images, masks) == [
        Pair("a", images / "a.PNG", masks / "a.png"),
        Pair("b", images / "b.jpg", masks / "b.bmp"),
        Pair("c.x", images / "c.x.jpeg", masks / "c.x.png"),
    ]
    assert [(pair.stem, pair.mask) for pair in find_pairs(images, None)] == [("a", None), ("b", None), ("c.x", None)]
    assert find_pairs(images / "b.jpg", None) == [Pair("b", images / "b.jpg", None)]


def test_missing_and_extra_masks_are_listed(tmp_path):
    images = folder(tmp_path / "images", *(f"{number:02d}.jpg" for number in range(15)), "same.jpg")
    masks = folder(tmp_path / "masks", "same.png", "other.png")
    with pytest.raises(ArnError) as caught:
        find_pairs(images, masks)
    said = str(caught.value)
    assert "15 of 16 pictures without a mask: 00, 01, 02" in said
    assert "09 and 5 more" in said
    assert "1 of 2 masks without a picture: other" in said
    assert str(images) in said
    assert str(masks) in said


def test_two_files_of_one_stem(tmp_path):
    images = folder(tmp_path / "images", "a.jpg", "a.png", "b.jpg")
    with pytest.raises(ArnError, match=r"a\.jpg and a\.png"):
        find_pairs(images, None)
    masks = folder(tmp_path / "masks", "b.png", "b.bmp")
    with pytest.raises(ArnError, match=r"masks in .*b\.bmp and b\.png"):
        find_pairs(folder(tmp_path / "one", "b.jpg"), masks)


def test_no_pictures_and_no_folder(tmp_path):
    with pytest.raises(ArnError, match=r"No pictures in .*images"):
        find_pairs(folder(tmp_path / "images", "readme.txt"), None)
    with pytest.raises(ArnError, match=r"There is no folder .*nowhere"):
        find_pairs(tmp_path / "nowhere", None)


LAYOUTS = [(name, layout) for name, dataset in CATALOGUE.items() for layout in dataset.layouts]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(("name", "layout"), LAYOUTS, ids=[f"{name}-{layout.images}" for name, layout in LAYOUTS])
def test_every_layout_of_the_catalogue_is_found(tmp_path, name, layout, nested):
    base = tmp_path / name / (name if nested else "")
    for pattern, suffix in ((layout.images, ".jpg"), (layout.masks, ".png")):
        place = base / pattern
        folder(place.parent if "*" in pattern else place, f"7{suffix}", f"8{suffix}")
    found = find_dataset(name, tmp_path)
    assert [(pair.stem, pair.picture.suffix, pair.mask.suffix) for pair in found] == [
        ("7", ".jpg", ".png"),
        ("8", ".jpg", ".png"),
    ]
    assert find_dataset(name.lower(), tmp_path) == found
    if not nested:
        assert find_dataset(str(base), Path("elsewhere")) == found


def test_a_users_own_folder_by_path_and_by_name_below_the_root(tmp_path, monkeypatch):
    folder(tmp_path / "mine" / "images", "a.jpg")
    folder(tmp_path / "mine" / "masks", "a.png")
    assert [pair.stem for pair in find_dataset(tmp_path / "mine")] == ["a"]
    monkeypatch.setenv("ARN_DATA_DIR", str(tmp_path))
    assert [pair.stem for pair in find_dataset("mine")] == ["a"]


def test_an_unknown_data_set_says_where_it_looked_and_what_to_do(tmp_path):
    with pytest.raises(ArnError, match=r"no folder ECSD or .*Did you mean ECSSD\?"):
        find_dataset("ECSD", tmp_path)
    with pytest.raises(ArnError, match=r"no folder .*HKU-IS.*Get it from .*hku\.hk.*ARN_DATA_DIR"):
        find_dataset("HKU-IS", tmp_path)
    folder(tmp_path / "ECSSD" / "images", "a.jpg")
    with pytest.raises(ArnError, match=r"images with masks or images with ground_truth_mask"):
        find_dataset("ECSSD", tmp_path)
    folder(tmp_path / "own" / "pictures", "a.jpg")
    with pytest.raises(ArnError, match=r"No pictures with masks in .*own: looked there for images with masks"):
        find_dataset("own", tmp_path)


# --------------------------------------------------------------------------------------------------------- writing


def test_maps_are_written_as_gray_png_and_read_again(tmp_path):
    path = tmp_path / "deep" / "er" / "a.png"
    values = np.linspace(0, 1, 511, dtype=np.float32).reshape(7, 73)
    write_map(path, values)
    with Image.open(path) as image:
        assert (image.mode, image.format, image.size) == ("L", "PNG", (73, 7))
    np.testing.assert_array_equal(read_map(path), np.rint(values * 255))
    for kind in (np.float16, np.float64):
        write_map(path, np.full((3, 4), 0.25, kind))
        assert (read_map(path) == 64).all()
    bytes_ = np.arange(256, dtype=np.uint8).reshape(8, 32)
    write_map(path, bytes_[:, ::2])  # not contiguous
    np.testing.assert_array_equal(read_map(path), bytes_[:, ::2])
    write_map(path, bytes_ > 100)
    np.testing.assert_array_equal(read_map(path), (bytes_ > 100) * 255)
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    "array",
    [
        np.full((3, 3), 1.01),
        np.full((3, 3), -0.01),
        np.array([[0.5, np.nan]]),
        np.zeros((3, 3), np.int64),
        np.zeros((3, 3, 1)),
        np.zeros((0, 3)),
    ],
    ids=["above 1", "below 0", "NaN", "int64", "three axes", "no rows"],
)
def test_what_is_no_map_is_refused_before_anything_is_written(tmp_path, array):
    with pytest.raises(ValueError, match="map"):
        write_map(tmp_path / "a.png", array)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path):
    """The system itself stops the write: no file of this process may pass 64 bytes."""
    path = tmp_path / "a.png"
    write_map(path, np.zeros((4, 4)))
    old = path.read_bytes()
    script = (
        "import resource, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from arn.data.images import write_map\n"
        "from arn.errors import ArnError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
        "try:\n"
        "    write_map(Path(sys.argv[1]), np.random.default_rng(0).random((50, 50)))\n"
        "except ArnError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-B", "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert f"Cannot write {path}" in done.stdout
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_failure_at_the_last_moment_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ArnError, match=r"Cannot write .*a\.txt: No space left on device"):
        write_atomically(tmp_path / "a.txt", b"1")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArnError, match=r"Cannot write .*file/a\.png"):
        write_map(tmp_path / "file" / "a.png", np.zeros((2, 2)))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ArnError, match="Permission denied"):
            write_map(tmp_path / "a.png", np.zeros((2, 2)))
    finally:
        tmp_path.chmod(0o700)


# -------------------------------------------------------------------------------------------------------- checking


def test_sizes_are_compared_and_both_files_named():
    pair = Pair("a", Path("images/a.jpg"), Path("masks/a.png"))
    check_same_size(pair, np.zeros((4, 6, 3)), np.zeros((4, 6)))
    with pytest.raises(ArnError, match=r"images/a\.jpg is 6 x 4 pixels but its mask masks/a\.png is 5 x 4") as caught:
        check_same_size(pair, np.zeros((4, 6, 3)), np.zeros((4, 5)))
    assert "turned" not in str(caught.value)
    with pytest.raises(ArnError, match="turned by 90 degrees"):
        check_same_size(pair, np.zeros((4, 6, 3)), np.zeros((6, 4)))


def test_verify_reports_all_that_is_wrong_or_odd_and_goes_on(tmp_path, rgb, truth):
    images, masks = folder(tmp_path / "images"), folder(tmp_path / "masks")
    kinds = {
        "empty": np.zeros_like(truth),
        "full": np.full_like(truth, 255),
        "graded": truth // 255 * 170,
        "good": truth,
        "size": truth[:-1],
        "twin": truth,
        "worse": truth,
        "wrong": truth,
    }
    for stem, mask in kinds.items():
        stored(images / f"{stem}.jpg", np.roll(rgb, 0 if stem == "twin" else sum(map(ord, stem)) % HEIGHT, 0))
        stored(masks / f"{stem}.png", mask)
    (images / "good.jpg").write_bytes((images / "twin.jpg").read_bytes())
    (images / "wrong.jpg").write_bytes((images / "wrong.jpg").read_bytes()[:300])
    (masks / "worse.png").write_bytes(b"")
    calls = []
    report = verify(find_pairs(images, masks), CATALOGUE["SOD"], progress=lambda *at: calls.append(at))
    assert (report.found, report.expected) == (8, 300)
    assert (report.empty, report.full, report.graded) == (["empty"], ["full"], ["graded"])
    assert report.identical == [("good", "twin")]
    assert len(report.mismatched) == 1
    assert "size.png" in report.mismatched[0]
    assert len(report.unreadable) == 2
    assert "worse.png" in report.unreadable[0]
    assert "wrong.jpg" in report.unreadable[1]
    assert report.errors[0] == "8 pairs, where 300 were published."
    assert len(report.errors) == 4
    assert "1 groups of byte-identical pictures: good = twin" in report.notes
    assert calls == [(done, 8) for done in range(1, 9)]


def test_a_good_set_has_neither_errors_nor_notes(tmp_path, rgb, truth):
    stored(folder(tmp_path / "images") / "a.jpg", rgb)
    stored(folder(tmp_path / "masks") / "a.png", truth, "1")
    report = verify(find_dataset(tmp_path))
    assert (report.found, report.errors, report.notes) == (1, [], [])


# --------------------------------------------------------------------------------------------------- real pictures


@pytest.mark.parametrize("name", ["DUTS-TR", "ECSSD", "SOD"])
def test_real_data_sets_have_their_published_counts_and_are_sound(data_dir, name):
    pairs = find_dataset(name, data_dir)
    assert len(pairs) == CATALOGUE[name].count
    report = verify(pairs[:: max(len(pairs) // 150, 1)])
    assert report.errors == []
    assert report.graded == []  # stored with 1 bit
    assert report.empty == []


@pytest.mark.parametrize("name", ["DUTS-TR", "ECSSD", "SOD"])
def test_real_pictures_are_read_as_pil_reads_them(data_dir, name):
    pairs = find_dataset(name, data_dir)
    for pair in pairs[:: len(pairs) // 40]:
        data = pair.picture.read_bytes()
        assert module._size_of_ordinary_jpeg(data), "these are what the fast way is for"
        with Image.open(io.BytesIO(data)) as image:
            np.testing.assert_array_equal(read_picture(pair.picture), np.array(image.convert("RGB")))
        assert pair.mask is not None
        assert module._is_ordinary_png(pair.mask.read_bytes()), "these are what the fast way is for"
        with Image.open(pair.mask) as image:
            np.testing.assert_array_equal(read_mask(pair.mask), np.array(image.convert("L")))


def test_the_grayscale_picture_of_ecssd(data_dir):
    picture = read_picture(data_dir / "ECSSD" / "images" / "0557.jpg")
    assert picture.shape[2] == 3
    assert (picture == picture[:, :, :1]).all()
