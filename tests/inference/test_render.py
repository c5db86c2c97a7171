"""What is made of a map, and as which bytes."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from arn.errors import ArnError
from arn.inference.render import SUFFIXES, Style, encode, parse_ground, read_note, render

PICTURE = np.full((40, 60, 3), (10, 120, 240), np.uint8)
PICTURE[10:30, 20:40] = (230, 40, 20)
SALIENCY = np.zeros((40, 60), np.float32)
SALIENCY[10:30, 20:40] = 1


def test_a_cutout_on_a_ground():
    for ground, corner in (
        ((1, 2, 3), (1, 2, 3)),
        ("blur", (10, 120, 240)),  # nothing of the object's red runs into it
        (np.full((9, 5, 3), 77, np.uint8), (77, 77, 77)),
    ):
        shown = render(PICTURE, SALIENCY, Style("cutout", ground))
        assert (shown.shape, shown.dtype) == ((40, 60, 3), np.uint8)
        assert np.abs(shown[0, 0].astype(int) - corner).max() <= 1
        assert np.abs(shown[20, 30].astype(int) - (230, 40, 20)).max() <= 1


def test_another_picture_fills_the_frame():
    wide = np.zeros((20, 200, 3), np.uint8)
    wide[:, 80:120] = 255  # the middle, which is what the frame shows
    assert (render(PICTURE, SALIENCY * 0, Style("cutout", wide)) == 255).all()


@pytest.mark.parametrize("kind", ["map", "overlay", "cutout"])
def test_cropping_leaves_the_object_and_a_margin(kind):
    assert render(PICTURE, SALIENCY, Style(kind, margin=0.0)).shape[:2] == (20, 20)
    assert render(PICTURE, SALIENCY, Style(kind, margin=0.25)).shape[:2] == (30, 30)
    assert render(PICTURE, SALIENCY, Style(kind, margin=5.0)).shape[:2] == (40, 60)
    assert render(PICTURE, SALIENCY * 0, Style(kind, margin=0.0)).shape[:2] == (40, 60)


def test_colours_as_they_are_written():
    assert parse_ground("white") == (255, 255, 255)
    assert parse_ground("#1a2B3c") == (26, 43, 60)
    assert parse_ground("rgb(1,2,3)") == (1, 2, 3)
    assert parse_ground("blur") == "blur"
    with pytest.raises(ArnError, match="background=purplish"):
        parse_ground("purplish")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("channels", [None, 3, 4])
def test_every_format_keeps_the_profile_and_the_note(tmp_path, suffix, channels):
    image = np.random.default_rng(0).integers(0, 256, (12, 20, *([channels] if channels else [])), np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode(image, suffix, profile=profile, made_from="abc")
    (tmp_path / "file").write_bytes(data)
    assert read_note(tmp_path / "file") == "abc"
    read = Image.open(io.BytesIO(data))
    assert read.size == (20, 12)
    assert read.info.get("icc_profile") == (profile if channels else None)
    if suffix in (".png", ".tif", ".tiff"):
        assert np.array_equal(np.asarray(read), image)
    assert read.mode == ("RGBA" if channels == 4 and suffix not in (".jpg", ".jpeg") else read.mode)


def test_the_note_of_another_program_is_none_of_ours(tmp_path):
    exif = Image.Exif()
    exif[0x0131] = "Another Program 1.0"
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert read_note(tmp_path / "a.jpg") is None
    (tmp_path / "b.png").write_bytes(b"nothing")
    assert read_note(tmp_path / "b.png") is None


def test_jpeg_lays_a_cutout_on_white():
    read = np.asarray(Image.open(io.BytesIO(encode(np.zeros((8, 8, 4), np.uint8), ".jpg"))))
    assert (read > 250).all()
