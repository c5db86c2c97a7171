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
    kept = set(source.stems)
    for method in methods:
        if isinstance(method, MapFolder):
            found = method.find(dataset, source)
            notes += [f"{method.name} on {dataset}: {gap}" for gap in _gaps(method.name, found)]
            kept &= found.files.keys() - found.misfits.keys()
    if notes and coverage == "strict":
        raise ArnError(f"{'; '.join(notes)}. coverage=intersect scores the pictures that every method has.")
    if not kept:
        raise ArnError(f"{dataset}: no picture has a map of every method. {'; '.join(notes)}")
    return Covered([index for index, stem in enumerate(source.stems) if stem in kept], len(source.stems), notes)


def _gaps(method: str, found: FoundMaps) -> list[str]:
    """What is wrong with the maps of a method, and what would mend it."""
    misfits = [f"{stem}: {sizes}" for stem, sizes in found.misfits.items()]
    gaps = []
    if found.missing:
        hint = f"; {found.hint}" if found.hint else ""
        gaps.append(f"{len(found.missing)} maps are missing ({listed(found.missing, 8)}{hint})")
    if found.extra:
        gaps.append(f"{len(found.extra)} maps have no picture ({listed(found.extra, 8)})")
    if misfits:
        first = found.files[next(iter(found.misfits))].path
        remedy = f"the first is {first}; resize: bilinear resizes them, as in "
        remedy += f"maps={{{method}: {{folder: {found.folder}, resize: bilinear}}}}"
        gaps.append(f"{len(misfits)} maps are not of their mask's size ({listed(misfits, 8)}; {remedy})")
    return gaps
