"""Scores of methods on data sets: one pass, nothing computed twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from arn.data.maps import MapFile
from arn.data.sources import Source
from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.evaluation.work import Batch, Item, Rules, Workers, score_batch, store_map, stored_map, stored_row
from arn.files import digest
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
        """One table a protocol. Raises ArnError naming a map or mask that cannot be read or scored."""
        files = method.find(dataset, source).files if isinstance(method, MapFolder) else {}
        rows: dict[str, Sequence[NDArray[np.float64]]] = {}
        todo: list[Item] = []
        for index in indices[self.part.number - 1 :: self.part.of]:
            stem = source.stems[index]
            given = files[stem] if isinstance(method, MapFolder) else method
            key = given.key() if isinstance(given, MapFile) else map_key(given, source, index)
            keys = self.rules.keys(key, source.digests(index)[1])
            stored = [row for one in keys if (row := stored_row(self.cache, one, self.rules.measures)) is not None]
            if len(stored) == len(keys):
                rows[stem] = stored
            else:
                todo.append(Item(index, given, key, keys))
        self.progress(method.name, dataset, 0, len(todo))
        for weight, scored in self.workers.map(score_batch, self._batches(method, dataset, source, todo), len(todo)):
            rows.update(scored)
            self.progress(method.name, dataset, weight, len(todo))
        return tuple(
            Rows.of(protocol, self.rules.measures, [(stem, row[number]) for stem, row in rows.items()])
            for number, protocol in enumerate(self.rules.protocols)
        )

    def _batches(
        self, method: AnyMethod, dataset: str, source: Source, todo: Sequence[Item]
    ) -> Iterator[tuple[int, Batch]]:
        """What is still to be scored, with the number of its pictures. A network makes its maps in this process."""
        network = None if isinstance(method, MapFolder | Classical) else method
        size = CHUNK if network is None else network.batch_size
        for start in range(0, len(todo), size):
            items = todo[start : start + size]
            if network is not None:
                items = self._with_maps(network, source, items)
            part = source.only([item.index for item in items])
            yield len(items), Batch(method.name, dataset, part, items, self.rules, self.cache)

    def _with_maps(self, network: Method, source: Source, items: Sequence[Item]) -> list[Item]:
        """A batch of maps by a network: with its own threads, or on its own device."""
        maps = {item.map_key: levels for item in items if (levels := stored_map(self.cache, item.map_key)) is not None}
        missing = [item for item in items if item.map_key not in maps]
        if missing:
            made = network.maps([source.picture(item.index) for item in missing])
            for item, saliency in zip(missing, made, strict=True):
                maps[item.map_key] = eight_bits(np.asarray(saliency))
                store_map(self.cache, item.map_key, maps[item.map_key])
        return [replace(item, map=maps[item.map_key]) for item in items]


def map_key(method: Method, source: Source, index: int) -> bytes:
    """What the map of a picture is known by in the cache."""
    return digest("map", method.fingerprint, source.digests(index)[0])
