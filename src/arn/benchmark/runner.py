"""Scores of methods on data sets: strict coverage, one pass, nothing computed twice."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from arn.benchmark.cache import Cache
from arn.benchmark.methods import Classical, Maker, MapFolder, Method
from arn.benchmark.work import Job, Rules, Workers, do, store_map, stored_map, stored_row
from arn.data.catalogue import CATALOGUE
from arn.data.pairs import PICTURE_SUFFIXES
from arn.data.sources import PairSource, Source, digest, file_digest
from arn.errors import ArnError
from arn.metrics.functional import Rows, eight_bits

COVERAGES = ("strict", "intersect")
CHUNK = 8  # pictures a job: enough to hide its way there and back, few enough to keep the bar moving

Progress = Callable[[str, str, int, int], None]
"""Called with method, data set, pictures done now, and how many are to be done in all."""


@dataclass(frozen=True)
class Part:
    """Part K of N of the work, for several machines: every N-th picture from the K-th on."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str | None) -> Part:
        """``2/8``. Raises ArnError for anything else."""
        if text is None:
            return cls()
        number, _, of = str(text).partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise ArnError(f"shard={text}: expected K/N with K from 1 to N, as in shard=2/8")
        return cls(int(number), int(of))


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


def cover(methods: Sequence[Method], dataset: str, source: Source, coverage: str) -> Covered:
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
                told.append(f"{method.name} on {dataset}: {len(stems)} {what} ({_listed(stems)})")
        kept -= {*missing, *(one.split(":")[0] for one in sized)}
    if told and coverage == "strict":
        raise ArnError(f"{'; '.join(told)}. coverage=intersect scores the pictures that every method has.")
    if not kept:
        raise ArnError(f"{dataset}: no picture has a map of every method. {'; '.join(told)}")
    return Covered([index for index, stem in enumerate(source.stems) if stem in kept], len(source.stems), told)


def _listed(stems: Sequence[str], most: int = 8) -> str:
    return ", ".join(stems[:most]) + (f" and {len(stems) - most} more" if len(stems) > most else "")


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


def score(
    method: Method,
    dataset: str,
    source: Source,
    indices: Sequence[int],
    rules: Rules,
    cache: Cache,
    workers: Workers,
    part: Part = Part(),
    progress: Progress | None = None,
) -> tuple[Rows, ...]:
    """Per-picture rows of a method on a data set, one table a protocol; of a `part`, that part's alone.

    What the cache holds is not computed again; what is computed is put there picture by picture. No more than a few
    maps are in memory at once.

    Raises:
        ArnError: a map or mask that cannot be read or scored, naming it.
    """
    mine = list(indices)[part.number - 1 :: part.of]
    files = method.files(dataset) if isinstance(method, MapFolder) else None
    map_keys, mask_keys = [], []
    for index in mine:
        of_picture, of_mask = source.digests(index)
        map_keys.append(
            file_digest(files[source.stems[index]])
            if files is not None
            else digest("map", method.fingerprint, of_picture)  # type: ignore[attr-defined]
        )
        mask_keys.append(of_mask)
    found: dict[str, tuple[NDArray[np.float64], ...]] = {}
    todo = []
    for place, index in enumerate(mine):
        keys = rules.keys(map_keys[place], mask_keys[place])
        rows = [stored_row(cache, key, rules.measures) for key in keys]
        if any(row is None for row in rows):
            todo.append(place)
        else:
            found[source.stems[index]] = tuple(row for row in rows if row is not None)

    def job(places: Sequence[int], maps: Sequence[Path | NDArray[np.uint8] | None]) -> Job:
        return Job(
            method.name,
            dataset,
            source.only([mine[place] for place in places]),
            maps,
            [map_keys[place] for place in places],
            [mask_keys[place] for place in places],
            method if isinstance(method, Classical) else None,
            rules,
            cache,
        )

    def jobs() -> Iterator[tuple[int, Job]]:
        if files is not None or isinstance(method, Classical):
            for places in _chunks(todo, CHUNK):
                paths = [files[source.stems[mine[place]]] if files is not None else None for place in places]
                yield len(places), job(places, paths)
            return
        for places in _chunks(todo, method.batch_size):  # type: ignore[attr-defined]
            yield len(places), job(places, _made(method, source, mine, places, map_keys, cache))  # type: ignore[arg-type]

    if progress is not None:
        progress(method.name, dataset, 0, len(todo))
    for weight, scored in workers.map(do, jobs(), len(todo)):
        found.update(scored)
        if progress is not None:
            progress(method.name, dataset, weight, len(todo))
    return tuple(
        Rows.of(protocol, rules.measures, [(stem, rows[number]) for stem, rows in found.items()])
        for number, protocol in enumerate(rules.protocols)
    )


def _made(
    method: Maker, source: Source, mine: Sequence[int], places: Sequence[int], map_keys: Sequence[bytes], cache: Cache
) -> list[NDArray[np.uint8]]:
    """A batch of maps by a network, which runs in this process: with its own threads, or on its own device."""
    found = {place: stored_map(cache, map_keys[place]) for place in places}
    missing = [place for place in places if found[place] is None]
    if missing:
        made = method.maps([source.read(mine[place])[0] for place in missing])
        for place, saliency in zip(missing, made, strict=True):
            levels = eight_bits(np.asarray(saliency))
            store_map(cache, map_keys[place], levels)
            found[place] = levels
    return [levels for levels in found.values() if levels is not None]


def _chunks(items: Sequence[int], size: int) -> Iterator[list[int]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def map_key(method: Maker, source: Source, index: int) -> bytes:
    """What the map of a picture is known by in the cache."""
    return digest("map", method.fingerprint, source.digests(index)[0])


def time_maker(method: Maker, source: Source, pictures: int, cache: Cache) -> float | None:
    """Median seconds a picture, made one at a time and with nothing beside it, reading and scoring apart.

    On up to `pictures` pictures spread evenly over the set, after two that warm up. Remembered per processor, so that a
    second bench of the same method on the same set is not held up. None for ``pictures=0``.
    """
    if pictures <= 0:
        return None
    chosen = np.unique(np.linspace(0, len(source.stems) - 1, pictures).round().astype(int))
    of_pictures = digest(*(source.digests(int(index))[0] for index in chosen))
    key = digest("seconds", method.fingerprint, method.device, processor(), of_pictures)
    stored = cache.get(key)
    if stored is not None:
        return float(stored.decode())
    taken = []
    for turn, index in enumerate([*chosen[:2], *chosen]):
        picture = source.read(int(index))[0]
        begun = time.perf_counter()
        method.maps([picture])
        if turn >= min(2, len(chosen)):
            taken.append(time.perf_counter() - begun)
    median = float(np.median(taken))
    cache.put(key, repr(median).encode())
    return median


def processor() -> str:
    """This machine's processor and how many of it a process may use: `AMD EPYC 9B14, 2 cores`."""
    name = ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    import platform

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name or platform.processor() or platform.machine()}, {cores} cores"
