"""Scores of one picture, and of many together: pure functions on NumPy arrays, without torch.

A map is float H x W in 0..1, or uint8 H x W in 0..255; a mask is bool, gray uint8 0..255, or float 0..1, of the same
shape. What the measures mean under each protocol is in docs/protocols.md.

The scores of a picture are kept as one flat row of float64, laid out by `fields`; a data set's are the exact sum of its
rows (`Totals`), so that neither order, batches, processes nor ranks change a single bit of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arn.compiled import njit
from arn.errors import ArnError
from arn.metrics.measures import MEASURES, REGISTRY, check_measures
from arn.metrics.picture import Picture
from arn.metrics.protocols import Protocol, get_protocol

Scores = dict[str, Any]  # name -> float, or float64 array of 256


@cache
def fields(measures: tuple[str, ...] = MEASURES) -> dict[str, slice]:
    """Where each column stands in a row of these measures (a tuple as `check_measures` returns it).

    ``adaptive_f`` or ``mae`` are one number, ``precision`` or ``f_curve`` 256; ``best_f`` is the picture's own maximum.
    """
    places, start = {}, 0
    for measure in measures:
        for column in REGISTRY[measure].columns:
            places[column.name] = slice(start, start + column.width)
            start += column.width
    return places


@cache
def width(measures: tuple[str, ...] = MEASURES) -> int:
    """How many float64 a row of these measures has."""
    return max(place.stop for place in fields(measures).values())


def named(row: NDArray[np.float64], measures: tuple[str, ...] = MEASURES) -> Scores:
    """A row's scores by name: floats, and views of its curves."""
    return {
        name: float(row[place.start]) if place.stop - place.start == 1 else row[place]
        for name, place in fields(measures).items()
    }


def score(
    map: NDArray[Any],  # the field's word
    mask: NDArray[Any],
    protocol: str | Protocol = "arn2018",
    measures: Iterable[str] | str | None = None,
    stem: str | None = None,
) -> Scores:
    """Scores of one map against one mask, by name, of some measures or all; see `fields` for the names.

    Raises ArnError, naming `stem`, for a shape mismatch, an empty array, NaN, values outside 0..1, and other types.
    """
    chosen = check_measures(measures)
    return named(score_row(map, mask, get_protocol(protocol), chosen, stem), chosen)


def score_row(
    map: NDArray[Any],
    mask: NDArray[Any],
    protocol: Protocol,
    measures: tuple[str, ...] = MEASURES,
    stem: str | None = None,
) -> NDArray[np.float64]:
    """As `score`, as a row. `measures` as `check_measures` returns them."""
    picture = Picture(map, mask, protocol, stem)
    places, row = fields(measures), np.empty(width(measures))
    for measure in measures:
        for name, value in REGISTRY[measure].of_picture(picture).items():
            row[places[name]] = value
    return row


def eight_bits(map: NDArray[Any]) -> NDArray[np.uint8]:
    """A float map in 0..1 as the 8-bit PNG that is written of it holds it; uint8 maps are returned as they are."""
    array = np.asarray(map)
    if array.dtype.kind != "f":
        return array
    return np.rint(array.astype(np.float32) * 255).astype(np.uint8)


def empty_sums(measures: tuple[str, ...]) -> NDArray[np.int64]:
    """The sum of no rows: int64, 3 x `width(measures)`."""
    return np.zeros((3, width(measures)), np.int64)


@njit(cache=True, nogil=True)
def add_row(sums: NDArray[np.int64], row: NDArray[np.float64]) -> None:
    """Adds a row to `sums`, in place and exactly.

    Each value is split into units, 2^-32 and 2^-64: integer addition is associative where that of floats is not, so
    sums of parts can be added in any order, by any number of processes. Bits below 2^-64 are dropped; 2^31 rows fit.
    """
    units = np.floor(row)
    rest = (row - units) * 2.0**32
    middle = np.floor(rest)
    sums[0] += units.astype(np.int64)
    sums[1] += middle.astype(np.int64)
    sums[2] += np.floor((rest - middle) * 2.0**32).astype(np.int64)


def mean_row(sums: NDArray[np.int64], pictures: int) -> NDArray[np.float64]:
    """The average of the rows that were added. Raises ArnError when there were none."""
    if pictures < 1:
        raise ArnError("No picture was scored, so there are no scores: call update before compute.")
    units, middle, low = sums
    middle = middle + (low >> 32)
    units = units + (middle >> 32)
    fraction = (middle & 0xFFFFFFFF) + (low & 0xFFFFFFFF) * 2.0**-32
    return (units + fraction * 2.0**-32) / pictures


