"""Saliency maps as others store them: pictures of any format or arrays, of 8 or 16 bits or floats, of any size.

What is done with each is in docs/bench.md; a score is always that of 8-bit levels at the mask's size.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from arn.data.decoders import FORMATS, MORE_FORMATS, told_of
from arn.data.images import PICTURE_SUFFIXES, Mask, decode_gray_png, gray_levels, open_image, read_bytes
from arn.errors import ArnError
from arn.files import digest, file_digest, known

MAP_SUFFIXES = PICTURE_SUFFIXES | {".npy"}
RESIZES = {
    "bilinear": cv2.INTER_LINEAR,
    "nearest": cv2.INTER_NEAREST,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
}
"""Ways to bring a map to its mask's size, those of OpenCV."""

WIDE = 65535.0
_ROUNDING = 1e-5  # by which interpolation in 32-bit floats may pass 1


class Head(NamedTuple):
    """What the head of a file says: no pixel is decoded."""

    size: tuple[int, int] | None  # height and width; None where it cannot be read or says less than all (EXIF)
    wide: bool  # gray integers of 16 bits


@dataclass(frozen=True)
class MapFile:
    """A map in a file, and what is done with it when it is read.

    `size`: height and width that it is resized to (`by`, a key of `RESIZES`); None: left as it is. `top`: the value
    that stands for 1; None: 255 of 8 bits, 65535 of 16, 1 of floats.
    """

    path: Path
    size: tuple[int, int] | None = None
    by: str = "bilinear"
    top: float | None = None

    def read(self) -> Mask:
        """uint8 H x W. Raises ArnError naming the file: damaged, of several colours, NaN, beyond its range."""
        values = _values(self.path, self.top)
        if self.size is not None and values.shape != self.size:
            height, width = self.size
            values = np.asarray(cv2.resize(values, (width, height), interpolation=RESIZES[self.by]))
        return values if values.dtype == np.uint8 else np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)

    def key(self) -> bytes:
        """A hash of all that `read` returns depends on but this code. Raises ArnError where there is no such file."""
        of_file = file_digest(self.path)
        plain = self.size is None and self.top is None
        return of_file if plain else digest("map file", of_file, repr((self.size, self.by, self.top)))


def read_head(path: Path) -> Head:
    """Size and depth of a picture or array, as far as its head tells."""
    try:
        size, wide = known(path, "head", lambda: _read_head(path))
    except Exception:  # of damaged heads Pillow raises whatever comes; decoding will tell
        return Head(None, False)
    return Head(None if size is None else (size[0], size[1]), wide)


def _read_head(path: Path) -> tuple[Sequence[int] | None, bool]:
    with path.open("rb") as file:
        head = file.read(26)
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
        width, height = struct.unpack(">II", head[16:24])
        return (height, width), head[24:26] == b"\x10\0"
    if path.suffix.lower() == ".npy":
        array = _flat(np.load(path, mmap_mode="r", allow_pickle=False))
        return array.shape if array.ndim == 2 else None, array.dtype == np.uint16
    with Image.open(path, formats=(*FORMATS, *MORE_FORMATS)) as image:
        upright = image.getexif().get(0x0112, 1) == 1
        return (image.height, image.width) if upright else None, image.mode.startswith("I;16")


def top_of(paths: Sequence[Path], most: int = 16) -> float | None:
    """255 where 16-bit maps of one folder hold 8-bit values, as far as some of them, spread evenly, tell; else None."""
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int))
    highest = max((int(_stored(paths[index]).max()) for index in chosen), default=0)
    return 255.0 if 0 < highest <= 255 else None


def _stored(path: Path) -> NDArray[Any]:
    """Values as the file has them; uint8 for all pictures but gray ones of 16 or 32 bits."""
    data = read_bytes(path)
    if path.suffix.lower() == ".npy":
        return _array(path, data)
    gray = decode_gray_png(path, data)
    if gray is not None:
        return gray
    image = open_image(path, data)
    wide = image.mode in ("I", "F") or image.mode.startswith("I;16")
    with told_of(path, data):
        return np.array(image) if wide else gray_levels(path, image)


def _array(path: Path, data: bytes) -> NDArray[Any]:
    try:
        array = _flat(np.load(io.BytesIO(data), allow_pickle=False))
    except Exception as error:  # of a damaged head NumPy raises whatever comes
        raise ArnError(f"{path} is no array that can be read ({error}); replace or remove it.") from error
    if array.ndim != 2 or array.dtype.kind not in "buif" or array.size == 0:
        raise ArnError(f"{path} holds {array.dtype} of shape {array.shape}; a map is numbers, H x W.")
    return array


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    """1 x H x W and H x W x 1 as H x W."""
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        return array[0] if array.shape[0] == 1 else array[:, :, 0]
    return array


def _values(path: Path, top: float | None) -> NDArray[Any]:
    """uint8 levels, or float32 in 0..1 where there is more than 8 bits hold."""
    stored = _stored(path)
    if stored.dtype == np.bool_:
        return stored.astype(np.uint8) * np.uint8(255)
    if top is None:
        tops = {"uint8": 255.0, "uint16": WIDE}
        top = 1.0 if stored.dtype.kind == "f" else tops.get(stored.dtype.name)
    if top is None:
        told = f"{path} holds {stored.dtype} from {stored.min()} to {stored.max()}, whose range is unknown"
        raise ArnError(f"{told}; say which value stands for 1, as in range: 255")
    if stored.dtype == np.uint8 and top == 255:
        return stored
    low, high = float(stored.min()), float(stored.max())
    if not np.isfinite([low, high]).all():
        raise ArnError(f"{path} holds values that are no numbers (NaN or infinite); make the map anew.")
    if low < 0 or high > top * (1 + _ROUNDING):
        told = f"{path} holds values from {low:g} to {high:g} where 0 to {top:g} are expected"
        raise ArnError(f"{told}; if another value stands for 1, name it, as in range: 255")
    if stored.dtype == np.uint16 and top == WIDE:
        return (stored >> 8).astype(np.uint8)  # as OpenCV and PIL make 8 bits of 16
    if top == 255 and stored.dtype.kind in "ui":
        return stored.astype(np.uint8)
    return np.minimum(stored / top, 1).astype(np.float32)
