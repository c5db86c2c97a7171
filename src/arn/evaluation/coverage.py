"""Which pictures of a data set are scored: under strict coverage all of them, or none."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from arn.data.catalogue import CATALOGUE
from arn.data.images import PICTURE_SUFFIXES
from arn.data.sources import PairSource, Source
from arn.errors import ArnError
from arn.files import listed
from arn.inference.methods import AnyMethod, MapFolder

COVERAGES = ("strict", "intersect")


@dataclass(frozen=True)
class Covered:
    """The pictures of a data set that every method is scored on.

    Attributes:
        indices: into the source.
        of: pictures in the set.
        notes: what was left out and why, for the foot of the table; empty where nothing was.
    """

    indices: list[int]
    of: int
    notes: list[str] = field(default_factory=list)


def cover(methods: Sequence[AnyMethod], dataset: str, source: Source, coverage: str) -> Covered:
    """Which pictures are scored; under ``strict`` all of them, or none.

    Raises:
        ArnError: under ``strict``, the set has not the count of the catalogue, or maps are missing, have no picture, or
            are not of their mask's size: all of them are counted and the first stems listed. Under ``intersect``, when
            nothing is left.
    """
    if coverage not in COVERAGES:
        raise ArnError(f"coverage must be one of {', '.join(COVERAGES)}, not {coverage!r}")
    known = CATALOGUE.get(dataset)
    told: list[str] = []
    if known is not None and len(source.stems) != known.count:
        told.append(f"{dataset} is published with {known.count:,} pictures, and {len(source.stems):,} are here")
    want = set(source.stems)
    kept = set(want)
    for method in methods:
        if not isinstance(method, MapFolder):
            continue
        files = method.files(dataset)
        missing, extra = sorted(want - files.keys()), sorted(files.keys() - want)
        sized = _wrongly_sized(source, files)
        for stems, what in (
            (missing, "maps are missing"),
            (extra, "maps have no picture"),
            (sized, "maps are not of their mask's size"),
        ):
            if stems:
                told.append(f"{method.name} on {dataset}: {len(stems)} {what} ({listed(stems, 8)})")
        kept -= {*missing, *(one.split(":")[0] for one in sized)}
    if told and coverage == "strict":
        raise ArnError(f"{'; '.join(told)}. coverage=intersect scores the pictures that every method has.")
    if not kept:
        raise ArnError(f"{dataset}: no picture has a map of every method. {'; '.join(told)}")
    return Covered([index for index, stem in enumerate(source.stems) if stem in kept], len(source.stems), told)


def _wrongly_sized(source: Source, files: Mapping[str, Path]) -> list[str]:
    """``stem: 10 x 10 for 400 x 300``, read off the files' heads: no pixel is decoded."""
    found = []
    for index, stem in enumerate(source.stems):
        if stem not in files:
            continue
        one = _size_of(files[stem])
        if isinstance(source, PairSource):
            path = source.pairs[index].mask
            assert path is not None
            other = _size_of(path)
        else:
            height, width = source.mask(index).shape
            other = (width, height)
        if one is not None and other is not None and one != other:
            found.append(f"{stem}: {one[0]} x {one[1]} for {other[0]} x {other[1]}")
    return found


def _size_of(path: Path) -> tuple[int, int] | None:
    """Width and height; None where the head cannot be read or says less than all (EXIF): decoding will tell."""
    try:
        with path.open("rb") as file:
            head = file.read(24)
        if head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR":
            width, height = struct.unpack(">II", head[16:24])
            return int(width), int(height)
        if path.suffix.lower() not in PICTURE_SUFFIXES:
            return None
        with Image.open(path) as image:
            return None if image.getexif().get(0x0112, 1) != 1 else image.size
    except (OSError, ValueError, struct.error):
        return None