class Totals:
    """The exact sum of many pictures' rows: constant in size, the same in any order and however it was merged.

    >>> totals = Totals("arn2018", ("mae", "f"))
    >>> for map, mask in pairs:
    ...     totals.add(score_row(map, mask, totals.protocol, totals.measures))
    >>> totals.compute()["max_f"]
    """

    def __init__(self, protocol: str | Protocol = "arn2018", measures: Iterable[str] | str | None = None) -> None:
        self.protocol = get_protocol(protocol)
        self.measures = check_measures(measures)
        self.sums = empty_sums(self.measures)
        self.pictures = 0

    def add(self, row: NDArray[np.float64]) -> None:
        add_row(self.sums, row)
        self.pictures += 1

    def merge(self, other: Totals) -> None:
        """Adds what another process has summed under the same protocol and measures."""
        if (other.protocol, other.measures) != (self.protocol, self.measures):
            raise ValueError("only sums of one protocol and the same measures can be merged")
        self.sums += other.sums
        self.pictures += other.pictures

    def compute(self) -> Scores:
        """As `aggregate`. Raises ArnError when no picture was added."""
        return aggregate(self.sums, self.pictures, self.protocol, self.measures)


def aggregate(sums: NDArray[np.int64], pictures: int, protocol: Protocol, measures: tuple[str, ...]) -> Scores:
    """A data set's scores from the sum of its pictures' rows.

    `pictures`, their number; the measures' scores, floats; and their curves of 256, whose entry k belongs to the
    threshold `thresholds[k]` = 255 - k. docs/protocols.md lists them. Raises ArnError when there are no pictures.
    """
    averages = named(mean_row(sums, pictures), measures)
    scores: Scores = {"pictures": pictures}
    curves: Scores = {}
    for measure in (REGISTRY[name] for name in measures):
        own = {name: curve.of(averages) for name, curve in measure.curves(protocol).items()}
        for one in measure.scores:
            scores[one.name] = float(one.value((averages if one.take == "average" else own)[one.of]))
        curves |= {name: curve.copy() for name, curve in own.items()}
    return scores | curves | ({"thresholds": np.arange(255, -1, -1)} if curves else {})


@dataclass(frozen=True)
class Rows:
    """The scores of many pictures, one row each, sorted by stem.

    `table` is float64, pictures x `width(measures)`; `rows["mae"]` is the column of a score, or the n x 256 of a curve.
    """

    protocol: Protocol
    measures: tuple[str, ...]
    stems: tuple[str, ...]
    table: NDArray[np.float64]

    @classmethod
    def of(
        cls, protocol: Protocol, measures: tuple[str, ...], scored: Sequence[tuple[str, NDArray[np.float64]]]
    ) -> Rows:
        """From pairs of stem and row. Raises ArnError, listing the stems, when a picture was scored twice."""
        ordered = sorted(scored, key=lambda pair: pair[0])
        twice = sorted({a[0] for a, b in pairwise(ordered) if a[0] == b[0]})
        if twice:
            raise ArnError(f"{len(twice)} pictures were scored more than once: {', '.join(twice[:10])}.")
        table = np.array([row for _, row in ordered]).reshape(len(ordered), width(measures))
        return cls(protocol, measures, tuple(stem for stem, _ in ordered), table)

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        place = fields(self.measures)[name]
        return self.table[:, place.start] if place.stop - place.start == 1 else self.table[:, place]

    def select(self, stems: Iterable[str]) -> Rows:
        """Those of some pictures, such as a held-out part. Raises ArnError, listing them, for stems not among these."""
        wanted = set(stems)
        missing = sorted(wanted.difference(self.stems))
        if missing:
            raise ArnError(f"{len(missing)} pictures were not scored: {', '.join(missing[:10])}.")
        kept = [index for index, stem in enumerate(self.stems) if stem in wanted]
        return Rows(self.protocol, self.measures, tuple(self.stems[index] for index in kept), self.table[kept])

    def compute(self) -> Scores:
        """The scores of all of them together, bit for bit as `Totals` gives them."""
        totals = Totals(self.protocol, self.measures)
        for row in self.table:
            totals.add(row)
        return totals.compute()
