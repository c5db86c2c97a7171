"""Pictures that two data sets share, or that one holds twice: the same bytes, the same pixels, or nearly the same.

Nearly: mirrored, stored again at low quality, resized, turned gray, cropped by some percent a side, in any mixture; how
many are found is in docs/datasets.md. Two stages find them, on luma thumbnails of `SIDE` x `SIDE` pixels.

1. A perceptual hash, kept real-valued: the lowest `WAVES` x `WAVES` coefficients of the cosine transform without the
   mean, each times its frequency (natural pictures have amplitudes of 1/f: Field, JOSA A 1987), to unit length. The
   cosine between two such vectors, the largest over mirroring and over cropping either picture in the middle, makes a
   pair a candidate. It misses a third of the crops that the usual 64 signs miss.
2. A candidate is aligned by an affine warp that maximises the enhanced correlation coefficient (Evangelidis and
   Psarakis, TPAMI 2008), from coarse to fine. Its similarity is the correlation of what both then show in their common
   part, with the slow changes of light taken off: those make any two beaches look alike.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from arn.data.images import PICTURE_SUFFIXES, read_bytes, read_picture
from arn.data.layout import Pair, find_dataset, find_pairs
from arn.data.listing import list_folder
from arn.files import write_atomically

SIDE = 64  # of the thumbnails, in pixels
WAVES = 8  # of the cosine transform, a side
MARGIN = 4  # pixels that the cropped thumbnail lacks on each side: 6 %
CANDIDATE = 0.64  # least cosine of two hashes that are looked at closely
NEAR = 0.75  # least similarity of a pair that is reported
NEIGHBOURHOOD = 2.5  # pixels: the Gaussian within which contrast is normalised
NOISE = 4.0  # gray levels of contrast that count as none
MOVED = 0.2  # of a side: a warp that takes a corner further is no crop
HOPELESS = 0.2  # similarity at half the resolution below which a candidate is given up

Kind = Literal["bytes", "pixels", "near"]
KINDS: dict[Kind, str] = {"bytes": "identical bytes", "pixels": "identical pixels", "near": "nearly identical"}


class Match(NamedTuple):
    """Two pictures that are the same one, `flipped` if mirrored; `similarity` is 0..1, 1 for identical pixels."""

    a: Pair
    b: Pair
    kind: Kind
    similarity: float
    flipped: bool


Progress = Callable[[str, int, int], None]
Thumbnails = NDArray[np.uint8]  # N x SIDE x SIDE


def find_pictures(name_or_path: str | Path, tell: Callable[[str], None] = lambda line: None) -> list[Pair]:
    """The pictures of a data set, or those directly in a folder, without masks. Raises ArnError where neither is."""
    folder = Path(name_or_path).expanduser()
    if folder.is_dir() and list_folder(folder, PICTURE_SUFFIXES).files:
        return find_pairs(folder, None, tell)
    return find_dataset(name_or_path, tell=tell)


def audit(
    a: Sequence[Pair],
    b: Sequence[Pair] | None = None,
    *,
    threads: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> list[Match]:
    """The pairs of pictures, one of `a` and one of `b`, that are the same; without `b`, the pairs within `a`.

    Sorted by kind (bytes, pixels, near), falling similarity, and stems: the same for every number of threads.
    `progress(stage, done, total)` is called from this thread; the stages are "reading", "searching" and "aligning".
    `threads` is the number of processors, at most 8, unless given. Memory: 6 KB a picture. Raises ArnError naming the
    file when a picture cannot be read.
    """
    others = a if b is None else b
    everything = [*a, *(b or ())]
    found: dict[tuple[int, int], Match] = {}
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        prints = []
        for one in pool.map(_print, everything):
            prints.append(one)
            progress("reading", len(prints), len(everything))
        files, pixels, thumbnails = zip(*prints, strict=True)
        identical: tuple[tuple[Kind, Sequence[bytes]], ...] = (("pixels", pixels), ("bytes", files))
        for kind, digests in identical:  # equal bytes are equal pixels: the stronger word last
            for i, j in _equal(digests[: len(a)], digests[-len(others) :]):
                if b is not None or i < j:
                    found[i, j] = Match(a[i], others[j], kind, 1.0, False)

        ours, theirs = np.stack(thumbnails[: len(a)]), np.stack(thumbnails[-len(others) :])
        candidates = [
            (i, j, flipped)
            for i, j, flipped in _candidates(ours, theirs, progress)
            if (b is not None or i < j) and (i, j) not in found
        ]
        views = ((ours[i], theirs[j][:, ::-1] if flipped else theirs[j]) for i, j, flipped in candidates)
        scored = zip(candidates, pool.map(lambda both: similarity(*both), views), strict=True)
        for done, ((i, j, flipped), alike) in enumerate(scored, start=1):
            # A picture and its mirror image can both be candidates: the better one stands.
            if alike >= NEAR and ((i, j) not in found or alike > found[i, j].similarity):
                found[i, j] = Match(a[i], others[j], "near", alike, flipped)
            progress("aligning", done, len(candidates))
    order = list(KINDS)
    return sorted(found.values(), key=lambda one: (order.index(one.kind), -one.similarity, one.a.stem, one.b.stem))


def _print(pair: Pair) -> tuple[bytes, bytes, NDArray[np.uint8]]:
    """Digests of the file's bytes and of size and pixels, and the thumbnail."""
    data = read_bytes(pair.picture)
    picture = read_picture(pair.picture, data=data)
    pixels = repr(picture.shape).encode() + picture.tobytes()
    return hashlib.sha256(data).digest(), hashlib.sha256(pixels).digest(), thumbnail(picture)


