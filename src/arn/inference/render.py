"""What is made of a picture and its map: gray levels, an overlay, or the object alone; and as which bytes."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageColor

from arn.data.cutouts import cutout
from arn.errors import ArnError
from arn.inference.methods import Map, Picture

Image = NDArray[np.uint8]
Kind = Literal["map", "overlay", "cutout"]

FORMATS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}
"""What can be written, and the suffix of such files."""
SUFFIXES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".tif": "tiff", ".tiff": "tiff"}

LONGEST = {"webp": (16_383, "png"), "jpeg": (65_500, "png"), "png": (1_000_000, "tiff")}
"""The longest side, px, that a format holds (PNG: that libpng reads), and the one to use beyond."""
LARGE = 16_000_000  # pixels; beyond, WebP's encoder looks less far, in .5 GB less for 50 million, and 3 % larger files
BLUR = 0.03  # standard deviation of a blurred ground, of the longer side
MADE_FROM = "arn:made-from"  # the note in a file of what it was made from
_SOFTWARE = 0x0131  # of EXIF


@dataclass(frozen=True)
class Style:
    """How a picture and its map are shown.

    Args:
        kind: ``map``, gray; ``overlay``, the object in its colours over a dimmed ground; ``cutout``, the object alone.
        ground: of a cutout: None for transparency, a colour, ``blur`` for the picture's own ground out of focus, or
            another picture, which is scaled to fill the frame and cropped at its sides.
        margin: crop to the object, with so much around it as a share of the longer side of its box; None: no crop.
    """

    kind: Kind = "map"
    ground: tuple[int, int, int] | Literal["blur"] | Picture | None = None
    margin: float | None = None


def parse_ground(text: str) -> tuple[int, int, int] | Literal["blur"]:
    """``blur``, or a colour as CSS writes it: ``white``, ``#1a2b3c``, ``rgb(1,2,3)``. Raises ArnError for neither."""
    if text == "blur":
        return "blur"
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise ArnError(
            f"background={text}: neither blur, a picture's file, nor a colour as white, #1a2b3c or rgb(1,2,3)"
        ) from None
    return red, green, blue


def render(picture: Picture, saliency: Map, style: Style | Kind) -> Image:
    """Picture uint8 H x W x 3 and map H x W in 0..1 -> uint8 map (gray), overlay (RGB), cutout (RGBA; on a ground RGB).

    Cropped it is h x w; a map that finds no object, nothing above a half, is never cropped.
    """
    style = style if isinstance(style, Style) else Style(style)
    if style.kind == "map":
        shown = np.round(saliency * 255).astype(np.uint8)
    elif style.kind == "overlay":
        shown = overlay(picture, saliency)
    else:
        shown = cutout(picture, saliency)
    if style.kind == "cutout" and style.ground is not None:
        shown = on_ground(shown, picture, style.ground)
    if style.margin is not None:
        shown = shown[object_box(saliency, style.margin)]
    return shown


def overlay(picture: Picture, saliency: Map) -> Image:
    """The object in its colours, the rest dimmed and gray."""
    shown = np.empty_like(picture)
    gray = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    for top in range(0, len(picture), 256):  # a strip at a time: all of it as floats is ten times the picture
        rows = slice(top, top + 256)
        weight = saliency[rows][..., None]
        mixed = picture[rows] * weight + 0.35 * gray[rows].astype(np.float32) * (1 - weight)
        shown[rows] = np.round(mixed).astype(np.uint8)
    return shown


def on_ground(cut: Image, picture: Picture, ground: tuple[int, int, int] | Literal["blur"] | Picture) -> Image:
    """A cutout, RGBA H x W x 4, on a colour, on its own picture out of focus, or on another picture: RGB H x W x 3."""
    if isinstance(ground, str):
        behind = out_of_focus(picture, cut[..., 3])
    elif isinstance(ground, tuple):
        behind = np.broadcast_to(np.array(ground, np.uint8), picture.shape)
    else:
        behind = fill(ground, *picture.shape[:2])
    shown = np.empty_like(picture)
    for top in range(0, len(cut), 256):
        rows = slice(top, top + 256)
        share = cut[rows, :, 3:].astype(np.float32) / 255
        mixed = cut[rows, :, :3] * share + behind[rows] * (1 - share)
        shown[rows] = np.round(mixed).astype(np.uint8)
    return shown


