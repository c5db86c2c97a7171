"""Pictures, masks and maps as files: reading every format met in the wild, and writing maps.

At the edges of this package a picture is uint8 RGB, H x W x 3, and masks and maps are uint8 gray, H x W, 0..255.
What is done with every format is in docs/datasets.md; the rule throughout is that nothing is guessed where a wrong
guess would go unseen. An error that a user can mend is an `ArnError` that names the file.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from arn.data.decoders import JPEG, PNG, check_pixels, decode_by_opencv, open_head, png_is_sound, told_of
from arn.data.labels import Meaning, plain_mask
from arn.errors import ArnError
from arn.files import write_atomically

Picture = NDArray[np.uint8]  # RGB, H x W x 3
Mask = NDArray[np.uint8]  # H x W; a map likewise

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".avif", ".heic", ".heif", ".jfif", ".jpe", ".jif", ".jp2", ".tga"}
)
GRAY_TOLERANCE = 16  # by which channels of a gray mask stored as RGB may differ; JPEG's rounding stays well below


def read_picture(path: Path, at_least: int | None = None, data: bytes | None = None) -> Picture:
    """A picture as uint8 RGB, H x W x 3, the way up that its EXIF orientation says.

    With ``at_least``, px, a large JPEG is decoded at 1/2, 1/4 or 1/8 of its size (a side rounded up), which costs a
    fraction, as long as its shorter side stays at least that: near to area-averaging, but not equal to it, so for
    training only. ``data``: what the file holds, where it was read already.

    Transparency is laid over white; of 16 bits the upper 8 are kept, of an animation the first frame; colour profiles
    are ignored, but see `read_photo`. HEIC needs the extra ``heif``. Raises ArnError naming the file when it is
    missing, truncated or no picture.
    """
    data = read_bytes(path) if data is None else data
    size = _size_of_ordinary_jpeg(data)
    if size is not None:
        check_pixels(path, *size)
        # Twice as fast as PIL and equal to it bit for bit (both decode with libjpeg-turbo; asserted on real pictures).
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        if at_least is not None:  # the flags: what those of IMREAD_REDUCED have beside gray or colour
            flags |= next((flag for scale, flag in ((8, 64), (4, 32), (2, 16)) if min(size) // scale >= at_least), 0)
        decoded = decode_by_opencv(data, flags)
        if decoded is not None:
            return decoded
    image = _open(path, data)
    with told_of(path, data):
        if image.mode.startswith("I;16"):
            return np.repeat(upper_bits(np.array(image))[:, :, None], 3, axis=2)
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        return np.array(image.convert("RGB"))


def read_photo(path: Path, data: bytes | None = None) -> tuple[Picture, bytes | None]:
    """A picture as `read_picture` gives it, and the ICC profile that its colours are meant by; None: taken for sRGB.

    Gray and CMYK with a profile are converted to sRGB by it: their profile would not fit RGB. Errors as `read_picture`.
    """
    data = read_bytes(path) if data is None else data
    try:
        with open_head(path, data) as image:
            profile, mode = image.info.get("icc_profile"), image.mode
    except Exception:
        profile = mode = None  # what is wrong with it is told below
    if not profile or mode in ("RGB", "RGBA", "RGBX", "P"):
        return read_picture(path, data=data), profile or None
    try:
        image = _open(path, data)
        srgb = ImageCms.createProfile("sRGB")
        return np.array(ImageCms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode="RGB")), None
    except (ImageCms.PyCMSError, ValueError, OSError):  # a damaged profile, or one of other colours: as if without
        return read_picture(path, data=data), None


def picture_size(data: bytes) -> tuple[int, int]:
    """Height and width in px that the head of a picture's file announces; (0, 0) where it cannot be told."""
    try:
        with open_head(Path(), data) as image:
            return image.height, image.width
    except Exception:  # reading it whole tells what is wrong
        return 0, 0


def read_mask(path: Path, meaning: Meaning | None = None) -> Mask:
    """A mask as uint8 gray, H x W, 0..255, the way up that its EXIF orientation says; graded values are kept.

    Masks whose only values are 0 and 1 read as 0 and 255: stored class numbers, which any threshold would take for
    empty. Other values that are no gray levels are an error, see `arn.data.labels`, unless ``meaning`` says what they
    stand for. RGB and palette masks are read as gray when their channels agree within `GRAY_TOLERANCE`; black and one
    colour is 0 and 255. Raises ArnError naming the file when it is missing, truncated, no picture, or of several
    colours.
    """
    data = read_bytes(path)
    noisy = data.startswith(JPEG)
    if meaning is not None:
        return meaning.mask(path, _values(path, data), noisy)
    return plain_mask(path, _levels(path, data), noisy or _channels_differ(path, data))


def read_ignored(path: Path, meaning: Meaning) -> NDArray[np.bool_]:
    """Which pixels of a mask count nowhere, H x W. Errors as `read_mask`."""
    return meaning.ignored(_values(path, read_bytes(path)))


def _levels(path: Path, data: bytes) -> Mask:
    decoded = decode_gray_png(path, data)
    if decoded is not None:
        return decoded
    image = _open(path, data)
    with told_of(path, data):
        return gray_levels(path, image)


def _channels_differ(path: Path, data: bytes) -> bool:
    """Whether a mask is stored in colour and is gray but for what an encoder did: none of its values is exact."""
    if _is_ordinary_png(data):
        return False
    with told_of(path, data), open_head(path, data) as image:
        if image.mode not in ("RGB", "RGBA"):
            return False
        colours = np.array(image.convert("RGB"))
    return bool((colours != colours[:, :, :1]).any())


def _values(path: Path, data: bytes) -> Mask:
    """As they are stored: of a palette its numbers, not its colours."""
    image = _open(path, data)
    return np.array(image) if image.mode == "P" else _levels(path, data)


