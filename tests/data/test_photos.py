"""Photographs as cameras and phones write them: colour profiles, 16 bits, HEIC and AVIF."""

import base64
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from arn.data.images import picture_size, read_photo, read_picture
from arn.errors import ArnError

# 96 x 64, blue with a red square, encoded for this test.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABegABAAAAAAAAAM8AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA1mlwcnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoDCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xy"
    "bmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABgAAAAQAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAANdt"
    "ZGF0AAAAyygBrwng4wVeR7f/6f69f8ux//gGfaXvDwjU49Z8//LWLf4XSbsx7vAGn5ze7qByaiYRntUmOsXVWRCdn7hUNaG8DzX6"
    "kjqAh4SDWEeh7QpfjPjTmXv83DPGtzhq+tenhFuVVv3UriLljywdIribX0nRVil+iCjnfNkDVpnY6rbv8SPWyuh7l8jUwqcqlxCQ"
    "Qyi11jO9hKn1jJibJpiMHqQyB7QAPLRwk+ueBYSnbGvP+YiAprj4Hvg/php352EIJ5YFx52JkIC48tIz"
)
PICTURE = np.full((6, 8, 3), (10, 120, 240), np.uint8)


def profile(name):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_a_profile_of_rgb_is_handed_on_and_the_colours_are_left():
    wide = profile("sRGB")
    for kind in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        picture, found = read_photo(Path("x"), saved(Image.fromarray(PICTURE), kind, icc_profile=wide, **options))
        assert found == wide
        assert np.array_equal(picture, PICTURE)
    jpeg = saved(Image.fromarray(PICTURE), "JPEG", icc_profile=wide, quality=100)
    picture, found = read_photo(Path("x"), jpeg)
    assert found == wide
    assert np.array_equal(picture, read_picture(Path("x"), data=jpeg))
    assert read_photo(Path("x"), saved(Image.fromarray(PICTURE)))[1] is None


def test_other_colours_are_converted_by_their_profile():
    lab = Image.new("LAB", (8, 6), (128, 128, 128))
    picture, found = read_photo(Path("x"), saved(lab, "TIFF", icc_profile=profile("LAB")))
    assert found is None
    assert np.abs(picture.astype(int) - 119).max() <= 2  # L* 50 is 119 in sRGB
    gray = saved(Image.new("L", (8, 6), 90), "PNG", icc_profile=b"damaged")
    picture, found = read_photo(Path("x"), gray)
    assert found is None
    assert (picture == 90).all()


def test_sixteen_bits_of_every_kind_keep_the_upper_eight():
    wide = np.linspace(256, 65535, 48).astype(np.uint16).reshape(6, 8)
    pgm = b"P5 8 6 65535\n" + wide.astype(">u2").tobytes()
    for data in (saved(Image.fromarray(wide)), saved(Image.fromarray(wide), "TIFF"), pgm):
        assert np.array_equal(read_picture(Path("x"), data=data)[..., 1], wide >> 8)
        assert picture_size(data) == (6, 8)


def test_avif():
    picture = read_picture(Path("x.avif"), data=saved(Image.fromarray(PICTURE), "AVIF", quality=95))
    assert np.abs(picture.astype(int) - PICTURE).max() <= 6


def test_heic(monkeypatch):
    pytest.importorskip("pi_heif")
    picture = read_picture(Path("x.heic"), data=HEIC)
    assert picture.shape == (64, 96, 3)
    assert np.abs(picture[32, 48].astype(int) - (230, 60, 20)).max() < 12
    assert np.abs(picture[4, 4].astype(int) - (20, 60, 200)).max() < 12
    assert picture_size(HEIC) == (64, 96)
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(ArnError, match=r"x\.heic is HEIC.*arn-saliency\[heif\]"):
        read_picture(Path("x.heic"), data=HEIC)


def test_the_size_of_nothing():
    assert picture_size(b"nothing") == (0, 0)
