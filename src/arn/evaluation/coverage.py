"""Which pictures of a data set are scored: under strict coverage all of them, or none."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from arn.data.catalogue import CATALOGUE
from arn.data.sources import PairSource, Source
from arn.errors import ArnError
from arn.files import listed
from arn.inference.methods import AnyMethod, MapFolder


@dataclass(frozen=True)
class Covered:
    """The pictures of a data set that every method is scored on."""

    indices: list[int]  # into the source
    of: int  # pictures in the set
    notes: list[str] = field(default_factory=list)  # what was left out and why, for the foot of the table


def cover(methods: Sequence[AnyMethod], dataset: str, source: Source, coverage: str) -> Covered:
    """Which pictures are scored; under ``strict`` all of them, or none.

    Raises ArnError, under ``strict``, where the set has not the count of the catalogue, or maps are missing, have no
    picture, or are not of their mask's size: all of them are counted and the first stems listed. Under ``intersect``,
    when nothing is left.
    """
    if coverage not in ("strict", "intersect"):
        raise ArnError(f"coverage must be one of strict, intersect, not {coverage!r}")
    known, notes = CATALOGUE.get(dataset), []
    if known is not None and len(source.stems) != known.count:
        notes.append(f"{dataset} is published with {known.count:,} pictures, and {len(source.stems):,} are here")
    want = set(source.stems)
    kept = set(want)
    for method in methods:
        if isinstance(method, MapFolder):
            files = method.files(dataset)
            sized = _wrongly_sized(source, files)
            gaps = {
                "maps are missing": sorted(want - files.keys()),
                "maps have no picture": sorted(files.keys() - want),
                "maps are not of their mask's size": [f"{stem}: {sizes}" for stem, sizes in sized.items()],
            }
            for what, stems in gaps.items():
                if stems:
                    notes.append(f"{method.name} on {dataset}: {len(stems)} {what} ({listed(stems, 8)})")
            kept &= files.keys() - sized.keys()
    if notes and coverage == "strict":
        raise ArnError(f"{'; '.join(notes)}. coverage=intersect scores the pictures that every method has.")
    if not kept:
        raise ArnError(f"{dataset}: no picture has a map of every method. {'; '.join(notes)}")
    return Covered([index for index, stem in enumerate(source.stems) if stem in kept], len(source.stems), notes)


def _wrongly_sized(source: Source, files: Mapping[str, Path]) -> dict[str, str]:
    """Stem -> ``10 x 10 for 400 x 300``, read off the files' heads: no pixel is decoded."""
    found = {}
    for index, stem in enumerate(source.stems):
        if stem in files:
            of_map = _size_of(files[stem])
            of_mask = (
                _size_of(source.masks[index]) if isinstance(source, PairSource) else source.mask(index).shape[::-1]
            )
            if of_map and of_mask and of_map != of_mask:
                found[stem] = f"{of_map[0]} x {of_map[1]} for {of_mask[0]} x {of_mask[1]}"
    return found


def _size_of(path: Path) -> tuple[int, ...] | None:
    """Width and height; None where the head cannot be read or says less than all (EXIF): decoding will tell."""
    try:
        with path.open("rb") as file:
            head = file.read(24)
        if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
            return struct.unpack(">II", head[16:])
        with Image.open(path) as image:
            return image.size if image.getexif().get(0x0112, 1) == 1 else None
    except (OSError, ValueError, struct.error):
        return None