def read_map(path: Path) -> Mask:
    """A saliency map as uint8 gray, H x W, 0..255: as `read_mask`, but a map that never passes 1 is left so dark."""
    return _levels(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ArnError(f"Cannot read {path}: {error.strerror or error}.") from error


def _size_of_ordinary_jpeg(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG that OpenCV decodes as PIL does: 8-bit gray or YCbCr, no EXIF or XMP; else None."""
    # OpenCV before 4.11 fills the missing rest of a truncated JPEG with gray, so a file must end as JPEG does.
    if not (data.startswith(JPEG) and data.endswith(b"\xff\xd9")):
        return None
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker, length, depth, height, width, channels = struct.unpack_from(">BHBHHB", data, at + 1)
        if marker == 0xE1 or marker == 0xDA:  # APP1: EXIF or XMP, either can turn the picture; SOS before any SOF
            return None
        if marker in (0xC0, 0xC1, 0xC2):  # SOF: baseline, extended, progressive
            return (width, height) if depth == 8 and channels in (1, 3) else None
        at += 2 + length
    return None


def decode_gray_png(path: Path, data: bytes) -> Mask | None:
    """What an ordinary gray PNG of up to 8 bits holds; None for any other file, and for a damaged one.

    Raises ArnError for one that is too large.

    Three times as fast as PIL and equal to it (asserted on real masks).
    """
    if not _is_ordinary_png(data) or not png_is_sound(data):
        return None
    check_pixels(path, *struct.unpack_from(">II", data, 16))
    decoded = decode_by_opencv(data, cv2.IMREAD_UNCHANGED)
    return None if decoded is None else np.asarray(decoded, np.uint8)


def _is_ordinary_png(data: bytes) -> bool:
    """Whether OpenCV decodes it as PIL does: a whole gray PNG of 1 or 8 bits, opaque, without EXIF."""
    return (
        data.startswith(PNG)
        and data[12:16] == b"IHDR"
        and data[24:26] in (b"\1\0", b"\x08\0")
        and data.endswith(b"IEND\xaeB`\x82")
        and not any(kind in data for kind in (b"tRNS", b"eXIf", b"acTL"))
    )


def _open(path: Path, data: bytes) -> Image.Image:
    """As `open_image`; 32-bit values are an error."""
    image = open_image(path, data)
    if image.mode in ("I", "F"):
        raise ArnError(f"{path} holds 32-bit values, whose range is unknown; store it with 8 or 16 bits.")
    return image


def open_image(path: Path, data: bytes) -> Image.Image:
    """The whole picture, decoded by PIL and turned as its EXIF orientation says. Raises ArnError naming the file."""
    with told_of(path, data):
        image = open_head(path, data)
        sixteen_bits = image.mode == "I" and image.format == "PPM"
        image.load()
        image = ImageOps.exif_transpose(image)
    return Image.fromarray(np.array(image).astype(np.uint16)) if sixteen_bits else image


def upper_bits(wide: NDArray[Any]) -> Mask:
    """16-bit gray as 8-bit: the upper byte, unless no value passes 255, when they are 8-bit values stored wide."""
    return (wide if wide.max() <= 255 else wide >> 8).astype(np.uint8)


def gray_levels(path: Path, image: Image.Image) -> Mask:
    """Gray of an opened picture, see `read_mask`. Raises ArnError for several colours."""
    if image.mode == "1" or (image.mode == "L" and not image.has_transparency_data):
        return np.array(image.convert("L"))
    if image.mode.startswith("I;16"):
        return upper_bits(np.array(image))
    if image.has_transparency_data:
        layered = np.array(image.convert("RGBA"))
        colours, alpha = layered[:, :, :3], layered[:, :, 3]
        if alpha.min() < 255:
            if (colours == colours[0, 0]).all():  # one colour throughout: the shape is in the transparency
                return alpha.copy()
            colours = (colours.astype(np.uint16) * alpha[:, :, None] // 255).astype(np.uint8)  # clear is background
    else:
        colours = np.array(image.convert("RGB"))
    low, high = colours.min(axis=2), colours.max(axis=2)
    if (high - low).max() <= GRAY_TOLERANCE:
        return ((colours.sum(axis=2, dtype=np.uint16) + 1) // 3).astype(np.uint8)
    shape = high > 0
    if (colours[shape] == colours[shape][0]).all():
        return shape.astype(np.uint8) * np.uint8(255)
    raise ArnError(
        f"{path} has several colours where a gray mask or map is expected (class labels or a picture?); "
        "store the object white on black."
    )


def write_map(path: Path, array: NDArray[Any]) -> None:
    """Writes a map as 8-bit gray PNG, whole or not at all; missing folders above it are made.

    `array` is H x W: float in 0..1 (rounded to the nearest of 256 levels), uint8, or bool. Raises ValueError for
    anything else, NaN included, and ArnError naming the path when the disk is full or the folder cannot be written.
    """
    values = np.asarray(array)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"a map is H x W, not of shape {values.shape}")
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * np.uint8(255)
    elif np.issubdtype(values.dtype, np.floating):
        if not (values.min() >= 0 and values.max() <= 1):  # NaN fails this as well
            raise ValueError(f"a float map is within 0..1, not {values.min()}..{values.max()}")
        values = np.rint(values.astype(np.float32) * 255).astype(np.uint8)
    elif values.dtype != np.uint8:
        raise ValueError(f"a map is float, uint8 or bool, not {values.dtype}")
    if max(values.shape) > 1_000_000:
        raise ArnError(f"{path}: a side of {max(values.shape):,} px is beyond what libpng reads, 1,000,000.")
    write_atomically(path, cv2.imencode(".png", np.ascontiguousarray(values))[1].tobytes())
