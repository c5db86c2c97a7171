"""What a measure says of itself: its columns in a picture's row, the scores of a data set, how both are shown.

A file of `arn.metrics.measures` holds one `Measure`; everything that prints, averages, resamples or plots reads it from
there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from arn.metrics.picture import Counts, Picture
from arn.metrics.protocols import Protocol

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Label:
    """How a number is shown: its heading, one line that says what it is, and which way is better.

    Tables go by `order`, then by the order of measures; `first` are the columns that the page opens with.
    """

    text: str
    meaning: str
    higher: bool = True
    order: int = 1000
    first: bool = False


@dataclass(frozen=True)
class Column:
    """A part of a picture's row: one number, or a curve of 256.

    With a label a number is shown picture by picture, and the data set's curve against the threshold."""

    name: str
    width: Literal[1, 256] = 1
    label: Label | None = None


@dataclass(frozen=True)
class Curve:
    """A data set's curve: the average of a column, or what `combine` makes of several averages (... x 256 each)."""

    columns: tuple[str, ...]
    combine: Callable[..., Array] | None = None

    def of(self, averages: Mapping[str, Array]) -> Array:
        parts = [averages[column] for column in self.columns]
        return parts[0] if self.combine is None else self.combine(*parts)


@dataclass(frozen=True)
class Score:
    """A number of a data set: the average of the column `of`, or the largest, smallest or average entry of that curve.

    Those not `listed` are no column of tables; they are among the values of bench.json and on offer on the page.
    """

    name: str
    label: Label
    of: str
    take: Literal["average", "max", "min", "mean"] = "average"
    listed: bool = True

    def value(self, array: Array) -> Array:
        """From the averages of the column (R), or from the curves (R x 256): R; without R, a number."""
        if self.take == "average":
            return array
        result: Array = getattr(array, self.take)(axis=-1)
        return result


@dataclass(frozen=True)
class Measure:
    """Everything there is to know of a measure.

    Attributes:
        name: as in `measures=[...]`.
        order: its place in a row, ahead of those with larger ones. Rows are stored, so it never changes.
        columns: of the row.
        of_picture: a picture's values, by column.
        scores: of a data set.
        curves_of: a protocol's curves by name, where they are not just the columns of 256.
        usual: it is one of ``all``. Those that take far longer than the rest wait to be asked for by name.
    """

    name: str
    order: int
    columns: tuple[Column, ...]
    of_picture: Callable[[Picture], Mapping[str, float | Array]]
    scores: tuple[Score, ...]
    curves_of: Callable[[Protocol], Mapping[str, Curve]] | None = None
    usual: bool = True

    def curves(self, protocol: Protocol) -> Mapping[str, Curve]:
        if self.curves_of is not None:
            return self.curves_of(protocol)
        return {column.name: Curve((column.name,)) for column in self.columns if column.width > 1}


def from_counts(
    name: str,
    order: int,
    formula: Callable[[Counts], Array],
    label: str,
    meaning: str,
    *,
    higher: bool = True,
    counts_of: Callable[[Picture], tuple[Counts, Counts]] | None = None,
) -> Measure:
    """A measure of the binary map at each threshold: `formula` takes the counts (of any shape) to its values.

    Of a data set, the best and the mean of the averaged curve, and the average at the adaptive threshold. With
    `counts_of`, which makes the counts at the thresholds and at the adaptive one (where they are not of the whole
    picture), the average above level 128 as well, and the measure is not among ``all``.
    """
    best: Literal["max", "min"] = "max" if higher else "min"
    extreme = "largest" if higher else "smallest"

    def of_picture(picture: Picture) -> Mapping[str, float | Array]:
        if counts_of is None:
            tp, fp, *sides = picture.at_adaptive
            at_thresholds, at_adaptive = picture.at_thresholds, Counts(np.asarray(tp), np.asarray(fp), *sides)
        else:
            at_thresholds, at_adaptive = counts_of(picture)
        curve = formula(at_thresholds)
        values = {f"adaptive_{name}": float(formula(at_adaptive)), f"best_{name}": float(getattr(curve, best)())}
        half = {} if counts_of is None else {name: float(curve[picture.protocol.half])}
        return values | half | {f"{name}_curve": curve}

    def shown(text: str, what: str, place: int) -> Label:
        return Label(f"{text} {label}".strip(), f"{meaning}, {what}", higher, 10 * order + place)

    adaptive = shown("adaptive", "at the adaptive threshold, twice the map's mean", 3)
    columns = [
        Column(f"adaptive_{name}", label=adaptive),
        Column(f"best_{name}", label=shown("best", f"{extreme} of the picture", 1)),
        Column(f"{name}_curve", 256, Label(label, label, higher)),
    ]
    scores = [
        Score(f"{best}_{name}", shown(best, f"{extreme} over 256 thresholds", 0), f"{name}_curve", best),
        Score(f"mean_{name}", shown("mean", "averaged over 256 thresholds", 2), f"{name}_curve", "mean"),
        Score(f"adaptive_{name}", adaptive, f"adaptive_{name}"),
    ]
    if counts_of is not None:
        half = shown("", "of the map above level 128", 4)
        columns.append(Column(name, label=half))
        scores.append(Score(name, half, name))
    return Measure(name, order, tuple(columns), of_picture, tuple(scores), usual=counts_of is None)


def divided(numerator: Any, denominator: Any) -> Array:
    """Their quotient, of the numerator's shape; 0 where the denominator is 0."""
    quotient: Array = np.zeros(np.shape(numerator))
    return np.divide(numerator, denominator, out=quotient, where=np.not_equal(denominator, 0))
