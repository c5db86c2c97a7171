"""What every picture's file goes through before its pixels are decoded: format, size and checksums.

A file decides neither which decoder reads it (Pillow alone knows some that start other programs) nor how much memory
that takes: its formats are these and its pixels are counted first, for OpenCV and Pillow alike.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from arn.errors import ArnError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM")
"""As Pillow calls them; it knows these without a search."""
MORE_FORMATS = ("TIFF", "WEBP", "AVIF", "JPEG2000")

MEGAPIXELS = 178.0
"""The most that a picture may have, unless ``max_megapixels`` says otherwise: where Pillow refuses by itself."""
_LIMIT = "ARN_MAX_MEGAPIXELS"  # in the environment, so that loader processes and jobs have it too

_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"


def limit_megapixels(most: float) -> None:
    """For this process, which is to be a command's own, and those that it starts."""
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # of half as many
    if most != max_megapixels():
        os.environ[_LIMIT] = f"{most:g}"
        _adopt_limit()


def max_megapixels() -> float:
    try:
        return float(os.environ.get(_LIMIT, MEGAPIXELS))
    except ValueError as error:
        raise ArnError(f"{_LIMIT}={os.environ[_LIMIT]}: must be a number of megapixels") from error


def _adopt_limit() -> None:
    if _LIMIT in os.environ:
        Image.MAX_IMAGE_PIXELS = None  # `check_pixels` is asked instead


_adopt_limit()


def check_pixels(path: Path, width: int, height: int) -> None:
    """Raises ArnError for a picture of more pixels than are read."""
    if width * height > max_megapixels() * 1e6:
        raise _too_large(path, f"{width} x {height}")


def _too_large(path: Path, count: str) -> ArnError:
    return ArnError(
        f"{path} has {count} pixels, and {max_megapixels():g} megapixels are the most that is read "
        f"(max_megapixels, or {_LIMIT} in the environment)."
    )


def open_head(path: Path, data: bytes) -> Image.Image:
    """The picture by Pillow, its pixels not decoded yet.

    Raises ArnError naming the file where it is too large, damaged by its own checksums, or needs another package; what
    Pillow raises of anything else comes as it is.
    """
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF:
        image = Image.open(io.BytesIO(data), formats=_with_heif(path))
    else:
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.UnidentifiedImageError:
            # A TGA begins like anything.
            last = ("TGA",) if path.suffix.lower() == ".tga" else ()
            image = Image.open(io.BytesIO(data), formats=(*MORE_FORMATS, *last))
    check_pixels(path, image.width, image.height)
    if not png_is_sound(data):
        raise ArnError(f"{path} is truncated or damaged (a checksum of the PNG is wrong); replace or remove it.")
    return image


def _with_heif(path: Path) -> tuple[str, ...]:
    try:
        from pi_heif import register_heif_opener
    except ImportError as error:
        raise ArnError(f"{path} is HEIC, which needs a package: pip install 'arn-saliency[heif]'") from error
    register_heif_opener()
    return ("HEIF",)


def png_is_sound(data: bytes) -> bool:
    """Whether the checksums of all chunks of a PNG are right, which decoders do not all ask; True for other files."""
    if not data.startswith(PNG):
        return True
    at, view = len(PNG), memoryview(data)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data) or zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return False
        if view[at + 4 : at + 8] == b"IEND":
            return True
        at = end + 4
    return False


def decode_by_opencv(data: bytes, flags: int) -> NDArray[np.uint8] | None:
    """None for what OpenCV refuses, in whatever way: Pillow tells what is wrong with it."""
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError):
        return None
    return None if decoded is None else np.asarray(decoded, np.uint8)


@contextmanager
def told_of(path: Path, data: bytes) -> Iterator[None]:
    """Whatever a decoder raises of a file as one ArnError that names it: they share no base class."""
    try:
        yield
    except ArnError:
        raise
    except Image.UnidentifiedImageError as error:
        raise ArnError(f"{path} is no picture that can be read ({len(data)} bytes); replace or remove it.") from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, "too many") from error  # by Pillow's own limit, which counts as ours does
    except Exception as error:
        told = str(error) or type(error).__name__
        raise ArnError(f"{path} is truncated or damaged ({told}); replace or remove it.") from error


_STDERR = threading.Lock()


def jpeg_warning(path: Path, data: bytes) -> str | None:
    """What libjpeg remarks of a JPEG that it decodes all the same, such as ``premature end of data segment``.

    A JPEG has no checksum: most of what changes single bits is a valid picture, only another one, and goes unseen.
    libjpeg writes its remarks to the standard error, from where they are taken here, one picture at a time. Errors as
    `open_head`.
    """
    if not data.startswith(JPEG):
        return None
    with told_of(path, data):
        open_head(path, data)
    with _STDERR, tempfile.TemporaryFile() as said:
        kept = os.dup(2)
        try:
            os.dup2(said.fileno(), 2)
            decode_by_opencv(data, cv2.IMREAD_UNCHANGED)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
    return next((line.partition(":")[2].strip() or line for line in lines if "JPEG" in line), None)
