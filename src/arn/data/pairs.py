"""Pairs of picture and mask on disk: finding them, reading and writing them, checking a whole set.

At the edges of this package a picture is uint8 RGB, H x W x 3, and masks and maps are uint8 gray, H x W, 0..255.
What is done with every format met in the wild is in docs/datasets.md; the rule throughout is that nothing is guessed
where a wrong guess would go unseen. An error that a user can mend is an `ArnError` that names the file.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import os
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from arn.data.catalogue import CATALOGUE, PLAIN, Dataset, data_root
from arn.errors import ArnError

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"}
)

# Channels of a gray mask stored as RGB differ by this much at most; JPEG's chroma rounding stays well below.
GRAY_TOLERANCE = 16


@dataclass(frozen=True)
class Pair:
    """A picture and its mask (None where only the picture exists, as for `arn predict`), known by their stem."""

    stem: str
    picture: Path
    mask: Path | None


# --------------------------------------------------------------------------------------------------------- finding


def find_dataset(name_or_path: str | Path, root: Path | None = None) -> list[Pair]:
    """All pairs of a data set, sorted by stem.

    `name_or_path` is a name of the catalogue (in any case), looked for as `<root>/<NAME>`; or a folder of the user's
    own, given as a path or as a name below `root`. The folder holds `images` and `masks`, or what the authors of a data
    set of the catalogue released. `root` is `data_root()` unless given.

    Raises ArnError, saying where it looked, when there is no such folder, no known layout in it, or when pictures and
    masks do not match one to one.
    """
    root = data_root() if root is None else root
    given = str(name_or_path)
    known = {name.lower(): dataset for name, dataset in CATALOGUE.items()}.get(given.lower())
    if known is not None:
        # An archive unpacked inside a folder of its own name nests the name once more.
        bases = [root / known.name, root / known.name / known.name]
        layouts = known.layouts
        remedy = f"Get it from {known.source} and lay it there, or set ARN_DATA_DIR to the folder that holds it."
    else:
        bases = list(dict.fromkeys([Path(given).expanduser(), root / given]))
        layouts = tuple(dict.fromkeys([PLAIN, *(one for dataset in CATALOGUE.values() for one in dataset.layouts)]))
        close = difflib.get_close_matches(given.upper(), CATALOGUE, n=1)
        remedy = (
            f"Did you mean {close[0]}? " if close else ""
        ) + f"Name a folder with {PLAIN.images}/ and {PLAIN.masks}/ in it, or one of {', '.join(CATALOGUE)}."

    for base in bases:
        for layout in layouts:
            if _exists(base / layout.images) and _exists(base / layout.masks):
                return find_pairs(base / layout.images, base / layout.masks)

    folders = [base for base in bases if base.is_dir()]
    if not folders:
        raise ArnError(f"No data set '{given}': there is no folder {_either(map(str, bases))}. {remedy}")
    shown = layouts if known is not None else (PLAIN,)
    raise ArnError(
        f"No pictures with masks in {folders[0]}: looked there for "
        f"{_either(f'{one.images} with {one.masks}' for one in shown)}. {remedy}"
    )


def find_pairs(images: Path, masks: Path | None) -> list[Pair]:
    """Pairs each picture with the mask of its stem; sorted by stem.

    `images` and `masks` are folders (not searched below; hidden files are passed over) or a folder with a pattern of
    names such as `Imgs/*.jpg`; `images` may also be one picture. With `masks` None every pair's mask is None.

    Raises ArnError listing the stems when there are no pictures, two files of one stem, pictures without a mask, or
    masks without a picture: they are never passed over in silence.
    """
    pictures = _by_stem(images, "pictures")
    if not pictures:
        raise ArnError(
            f"No pictures in {images}: expected files ending in {', '.join(sorted(PICTURE_SUFFIXES))} directly in it."
        )
    if masks is None:
        return [Pair(stem, path, None) for stem, path in sorted(pictures.items())]
    truths = _by_stem(masks, "masks")
    missing, extra = sorted(pictures.keys() - truths.keys()), sorted(truths.keys() - pictures.keys())
    if missing or extra:
        said = [
            f"{len(stems)} of {of} without a {what}: {_listed(stems)}"
            for stems, of, what in (
                (missing, f"{len(pictures)} pictures", "mask"),
                (extra, f"{len(truths)} masks", "picture"),
            )
            if stems
        ]
        raise ArnError(
            f"Pictures in {images} and masks in {masks} do not match: {'; '.join(said)}. "
            "A mask carries its picture's name apart from the ending; add or remove the files named."
        )
    return [Pair(stem, pictures[stem], truths[stem]) for stem in sorted(pictures)]


def _exists(place: Path) -> bool:
    """Whether a folder, or a folder and pattern, holds anything."""
    return place.is_dir() or ("*" in place.name and any(place.parent.glob(place.name)))


def _by_stem(place: Path, what: str) -> dict[str, Path]:
    if place.is_dir():
        files: list[Path] = list(place.iterdir())
    elif "*" in place.name:
        files = list(place.parent.glob(place.name))
    elif place.is_file():
        files = [place]
    else:
        raise ArnError(f"There is no folder {place} to read {what} from.")
    found: dict[str, Path] = {}
    twice: dict[str, list[str]] = {}
    for path in sorted(files):
        # macOS leaves '._NAME.jpg' beside NAME.jpg in archives: hidden files are none of the data set's.
        if path.name.startswith(".") or path.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        if path.stem in found:
            twice.setdefault(path.stem, [found[path.stem].name]).append(path.name)
        found[path.stem] = path
    if twice:
        folder = place.parent if "*" in place.name else place
        raise ArnError(
            f"{len(twice)} stems stand for more than one of the {what} in {folder}: "
            f"{_listed([' and '.join(names) for names in twice.values()])}. Keep one file of each."
        )
    return found


def _listed(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _either(places: Any) -> str:
    return " or ".join(places)


# --------------------------------------------------------------------------------------------------------- reading


def read_picture(path: Path, at_least: int | None = None) -> NDArray[np.uint8]:
    """A picture as uint8 RGB, H x W x 3, the way up that its EXIF orientation says.

    With ``at_least``, px, a large JPEG is decoded at 1/2, 1/4 or 1/8 of its size (a side rounded up), which costs a
    fraction, as long as its shorter side stays at least that: near to area-averaging, but not equal to it, so for
    training only.

    Gray and palette pictures become RGB; transparency is laid over white, as viewers do; CMYK is converted without
    colour management, and embedded colour profiles are ignored; of 16 bits the upper 8 are kept. The first frame of an
    animation. Raises ArnError naming the file when it is missing, truncated or no picture.
    """
    data = _bytes(path)
    if _is_ordinary_jpeg(data):
        # Twice as fast as PIL and equal to it bit for bit (both decode with libjpeg-turbo; asserted on real pictures).
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        if at_least is not None:
            flags |= _reduction(data, at_least)
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if decoded is not None:
            return decoded  # type: ignore[return-value]
    image = _open(path, data)
    if image.mode.startswith("I;16"):
        return np.repeat(_upper_bits(np.array(image))[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(image.convert("RGB"))


def read_mask(path: Path) -> NDArray[np.uint8]:
    """A mask as uint8 gray, H x W, 0..255, the way up that its EXIF orientation says; graded values are kept.

    1-bit masks read as 0 and 255. So do masks whose only values are 0 and 1 (in 8 or 16 bits, gray or palette): stored
    class numbers, which any threshold would silently read as empty. JPEG is the exception, where a 1 is noise. RGB and
    palette masks are read as gray when their channels agree within `GRAY_TOLERANCE`; black and one colour is 0 and 255.
    Transparency: see docs/datasets.md.

    Raises ArnError naming the file when it is missing, truncated, no picture, or of several colours.
    """
    data = _bytes(path)
    # Three times as fast as PIL and equal to it (asserted on real masks); a damaged one is left to PIL to tell.
    gray = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if _is_ordinary_png(data) else None
    kind: str | None = "PNG"
    if gray is None:
        image = _open(path, data)
        gray, kind = _gray(path, image), image.format
    if gray.max() == 1 and kind != "JPEG":
        gray *= 255
    return np.asarray(gray, np.uint8)


def read_map(path: Path) -> NDArray[np.uint8]:
    """A saliency map as uint8 gray, H x W, 0..255: as `read_mask`, but a map that never passes 1 is left so dark."""
    return _gray(path, _open(path, _bytes(path)))


def check_same_size(pair: Pair, picture: NDArray[Any], mask: NDArray[Any]) -> None:
    """Raises ArnError, naming both files and sizes, unless `picture` and `mask` have the same height and width."""
    (height, width), (mask_height, mask_width) = picture.shape[:2], mask.shape[:2]
    if (height, width) != (mask_height, mask_width):
        turned = " It looks turned by 90 degrees: does only one of them carry an EXIF orientation?"
        raise ArnError(
            f"{pair.picture} is {width} x {height} pixels but its mask {pair.mask} is {mask_width} x {mask_height}: "
            "a mask has its picture's size." + (turned if (height, width) == (mask_width, mask_height) else "")
        )


def _bytes(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ArnError(f"Cannot read {path}: {error.strerror or error}.") from error


def _is_ordinary_jpeg(data: bytes) -> bool:
    """Whether OpenCV decodes these bytes exactly: 8-bit gray or YCbCr JPEG, whole, without EXIF or XMP.

    OpenCV before 4.11 fills the missing rest of a truncated JPEG with gray, so a file must end as JPEG does; any doubt
    is left to PIL, which is strict.
    """
    if not (data.startswith(b"\xff\xd8\xff") and data.endswith(b"\xff\xd9")):
        return False
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xE1 or marker == 0xDA:  # APP1: EXIF or XMP, either can turn the picture; SOS before any SOF
            return False
        if marker in (0xC0, 0xC1, 0xC2):  # SOF: baseline, extended, progressive
            return data[at + 4] == 8 and data[at + 9] in (1, 3)
        at += 2 + length
    return False


def _reduction(data: bytes, at_least: int) -> int:
    """OpenCV's flag for the smallest scale at which an ordinary JPEG's sides are at least so many px; 0 for full."""
    at = 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    shorter = min(int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big"))
    for scale, flag in ((8, 64), (4, 32), (2, 16)):  # what the IMREAD_REDUCED flags have beside gray or colour
        if shorter // scale >= at_least:
            return flag
    return 0


def _is_ordinary_png(data: bytes) -> bool:
    """Whether OpenCV decodes these bytes as PIL does: a whole gray PNG of 1 or 8 bits, opaque, without EXIF."""
    if not (data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and data[24:26] in (b"\1\0", b"\x08\0")):
        return False
    at = 8
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind in (b"tRNS", b"eXIf", b"acTL"):
            return False
        at += 12 + length
        if kind == b"IEND":
            return at <= len(data)
    return False


def _open(path: Path, data: bytes) -> Image.Image:
    """The whole picture, decoded by PIL and turned as its EXIF orientation says; `format` is kept."""
    try:
        image: Image.Image = Image.open(io.BytesIO(data))
        kind = image.format
        image.load()
        image = ImageOps.exif_transpose(image)
        image.format = kind
    except Image.UnidentifiedImageError as error:
        raise ArnError(f"{path} is no picture that can be read ({len(data)} bytes); replace or remove it.") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        raise ArnError(f"{path} is truncated or damaged ({error}); replace or remove it.") from error
    except Image.DecompressionBombError as error:
        raise ArnError(f"{path} is too large to read ({error}).") from error
    if image.mode in ("I", "F"):
        raise ArnError(f"{path} holds 32-bit values, whose range is unknown; store it with 8 or 16 bits.")
    return image


def _upper_bits(wide: NDArray[Any]) -> NDArray[np.uint8]:
    """16-bit gray as 8-bit: the upper byte, unless no value passes 255, when they are 8-bit values stored wide."""
    return (wide if wide.max() <= 255 else wide >> 8).astype(np.uint8)


def _gray(path: Path, image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "1":
        return np.array(image, np.uint8) * np.uint8(255)
    if image.mode == "L" and not image.has_transparency_data:
        return np.array(image)
    if image.mode.startswith("I;16"):
        return _upper_bits(np.array(image))
    if image.has_transparency_data:
        layered = np.array(image.convert("RGBA"))
        colours, alpha = layered[:, :, :3], layered[:, :, 3]
        if alpha.min() == 255:
            pass
        elif (colours == colours[0, 0]).all():  # one colour throughout: the shape is in the transparency
            return alpha.copy()
        else:  # what is transparent is background
            colours = (colours.astype(np.uint16) * alpha[:, :, None] // 255).astype(np.uint8)
    else:
        colours = np.array(image.convert("RGB"))
    return _gray_of_colours(path, colours)


def _gray_of_colours(path: Path, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    low, high = colours.min(axis=2), colours.max(axis=2)
    if int((high - low).max()) <= GRAY_TOLERANCE:
        return ((colours.sum(axis=2, dtype=np.uint16) + 1) // 3).astype(np.uint8)
    shape = high > 0
    if (colours[shape] == colours[shape][0]).all():
        return shape.astype(np.uint8) * np.uint8(255)
    raise ArnError(
        f"{path} has several colours where a gray mask or map is expected (class labels or a picture?); "
        "store the object white on black."
    )


# --------------------------------------------------------------------------------------------------------- writing


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
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(values))
    if not done:
        raise ValueError(f"OpenCV cannot encode a map of shape {values.shape}")
    write_atomically(path, encoded.tobytes())


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file through a hidden neighbour that is then renamed: a reader never meets half of it.

    Raises ArnError naming the path when that fails; the neighbour is removed and an older file is left as it was.
    """
    path = Path(path)
    passing = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            passing.write_bytes(data)
            os.replace(passing, path)
        except BaseException:
            passing.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ArnError(
            f"Cannot write {path}: {error.strerror or error}. Free the disk or choose another folder."
        ) from error


