"""Which pictures of a data set are scored: under strict coverage all of them, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from arn.data.catalogue import CATALOGUE
from arn.data.sources import Source
from arn.errors import ArnError
from arn.files import listed
from arn.inference.map_folder import FoundMaps, MapFolder
from arn.inference.methods import AnyMethod


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
    kept, remedies = set(source.stems), list[str]()
    for method in methods:
        if isinstance(method, MapFolder):
            found = method.find(dataset, source)
            notes += [f"{method.name} on {dataset}: {gap}" for gap in _gaps(found)]
            remedies += _remedies(method.name, found)
            kept &= found.files.keys() - found.misfits.keys()
    if notes and coverage == "strict":
        remedies = [*remedies[:1], "coverage=intersect scores the pictures that every method has"]
        raise ArnError(f"{'; '.join(notes)}. {'. '.join(remedies)}.")
    if not kept:
        raise ArnError(
            f"{dataset}: no picture has a map of every method. {'. '.join(['; '.join(notes), *remedies[:1]])}"
        )
    return Covered([index for index, stem in enumerate(source.stems) if stem in kept], len(source.stems), notes)


def _gaps(found: FoundMaps) -> list[str]:
    """What is wrong with the maps of a method."""
    misfits = [f"{stem}: {sizes}" for stem, sizes in found.misfits.items()]
    gaps = {
        "maps are missing": found.missing,
        "maps have no picture": found.extra,
        "maps are not of their mask's size": misfits,
    }
    return [f"{len(stems)} {what} ({listed(stems, 8)})" for what, stems in gaps.items() if stems]


def _remedies(method: str, found: FoundMaps) -> list[str]:
    """What would mend it."""
    remedies = [f"{method}: {found.hint}"] if found.missing and found.hint else []
    if found.misfits:
        first, one = found.files[next(iter(found.misfits))].path, f"{{folder: {found.folder}, resize: bilinear}}"
        remedies.append(
            f"{first} is the first of another size; resize: bilinear resizes them, as in maps={{{method}: {one}}}, or "
            "maps={folder: DIR, resize: bilinear} for all below a folder"
        )
    return remedies