def _equal(first: Sequence[bytes], second: Sequence[bytes]) -> list[tuple[int, int]]:
    """The indices of all pairs of equal digests."""
    places: defaultdict[bytes, list[int]] = defaultdict(list)
    for j, digest in enumerate(second):
        places[digest].append(j)
    return [(i, j) for i, digest in enumerate(first) for j in places.get(digest, ())]


def thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The luma of a picture (uint8 RGB, H x W x 3), squashed to `SIDE` x `SIDE`, uint8."""
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def hashes(thumbnails: Thumbnails, margin: int = 0) -> NDArray[np.float32]:
    """Unit vectors, N x (WAVES^2 - 1), of thumbnails without `margin` pixels a side; zeros for one that is flat."""
    side = SIDE - 2 * margin
    frequency = np.arange(WAVES)
    basis = np.cos(np.pi * frequency[:, None] * (np.arange(side) + 0.5) / side).astype(np.float32)
    basis[0] /= np.sqrt(np.float32(2))
    inside = thumbnails[:, margin : SIDE - margin, margin : SIDE - margin].astype(np.float32)
    inside -= inside.mean(axis=(1, 2), keepdims=True)
    weight = np.hypot(frequency[:, None], frequency).astype(np.float32)
    waves = ((basis @ inside @ basis.T) * weight).reshape(len(thumbnails), -1)[:, 1:]
    return waves / np.maximum(np.linalg.norm(waves, axis=1, keepdims=True), np.float32(1e-3))


def _candidates(first: Thumbnails, second: Thumbnails, progress: Progress) -> list[tuple[int, int, bool]]:
    """(index, index, mirrored), sorted, of the pairs alike by hash: whole, or either of them cropped in the middle."""
    views = [(hashes(view), hashes(view, MARGIN)) for view in (second, second[:, :, ::-1])]
    found: list[tuple[int, int, bool]] = []
    step = 256  # rows at a time: 10 MB of cosines for a set of 10,000
    for start in range(0, len(first), step):
        rows, inner = hashes(first[start : start + step]), hashes(first[start : start + step], MARGIN)
        for flipped, (whole, cropped) in zip((False, True), views, strict=True):
            alike = np.maximum(rows @ whole.T, inner @ whole.T)
            np.maximum(alike, rows @ cropped.T, out=alike)
            found += [(start + i, j, flipped) for i, j in np.argwhere(alike > CANDIDATE).tolist()]
        progress("searching", min(start + step, len(first)), len(first))
    return sorted(found)


def similarity(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """How alike two thumbnails (uint8, SIDE x SIDE) are once aligned, 0..1; 0 where no small warp aligns them."""
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    warp = np.eye(2, 3, dtype=np.float32)
    alike = 0.0
    # Half the side first: a crop of a tenth is three pixels there, which the gradient still sees.
    for side, blur, enough in ((SIDE // 2, 5, HOPELESS), (SIDE, 3, NEAR)):
        small_a, small_b = (cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in (a, b))
        try:
            aligned = cv2.findTransformECC(small_a, small_b, warp, cv2.MOTION_AFFINE, stop, None, blur)  # type: ignore[call-overload]
        except cv2.error:  # OpenCV's way to say that the two do not correlate
            return 0.0
        warp = np.asarray(aligned[1], np.float32)
        corners = np.array([[x, y] for x in (-0.5, side - 0.5) for y in (-0.5, side - 0.5)])
        moved = np.abs(corners @ warp[:, :2].T + warp[:, 2] - corners).max() / side
        if not moved <= MOVED:  # NaN as well
            return 0.0
        alike = _correlation(small_a.astype(np.float32), small_b.astype(np.float32), warp)
        if alike < enough:
            return max(alike, 0.0)
        # The same warp of twice the side: pixel centres lie at a half.
        warp[:, 2] = 2 * warp[:, 2] + (warp[:, :2].sum(axis=1) - 1) / 2
    return min(alike, 1.0)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32], warp: NDArray[np.float32]) -> float:
    """Correlation, -1..1, of the local contrast of `a` and of the warped `b`, over the pixels that both have."""
    side = len(a)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    both = (cv2.warpAffine(np.ones_like(a), warp, (side, side), flags=flags) > 0.999).astype(np.float32)
    share = np.maximum(_blurred(both), np.float32(1e-6))
    contrasts = []
    for one in (a, cv2.warpAffine(b, warp, (side, side), flags=flags)):
        detail = one - _blurred(one * both) / share
        contrast = detail / np.sqrt(_blurred(detail * detail * both) / share + NOISE * NOISE)
        inside = contrast[both > 0].astype(np.float64)
        contrasts.append(inside - inside.mean())
    p, q = contrasts
    scale = np.sqrt((p @ p) * (q @ q))
    return float(p @ q / scale) if scale > 0 else 0.0


def _blurred(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return cv2.GaussianBlur(values, (0, 0), NEIGHBOURHOOD)  # type: ignore[return-value]


def write_report(matches: Sequence[Match], output: Path) -> list[Path]:
    """Writes `pairs.csv` and the contact sheets `sheet_1.png` ... into a folder, and takes away an older run's sheets.

    Returns the paths written. Raises ArnError naming the path when that fails.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["a", "b", "kind", "similarity", "flipped"])
    for one in matches:
        writer.writerow([one.a.stem, one.b.stem, one.kind, f"{one.similarity:.4f}", str(one.flipped).lower()])
    written = [output / "pairs.csv"]
    write_atomically(written[0], table.getvalue().encode())
    for number, sheet in enumerate(contact_sheets(matches), start=1):
        encoded = io.BytesIO()
        sheet.save(encoded, "PNG")
        written.append(output / f"sheet_{number}.png")
        write_atomically(written[-1], encoded.getvalue())
    for old in output.iterdir():
        if re.fullmatch(r"sheet_\d+\.png", old.name) and old not in written:
            old.unlink()
    return written


