"""Scores of methods on data sets: one pass, nothing computed twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from arn.data.maps import MapFile
from arn.data.sources import Source
from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.evaluation.stored_rows import StoredRows
from arn.evaluation.work import Batch, Item, Rules, Workers, score_batch, store_map, stored_map
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
class Plan:
    """What is to be scored of a method on a data set: what the cache lacks."""

    method: AnyMethod
    dataset: str
    source: Source
    todo: list[Item]
    keyed: list[list[tuple[str, bytes]]]  # of each protocol: stems, and what their rows are known by


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
        return self.carry_out(self.plan(method, dataset, source, indices))

    def plans(
        self, methods: Sequence[AnyMethod], dataset: str, source: Source, indices: Sequence[int]
    ) -> Iterator[Plan]:
        """One a method, in their order; while one is carried out that of the next is made, of folders of maps.

        Nothing is done beside other methods, which are timed.
        """
        with ThreadPoolExecutor(1) as thread:
            ahead: Future[Plan] | None = None
            for number, method in enumerate(methods):
                plan = self.plan(method, dataset, source, indices) if ahead is None else ahead.result()
                following = methods[number + 1 : number + 2]
                folders = all(isinstance(one, MapFolder) for one in (method, *following))
                ahead = (
                    thread.submit(self.plan, following[0], dataset, source, indices) if following and folders else None
                )
                yield plan

    def plan(self, method: AnyMethod, dataset: str, source: Source, indices: Sequence[int]) -> Plan:
        """Raises ArnError for a map or mask that cannot be read."""
        self.cache.refresh()
        todo: list[Item] = []
        keyed: list[list[tuple[str, bytes]]] = [[] for _ in self.rules.protocols]
        for item in self._items(method, dataset, source, indices[self.part.number - 1 :: self.part.of]):
            if not all(key in self.cache for key in item.keys):
                todo.append(item)
            for stems, key in zip(keyed, item.keys, strict=True):
                stems.append((source.stems[item.index], key))
        return Plan(method, dataset, source, todo, keyed)

    def carry_out(self, plan: Plan) -> tuple[Rows, ...]:
        """As :meth:`score`."""
        method, dataset, source, todo = plan.method, plan.dataset, plan.source, plan.todo
        self.progress(method.name, dataset, 0, len(todo))
        for weight, _ in self.workers.map(score_batch, self._batches(method, dataset, source, todo), len(todo)):
            self.progress(method.name, dataset, weight, len(todo))
        if todo:
            self.cache.refresh()

        def again(stems: Sequence[str]) -> None:
            """Score some of them here and now, whatever the cache says."""
            at = {stem: index for index, stem in enumerate(source.stems)}
            items = self._items(method, dataset, source, [at[stem] for stem in stems])
            for _, batch in self._batches(method, dataset, source, list(items)):
                score_batch(batch)

        return tuple(
            StoredRows(protocol, self.rules.measures, of_protocol, self.cache, again)
            for protocol, of_protocol in zip(self.rules.protocols, plan.keyed, strict=True)
        )

    def _items(self, method: AnyMethod, dataset: str, source: Source, indices: Sequence[int]) -> Iterator[Item]:
        files = method.find(dataset, source).files if isinstance(method, MapFolder) else {}
        for index in indices:
            given = files[source.stems[index]] if isinstance(method, MapFolder) else method
            key = given.key() if isinstance(given, MapFile) else map_key(given, source, index)
            yield Item(index, given, key, self.rules.keys(key, source.digests(index)[1]))

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
