"""`arn.load()(anything)`, `arn.saliency`, `arn.cutout`: what comes back is of the kind that was given."""

import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import arn
from arn.data.scenes import draw_scene
from arn.errors import ArnError
from arn.inference.anything import as_picture


@pytest.fixture(scope="module")
def network(trained):
    return arn.load(trained)


@pytest.fixture(scope="module")
def picture():
    return draw_scene(0, 0, (40, 60))[0]


def as_bytes(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def of_torch(picture):
    return torch.from_numpy(picture).permute(2, 0, 1)


SAME = {  # the same picture in other clothes
    "array": lambda p: p,
    "16 bits": lambda p: p.astype(np.uint16) * 257,
    "float": lambda p: p / 255.0,
    "RGBA": lambda p: np.dstack([p, np.full(p.shape[:2], 255, np.uint8)]),
    "not contiguous": lambda p: np.asfortranarray(p),
    "pillow": Image.fromarray,
    "palette of pillow, many colours": lambda p: Image.fromarray(p).convert("RGBA"),
    "bytes": as_bytes,
    "tensor": of_torch,
    "float tensor": lambda p: of_torch(p) / 255,
    "half tensor": lambda p: (of_torch(p) / 255).double(),
}


@pytest.mark.parametrize("kind", SAME)
def test_every_kind_means_the_same_picture(picture, kind):
    read, _ = as_picture(SAME[kind](picture))
    assert np.array_equal(read, picture)
    assert read.dtype == np.uint8


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (np.full((4, 5), 7, np.uint8), (7, 7, 7)),
        (np.full((4, 5, 1), 7, np.uint8), (7, 7, 7)),
        (np.full((4, 5), 1800, np.uint16), (7, 7, 7)),
        (np.full((4, 5), 7, np.uint16), (7, 7, 7)),  # 8 bits stored wide, as in a file
        (np.full((4, 5), True), (255, 255, 255)),
        (np.full((4, 5, 4), 0, np.uint8), (255, 255, 255)),  # clear is white
        (np.broadcast_to(np.array([100, 0, 0, 51], np.uint8), (4, 5, 4)), (224, 204, 204)),
        (Image.new("1", (5, 4), 1), (255, 255, 255)),
        (Image.new("L", (5, 4), 7), (7, 7, 7)),
        (Image.fromarray(np.full((4, 5), 1800, np.uint16)), (7, 7, 7)),
        (Image.new("I", (5, 4), 1800), (7, 7, 7)),
        (Image.new("RGBA", (5, 4), (0, 0, 0, 0)), (255, 255, 255)),
        (torch.full((1, 4, 5), 7, dtype=torch.uint8), (7, 7, 7)),
    ],
)
def test_what_else_a_picture_may_be(given, wanted):
    read, _ = as_picture(given)
    assert read.shape == (4, 5, 3)
    assert (read == wanted).all()


def test_maps_and_cutouts_come_back_as_the_picture_came(network, picture):
    plain = network.predict(picture)
    assert np.array_equal(network(picture), plain)
    image = arn.saliency(Image.fromarray(picture), network)
    assert (image.mode, image.size) == ("L", (60, 40))
    assert np.array_equal(np.asarray(image), np.round(plain * 255))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(network(as_bytes(picture))))), np.round(plain * 255))
    tensor = network(of_torch(picture))
    assert (tensor.dtype, tuple(tensor.shape)) == (torch.float32, (40, 60))
    cut = arn.cutout(picture, network)
    assert (cut.shape, cut.dtype) == ((40, 60, 4), np.uint8)
    assert np.array_equal(np.asarray(arn.cutout(Image.fromarray(picture), network)), cut)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(arn.cutout(as_bytes(picture), network)))), cut)
    for given, scale in ((of_torch(picture), 1), (of_torch(picture) / 255, 255)):
        made = arn.cutout(given, network)
        assert made.dtype == given.dtype
        assert np.allclose(made.permute(1, 2, 0).numpy() * scale, cut, atol=1e-3)
    assert arn.cutout(picture, network, background="white").shape == (40, 60, 3)
    assert np.array_equal(
        arn.cutout(picture, network, background=(255, 255, 255)), arn.cutout(picture, network, background="#ffffff")
    )


def test_a_cutout_keeps_the_profile_of_its_colours(network, picture):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(picture)
    image.info["icc_profile"] = profile
    file = io.BytesIO()
    image.save(file, "PNG", icc_profile=profile)
    assert arn.cutout(image, network).info["icc_profile"] == profile
    assert Image.open(io.BytesIO(arn.cutout(file.getvalue(), network))).info["icc_profile"] == profile
    assert "icc_profile" not in arn.saliency(image, network).info  # gray, of no colours


def test_many(network, picture, tmp_path):
    other = draw_scene(0, 1, (30, 20))[0]
    Image.fromarray(other).save(tmp_path / "other.png")
    mixed = network([picture, str(tmp_path / "other.png"), Image.fromarray(other)])
    assert [type(one).__name__ for one in mixed] == ["ndarray", "ndarray", "Image"]
    assert np.abs(mixed[1] - network(other)).max() < 1e-4
    assert network([]) == []
    assert network(np.stack([picture] * 3)).shape == (3, 40, 60)
    assert network(torch.stack([of_torch(picture)] * 2)).shape == (2, 40, 60)
    assert arn.cutout(np.stack([picture] * 2), network).shape == (2, 40, 60, 4)


def test_a_generator_is_read_as_it_is_asked(network, picture):
    taken = []

    def pictures():
        for number in range(10):
            taken.append(number)
            yield picture

    maps = network(pictures(), batch_size=2)
    assert taken == []
    assert next(maps).shape == (40, 60)
    assert taken == [0, 1]
    assert len(list(maps)) == 9


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (3, TypeError, "int 3"),
        (None, TypeError, "None"),
        ({}, TypeError, "dict"),
        ([np.zeros((4, 4, 3), np.uint8), object()], TypeError, "object"),
        (np.zeros((3, 40, 60), np.uint8), ValueError, "3 x 40 x 60"),
        (np.zeros((40, 60, 3), np.int64), ValueError, "int64"),
        (np.full((4, 4, 3), 255.0), ValueError, "255..255; divide"),
        (np.full((4, 4, 3), np.nan), ValueError, "nan"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "0 x 4 x 3"),
        (torch.zeros(40, 60, 3), ValueError, "40 x 60 x 3"),
        (Image.new("I", (5, 4), 70_000), ValueError, "70000"),
        (Image.new("I", (5, 4), -1), ValueError, "-1"),
        ("nowhere.png", ArnError, "nowhere.png"),
        (b"no picture", ArnError, "10 bytes"),
    ],
)
def test_errors_say_what_was_given(network, given, error, says):
    with pytest.raises(error, match=says):
        network(given)


def test_threads_may_share_a_network(network, picture):
    pictures = [draw_scene(0, index, (30 + index, 40))[0] for index in range(12)]
    alone = [network(one) for one in pictures]
    found = [None] * len(pictures)

    def work(index):
        found[index] = network(pictures[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, found, strict=True):
        assert np.array_equal(one, other)
