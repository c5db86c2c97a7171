"""Scores of methods on data sets: one pass, nothing computed twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arn.data.sources import Source
from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.evaluation.work import Job, Rules, Workers, do, store_map, stored_map, stored_row
from arn.files import digest, file_digest
from arn.inference.methods import AnyMethod, Classical, MapFolder, Method
from arn.metrics.functional import Rows, eight_bits

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


def score(
    method: AnyMethod,
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
            else digest("map", method.fingerprint, of_picture)  # type: ignore[union-attr]
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
        for places in _chunks(todo, method.batch_size):  # type: ignore[union-attr]
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
    method: Method, source: Source, mine: Sequence[int], places: Sequence[int], map_keys: Sequence[bytes], cache: Cache
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


def map_key(method: Method, source: Source, index: int) -> bytes:
    """What the map of a picture is known by in the cache."""
    return digest("map", method.fingerprint, source.digests(index)[0])