# -------------------------------------------------------------------------------------------------------- checking


@dataclass
class Report:
    """What `verify` found. Stems are sorted; `errors` make a set unfit to use, the rest is worth knowing."""

    found: int
    expected: int | None = None
    unreadable: list[str] = field(default_factory=list)  # messages, each naming its file
    mismatched: list[str] = field(default_factory=list)  # messages of `check_same_size`
    empty: list[str] = field(default_factory=list)  # stems: no mask pixel above 127
    full: list[str] = field(default_factory=list)  # stems: every mask pixel above 127
    graded: list[str] = field(default_factory=list)  # stems: masks with values between 0 and 255
    identical: list[tuple[str, ...]] = field(default_factory=list)  # groups of stems: pictures equal byte for byte

    @property
    def errors(self) -> list[str]:
        """One line for each thing that must be mended before use."""
        short = self.expected is not None and self.found != self.expected
        counted = [f"{self.found} pairs, where {self.expected} were published."] if short else []
        return counted + self.unreadable + self.mismatched

    @property
    def notes(self) -> list[str]:
        """One line for each kind of thing worth knowing."""
        groups = [" = ".join(group) for group in self.identical]
        return [
            f"{len(stems)} {what}: {_listed(stems)}"
            for stems, what in (
                (self.empty, "empty masks (nothing above 127)"),
                (self.full, "masks that fill the picture"),
                (self.graded, "masks with gray values"),
                (groups, "groups of byte-identical pictures"),
            )
            if stems
        ]


