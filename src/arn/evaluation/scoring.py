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
from arn.evaluation.work import Batch, Rules, Workers, score_batch, store_map, stored_map, stored_row
from arn.files import digest, file_digest
from arn.inference.methods import AnyMethod, Classical, MapFolder, Method
from arn.metrics.functional import Rows, eight_bits

CHUNK = 8  # pictures a batch: enough to hide its way there and back, few enough to keep the bar moving

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
class _Task:
    """A method on some pictures of a data set.

    Attributes:
        indices: of the pictures in the source.
        files: the maps by stem, of a method that has files.
        map_keys, mask_keys: for each picture, content hashes of map and mask.
    """

    method: AnyMethod
    dataset: str
    source: Source
    indices: Sequence[int]
    files: dict[str, Path] | None
    map_keys: Sequence[bytes]
    mask_keys: Sequence[bytes]

    @classmethod
    def of(cls, method: AnyMethod, dataset: str, source: Source, indices: Sequence[int]) -> _Task:
        files = method.files(dataset) if isinstance(method, MapFolder) else None
        map_keys = [
            file_digest(files[source.stems[index]]) if files is not None else map_key(method, source, index)  # type: ignore[arg-type]
            for index in indices
        ]
        return cls(method, dataset, source, indices, files, map_keys, [source.digests(index)[1] for index in indices])

    def stem(self, place: int) -> str:
        return self.source.stems[self.indices[place]]


@dataclass(frozen=True)
class Scorer:
    """Per-picture rows of methods on data sets; of a `part` of several, that part's alone.

    What the cache holds is not computed again; what is computed is put there picture by picture. No more than a few
    maps are in memory at once.
    """

    rules: Rules
    cache: Cache
    workers: Workers
    part: Part = Part()
    progress: Progress = lambda method, dataset, done, total: None

    def score(self, method: AnyMethod, dataset: str, source: Source, indices: Sequence[int]) -> tuple[Rows, ...]:
        """One table a protocol.

        Raises:
            ArnError: a map or mask that cannot be read or scored, naming it.
        """
        task = _Task.of(method, dataset, source, list(indices)[self.part.number - 1 :: self.part.of])
        rows: dict[str, tuple[NDArray[np.float64], ...]] = {}
        todo = []
        for place in range(len(task.indices)):
            keys = self.rules.keys(task.map_keys[place], task.mask_keys[place])
            stored = [stored_row(self.cache, key, self.rules.measures) for key in keys]
            if any(row is None for row in stored):
                todo.append(place)
            else:
                rows[task.stem(place)] = tuple(row for row in stored if row is not None)
        self.progress(method.name, dataset, 0, len(todo))
        for weight, scored in self.workers.map(score_batch, self._batches(task, todo), len(todo)):
            rows.update(scored)
            self.progress(method.name, dataset, weight, len(todo))
        return tuple(
            Rows.of(protocol, self.rules.measures, [(stem, row[number]) for stem, row in rows.items()])
            for number, protocol in enumerate(self.rules.protocols)
        )

    def _batches(self, task: _Task, todo: Sequence[int]) -> Iterator[tuple[int, Batch]]:
        """What is still to be scored, with the number of its pictures. A network makes its maps in this process."""
        method = task.method
        size = CHUNK if isinstance(method, MapFolder | Classical) else method.batch_size
        for places in _chunks(todo, size):
            maps: Sequence[Path | NDArray[np.uint8] | None]
            if task.files is not None:
                maps = [task.files[task.stem(place)] for place in places]
            elif isinstance(method, Classical):
                maps = [None] * len(places)
            else:
                maps = self._maps(task, places)
            yield (
                len(places),
                Batch(
                    method=method.name,
                    dataset=task.dataset,
                    source=task.source.only([task.indices[place] for place in places]),
                    maps=maps,
                    map_keys=[task.map_keys[place] for place in places],
                    mask_keys=[task.mask_keys[place] for place in places],
                    maker=method if isinstance(method, Classical) else None,
                    rules=self.rules,
                    cache=self.cache,
                ),
            )

    def _maps(self, task: _Task, places: Sequence[int]) -> list[NDArray[np.uint8]]:
        """A batch of maps by a network: with its own threads, or on its own device."""
        assert not isinstance(task.method, MapFolder)
        maps = {place: stored_map(self.cache, task.map_keys[place]) for place in places}
        missing = [place for place in places if maps[place] is None]
        if missing:
            made = task.method.maps([task.source.picture(task.indices[place]) for place in missing])
            for place, saliency in zip(missing, made, strict=True):
                maps[place] = levels = eight_bits(np.asarray(saliency))
                store_map(self.cache, task.map_keys[place], levels)
        return [levels for levels in maps.values() if levels is not None]


def _chunks(items: Sequence[int], size: int) -> Iterator[list[int]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def map_key(method: Method, source: Source, index: int) -> bytes:
    """What the map of a picture is known by in the cache."""
    return digest("map", method.fingerprint, source.digests(index)[0])