CELL, GAP, LINE = (176, 132), 8, 14  # pixels: a picture's box, what is between, a line of text
COLUMNS, ROWS = 4, 8  # of pairs on a page


def contact_sheets(matches: Sequence[Match]) -> Iterator[Image.Image]:
    """Pages of pairs side by side as they lie on disk, with their stems, kind and similarity under them."""
    width, height = 2 * CELL[0] + 3 * GAP, CELL[1] + 2 * LINE + 2 * GAP
    font = ImageFont.load_default(LINE - 3)
    page = COLUMNS * ROWS
    for start in range(0, len(matches), page):
        some = matches[start : start + page]
        columns = min(COLUMNS, len(some))
        sheet = Image.new("RGB", (columns * width, -(-len(some) // columns) * height), "white")
        draw = ImageDraw.Draw(sheet)
        for place, match in enumerate(some):
            left, top = place % columns * width + GAP, place // columns * height + GAP
            for pair, x in ((match.a, left), (match.b, left + CELL[0] + GAP)):
                picture = Image.fromarray(read_picture(pair.picture))
                picture.thumbnail(CELL)
                sheet.paste(picture, (x + (CELL[0] - picture.width) // 2, top + (CELL[1] - picture.height) // 2))
                draw.text((x, top + CELL[1]), _fitted(pair.stem, font), "black", font)
            said = f"{KINDS[match.kind]}, {match.similarity:.3f}" + (", mirrored" if match.flipped else "")
            draw.text((left, top + CELL[1] + LINE), said, "dimgray", font)
            draw.line((left, top + height - GAP, left + width - 2 * GAP, top + height - GAP), "lightgray")
        yield sheet


def _fitted(text: str, font: Any) -> str:
    """`text`, shortened in the middle to fit under a picture."""
    kept, shown = len(text), text
    while font.getlength(shown) > CELL[0] and kept > 2:
        kept -= 1
        shown = f"{text[: -(-kept // 2)]}…{text[len(text) - kept // 2 :]}"
    return shown
