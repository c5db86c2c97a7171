"""One picture's share of a bench: its map if it is still to be made, and its scores. Runs in worker processes.

Every result goes to the cache at once, so whatever a killed run had finished is there for the next. Nothing here
imports torch: a worker starts in about a second.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from arn.data.maps import MapFile
from arn.data.sources import Source
from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.files import digest
from arn.inference.methods import Method
from arn.metrics.functional import eight_bits, score_row, width
from arn.metrics.protocols import Protocol
from arn.provenance import code_version


@dataclass(frozen=True)
class Rules:
    """How maps are scored: under each of the protocols, by the same measures."""

    protocols: tuple[Protocol, ...]
    measures: tuple[str, ...]

    def keys(self, of_map: bytes, of_mask: bytes) -> tuple[bytes, ...]:
        """What the scores of a map against a mask are known by, one key a protocol."""
        return tuple(digest("row", *parts, of_map, of_mask) for parts in self._parts)

    @cached_property
    def _parts(self) -> list[tuple[bytes | str, ...]]:
        engine = code_version("arn.metrics", "arn.data.images", "arn.data.maps")
        return [(engine, repr(one), repr(self.measures)) for one in self.protocols]


@dataclass(frozen=True)
class Item:
    """A picture to be scored."""

    index: int  # into the data set's source
    map: MapFile | NDArray[np.uint8] | Method  # the file of its map, the map itself, or the method that is to make it
    map_key: bytes  # what the map is known by: its content hash, or that of what it is made from
    keys: tuple[bytes, ...]  # what its rows are known by, one a protocol


@dataclass(frozen=True)
class Batch:
    """Some pictures of a data set for one method; `source` has these alone."""

    method: str
    dataset: str
    source: Source
    items: Sequence[Item]
    rules: Rules
    cache: Cache


def score_batch(batch: Batch) -> None:
    """Put the rows of each picture, one a protocol, into the cache, unless they are there.

    Raises ArnError naming the method, data set and stem.
    """
    for place, (stem, item) in enumerate(zip(batch.source.stems, batch.items, strict=True)):
        levels, mask = _map_and_mask(batch, place, item)
        ignored = batch.source.ignored(place)
        if ignored is not None:  # right there, whatever the map says
            levels = np.where(ignored, mask, levels)
        try:
            for protocol, key in zip(batch.rules.protocols, item.keys, strict=True):
                if stored_row(batch.cache, key, batch.rules.measures) is None:
                    row = score_row(levels, mask, protocol, batch.rules.measures, stem)
                    batch.cache.put(key, row.tobytes(), "row")
        except ArnError as error:
            raise ArnError(f"{batch.method} on {batch.dataset}: {error}") from error


def _map_and_mask(batch: Batch, place: int, item: Item) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture's map, made if need be, and its mask; the picture itself is read only to make the map."""
    if isinstance(item.map, MapFile):
        return item.map.read(), batch.source.mask(place)
    levels = item.map if isinstance(item.map, np.ndarray) else stored_map(batch.cache, item.map_key)
    if levels is not None:
        return levels, batch.source.mask(place)
    assert not isinstance(item.map, np.ndarray)
    picture, mask = batch.source.read(place)
    levels = eight_bits(np.asarray(item.map.maps([picture])[0]))
    store_map(batch.cache, item.map_key, levels)
    return levels, mask


def stored_row(cache: Cache, key: bytes, measures: tuple[str, ...]) -> NDArray[np.float64] | None:
    data = cache.get(key)
    return None if data is None or len(data) != 8 * width(measures) else np.frombuffer(data, np.float64)


def stored_map(cache: Cache, key: bytes) -> NDArray[np.uint8] | None:
    data = cache.get(key)
    if data is None:
        return None
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if decoded is None else np.asarray(decoded, np.uint8)


def store_map(cache: Cache, key: bytes, levels: NDArray[np.uint8]) -> None:
    done, data = cv2.imencode(".png", levels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    cache.put(key, data.tobytes(), "map")


# ----------------------------------------------------------------------------------------------------------- processes

# Fewer pictures than this are done by the time that worker processes have started.
POOL_FROM = 100


class Workers:
    """Processes that take calls, or this process itself where one is enough: `with Workers(2) as workers`."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def map(
        self, call: Callable[[Any], Any], items: Iterator[tuple[int, Any]], total: int
    ) -> Iterator[tuple[int, Any]]:
        """(weight, result) of each call as they end, in any order; `items` are (weight, argument), a few drawn ahead.

        `total` is the sum of the weights: little work is done here, without starting processes.
        """
        if self.count == 1 or (self._pool is None and total < POOL_FROM):
            for weight, item in items:
                yield weight, call(item)
            return
        pool, pending = self._started(), dict[Future[Any], int]()
        try:
            while True:
                for weight, item in islice(items, 3 * self.count - len(pending)):
                    pending[pool.submit(call, item)] = weight
                if not pending:
                    return
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    yield pending.pop(future), future.result()
        except BaseException:
            for future in pending:
                future.cancel()
            raise

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # spawn: a fork of a process whose libraries run threads can hang.
            self._pool = ProcessPoolExecutor(self.count, get_context("spawn"), initializer=_begin)
        return self._pool


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends its workers
    cv2.setNumThreads(1)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:  # a parent that was killed outright leaves nobody behind
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