def verify(
    pairs: Sequence[Pair],
    dataset: Dataset | None = None,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Reads every picture and mask and reports what is wrong or odd; a bad file is reported, never raised.

    `dataset` gives the published count to compare with. `progress(done, total)` is called from this thread after each
    pair. `threads` is the number of processors, at most 8, unless given: decoding releases the interpreter.
    """
    report = Report(found=len(pairs), expected=dataset.count if dataset else None)
    digests: defaultdict[bytes, list[str]] = defaultdict(list)
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        for done, (pair, seen) in enumerate(zip(pairs, pool.map(_look, pairs), strict=True), start=1):
            report.unreadable += seen.unreadable
            report.mismatched += seen.mismatched
            if seen.digest is not None:
                digests[seen.digest].append(pair.stem)
            for kind in seen.kinds:
                getattr(report, kind).append(pair.stem)
            if progress is not None:
                progress(done, len(pairs))
    report.identical = sorted(tuple(sorted(stems)) for stems in digests.values() if len(stems) > 1)
    return report


@dataclass
class _Seen:
    digest: bytes | None = None
    unreadable: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)


def _look(pair: Pair) -> _Seen:
    seen = _Seen()
    picture = mask = None
    try:
        seen.digest = hashlib.sha256(_bytes(pair.picture)).digest()
        picture = read_picture(pair.picture)
    except ArnError as error:
        seen.unreadable.append(str(error))
    if pair.mask is None:
        return seen
    try:
        mask = read_mask(pair.mask)
    except ArnError as error:
        seen.unreadable.append(str(error))
        return seen
    if picture is not None:
        try:
            check_same_size(pair, picture, mask)
        except ArnError as error:
            seen.mismatched.append(str(error))
    if mask.max() <= 127:
        seen.kinds.append("empty")
    elif mask.min() > 127:
        seen.kinds.append("full")
    if ((mask > 0) & (mask < 255)).any():
        seen.kinds.append("graded")
    return seen