def out_of_focus(picture: Picture, alpha: NDArray[np.uint8]) -> Picture:
    """The ground, blurred without the object's colours running into it. At most 512 px a side are blurred."""
    height, width = alpha.shape
    scale = min(1.0, 512 / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    sigma = BLUR * max(size)
    weight = 1 - cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / 255 + 1e-3
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) * weight
    blurred = cv2.GaussianBlur(small, (0, 0), sigma) / cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    smooth = np.round(np.clip(blurred, 0, 255)).astype(np.uint8)
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def fill(picture: Picture, height: int, width: int) -> Picture:
    """Scaled so that it covers height x width, what is over cut off evenly at both sides."""
    scale = max(height / picture.shape[0], width / picture.shape[1])
    size = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    whole = cv2.resize(picture, size, interpolation=how)
    top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
    return np.asarray(whole[top : top + height, left : left + width], np.uint8)


def object_box(saliency: Map, margin: float) -> tuple[slice, slice]:
    """Rows and columns of what is above a half, with a margin in shares of the box's longer side; else all of them."""
    found = saliency > 0.5
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    if not len(rows):
        return slice(None), slice(None)
    more = round(margin * max(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1))
    return (
        slice(max(0, rows[0] - more), rows[-1] + 1 + more),
        slice(max(0, columns[0] - more), columns[-1] + 1 + more),
    )


def encode(
    image: Image, suffix: str, *, quality: int = 95, profile: bytes | None = None, made_from: str | None = None
) -> bytes:
    """Gray H x W, RGB or RGBA as the bytes of a file.

    Args:
        suffix: ``.png``, ``.jpg``, ``.webp`` or ``.tif``; transparency is laid on white in JPEG.
        quality: 1..100, of JPEG and WebP.
        profile: ICC profile of the colours; a gray image is without.
        made_from: a note that :func:`read_note` finds again.

    Raises ArnError for a side beyond what the format holds.
    """
    kind = SUFFIXES[suffix.lower()]
    longest, other = LONGEST.get(kind, (None, ""))
    if longest is not None and max(image.shape[:2]) > longest:
        told = f"a side of {max(image.shape[:2]):,} px is beyond {longest:,} of that format"
        raise ArnError(f"format={kind}: {told}; use {other}")
    profile = None if image.ndim == 2 else profile
    if kind == "png":  # five times as fast as Pillow, and as small
        colours = {2: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
        code = colours[image.ndim if image.ndim == 2 else image.shape[2]]
        data = cv2.imencode(".png", np.ascontiguousarray(image) if code is None else cv2.cvtColor(image, code))[1]
        chunks = b""
        if profile:
            chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
        if made_from:
            chunks += _chunk(b"tEXt", MADE_FROM.encode() + b"\0" + made_from.encode())
        whole = data.tobytes()
        return whole[:33] + chunks + whole[33:]  # behind the signature and the header, before the colours
    shown = PillowImage.fromarray(image)
    if kind == "jpeg" and shown.mode == "RGBA":
        shown = PillowImage.alpha_composite(PillowImage.new("RGBA", shown.size, "white"), shown).convert("RGB")
    options: dict[str, object] = {"icc_profile": profile} if profile else {}
    if made_from:
        exif = PillowImage.Exif()
        exif[_SOFTWARE] = f"{MADE_FROM} {made_from}"
        options["exif"] = exif
    if kind == "tiff":
        options |= {"compression": "tiff_adobe_deflate"}
    else:
        options |= {"quality": quality}
    if kind == "webp":
        options |= {"lossless": shown.mode == "L"}  # a map is data
        if shown.width * shown.height > LARGE:
            options |= {"method": 2}
    file = io.BytesIO()
    shown.save(file, kind.upper(), **options)
    return file.getvalue()


def read_note(path: Path) -> str | None:
    """The ``made_from`` of a file that :func:`encode` wrote; None for any other. Reads its head only."""
    try:
        with PillowImage.open(path, formats=[kind.upper() for kind in FORMATS]) as image:
            if MADE_FROM in image.info:
                return str(image.info[MADE_FROM])
            software = str(image.getexif().get(_SOFTWARE, ""))
    except Exception:  # what cannot be read is none of ours
        return None
    return software.removeprefix(f"{MADE_FROM} ") if software.startswith(f"{MADE_FROM} ") else None


def _chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
