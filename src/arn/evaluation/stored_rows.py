"""Rows that lie in the cache: a bench of a hundred methods has more of them than fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.evaluation.work import stored_row
from arn.files import digest
from arn.metrics.functional import Rows, Scores, fields, width
from arn.metrics.protocols import Protocol


class StoredRows(Rows):
    """The rows of a method on some pictures, sorted by stem.

    Scores of one number are read once for all pictures and kept; curves, and `table` as a whole, are read each time.
    Who wants several of them asks for `loaded`.
    """

    def __init__(
        self,
        protocol: Protocol,
        measures: tuple[str, ...],
        keyed: Sequence[tuple[str, bytes]],
        cache: Cache,
        score: Callable[[Sequence[str]], None],
    ) -> None:
        """`keyed`: stems, and what their rows are known by. `score`: put rows that are damaged or gone there anew."""
        ordered = sorted(keyed)
        values = {"protocol": protocol, "measures": measures, "stems": tuple(stem for stem, _ in ordered)}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self.__dict__.update(keys=b"".join(key for _, key in ordered), cache=cache, score=score)

    keys: bytes
    cache: Cache
    score: Callable[[Sequence[str]], None]

    @cached_property
    def identity(self) -> bytes:
        """What all of these rows together are known by."""
        return digest("rows", repr(self.protocol), repr(self.measures), repr(self.stems), self.keys)

    def loaded(self) -> Rows:
        """The same with all of its table in memory. Raises ArnError where a row is not to be had."""
        table = np.empty((len(self), width(self.measures)))
        gone = self._read(table, range(len(self)))
        if gone:
            self.score([self.stems[index] for index in gone])
            gone = self._read(table, gone)
        if gone:
            told = f"cache={self.cache.folder}: {len(gone)} scores were put there and are gone"
            raise ArnError(f"{told}; is somebody removing them? Start again.")
        rows = Rows(self.protocol, self.measures, self.stems, table)
        if "_numbers" not in self.__dict__ and self._numbers_key not in self.cache:
            self.__dict__["_numbers"] = self._keep_numbers(rows)
        return rows

    @property
    def table(self) -> NDArray[np.float64]:
        return self.loaded().table

    def _read(self, table: NDArray[np.float64], indices: Iterable[int]) -> list[int]:
        """Fill in rows of a table. Returns the indices of those that are not there."""
        gone = []
        for index in indices:
            row = stored_row(self.cache, self.keys[20 * index : 20 * index + 20], self.measures)
            if row is None:
                gone.append(index)
            else:
                table[index] = row
        return gone

    @property
    def _numbers_key(self) -> bytes:
        return digest("columns", self.identity)

    @cached_property
    def _numbers(self) -> dict[str, NDArray[np.float64]]:
        """The columns of one number a picture."""
        names = [name for name, place in fields(self.measures).items() if place.stop - place.start == 1]
        stored = self.cache.get(self._numbers_key)
        if stored is None or len(stored) != 8 * len(names) * len(self):
            return self._keep_numbers(self.loaded())
        columns = np.frombuffer(stored, np.float64).reshape(len(names), len(self))
        return dict(zip(names, columns, strict=True))

    def _keep_numbers(self, rows: Rows) -> dict[str, NDArray[np.float64]]:
        places = {name: at.start for name, at in fields(self.measures).items() if at.stop - at.start == 1}
        columns = np.ascontiguousarray(rows.table[:, list(places.values())].T)
        self.cache.put(self._numbers_key, columns.tobytes(), "columns")
        return dict(zip(places, columns, strict=True))

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self._numbers[name] if name in self._numbers else self.loaded()[name]

    def select(self, stems: Iterable[str]) -> StoredRows:
        wanted = set(stems)
        missing = sorted(wanted.difference(self.stems))
        if missing:
            raise ArnError(f"{len(missing)} pictures were not scored: {', '.join(missing[:10])}.")
        keyed = [
            (stem, self.keys[20 * index : 20 * index + 20]) for index, stem in enumerate(self.stems) if stem in wanted
        ]
        return StoredRows(self.protocol, self.measures, keyed, self.cache, self.score)

    def compute(self) -> Scores:
        return self.loaded().compute()


def loaded(rows: Rows) -> Rows:
    """Rows with their table in memory."""
    return rows.loaded() if isinstance(rows, StoredRows) else rows


def identity(rows: Rows) -> bytes:
    """What rows are known by: equal for equal ones of a kind, stored or in memory."""
    if isinstance(rows, StoredRows):
        return rows.identity
    return digest(repr(rows.protocol), repr(rows.measures), repr(rows.stems), rows.table.tobytes())
