"""How sure a score is, and a difference between two: bootstrap, sign-flip tests, Holm's correction.

Max F is no average of per-picture numbers, but the maximum of F of the averaged precision and recall. So whole rows
(`arn.metrics.Rows`) are resampled, and the score is taken anew from each resampled average.

The pictures are taken for independent draws from the population that the data set stands for. Nothing here says
anything about another training run of the same network: that spread needs other seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arn.errors import ArnError
from arn.metrics.functional import Rows, fields
from arn.metrics.measure import Curve, Score
from arn.metrics.measures import REGISTRY, scores

Array = NDArray[np.float64]

# Resamples drawn at once: a block of weights of 256 x pictures stays in the cache beside the rows.
_BLOCK = 256


@dataclass(frozen=True)
class Interval:
    """A score, or a difference, with its bootstrap interval and standard error."""

    estimate: float
    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same pictures: difference (first - second) of a score, and whether it may be chance.

    Neither p is corrected for other comparisons: see `holm`.
    """

    difference: Interval
    p_bootstrap: float  # two-sided, from how often the resampled difference crosses 0
    p_sign_flip: float  # of the paired permutation test, exact up to the number of resamples


def estimates(rows: Rows, names: Sequence[str] | None = None) -> dict[str, float]:
    """The aggregates themselves, by name; all that the rows can give unless named."""
    wanted = _Aggregates(rows, names)
    values = wanted.of(wanted.table(rows).mean(axis=0, keepdims=True))
    return dict(zip(wanted.names, values[:, 0].tolist(), strict=True))


def bootstrap(
    rows: Rows | Sequence[Rows],
    names: Sequence[str] | None = None,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile bootstrap intervals (Efron 1979) of aggregates over pictures, by name.

    Of several runs of one method (its seeds), the mean of the runs' aggregates: pictures are drawn for all runs
    together, and the runs are held fixed. Raises ArnError for unknown names, for fewer than two pictures, and for runs
    on different ones.
    """
    runs = _runs(rows)
    wanted = _Aggregates(runs[0], names)
    drawn = np.zeros((len(wanted.names), resamples))
    for run in runs:
        table = wanted.table(run)
        for block, weights in _resampled(len(run), resamples, seed):
            drawn[:, block] += wanted.of(weights @ table) / len(runs)
    points = [estimates(run, wanted.names) for run in runs]
    return {
        name: _interval(float(np.mean([point[name] for point in points])), values, confidence)
        for name, values in zip(wanted.names, drawn, strict=True)
    }


def compare(
    first: Rows | Sequence[Rows],
    second: Rows | Sequence[Rows],
    names: Sequence[str] | None = None,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Paired comparison of two methods on the same pictures, by aggregate.

    The bootstrap draws pictures, and both methods' rows with them. The sign-flip test (Fisher 1935) swaps the methods'
    rows, for max F whole curves, picture by picture at random: they are exchangeable where the methods do not differ.
    Of several runs each (the same seeds, in the same order), the difference is that of the means over runs, and a
    picture is swapped in all runs at once. The runs are held fixed. Raises ArnError where the two were not scored on
    the same pictures, protocol and measures, or have unequal numbers of runs.
    """
    ours, theirs = _runs(first), _runs(second)
    if len(ours) != len(theirs):
        raise ArnError(f"A paired test needs as many runs of each: there are {len(ours)} and {len(theirs)}.")
    _check_paired(ours[0], theirs[0])
    wanted, n = _Aggregates(ours[0], names), len(ours[0])

    def differences(means_a: Array, means_b: Array) -> Array:
        return (wanted.of(means_a) - wanted.of(means_b)) / len(ours)

    drawn, flipped = (np.zeros((len(wanted.names), resamples)) for _ in range(2))
    points = np.zeros(len(wanted.names))
    for one, other in zip(ours, theirs, strict=True):
        a, b = wanted.table(one), wanted.table(other)
        for block, weights in _resampled(n, resamples, seed):
            drawn[:, block] += differences(weights @ a, weights @ b)
        mean_a, mean_b = a.mean(axis=0, keepdims=True), b.mean(axis=0, keepdims=True)
        gap = (b - a) / n
        generator = np.random.default_rng([seed, 1])  # anew: the same pictures are swapped in every run
        for block in _blocks(resamples):
            moved = generator.integers(0, 2, (block.stop - block.start, n)).astype(np.float64) @ gap
            flipped[:, block] += differences(mean_a + moved, mean_b - moved)
        points += differences(mean_a, mean_b)[:, 0]
    return {
        name: _comparison(float(points[number]), drawn[number], flipped[number], confidence)
        for number, name in enumerate(wanted.names)
    }


def _comparison(point: float, drawn: Array, flipped: Array, confidence: float) -> Comparison:
    crossed = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    # A rounding error must not break a tie with what was observed: swapping nobody is one of the outcomes.
    reached = np.count_nonzero(np.abs(flipped) >= abs(point) - 1e-12)
    return Comparison(
        difference=_interval(point, drawn, confidence),
        p_bootstrap=min(1.0, 2 * (int(crossed) + 1) / (len(drawn) + 1)),
        p_sign_flip=(int(reached) + 1) / (len(drawn) + 1),
    )


def _interval(estimate: float, drawn: Array, confidence: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(estimate, float(low), float(high), float(drawn.std(ddof=1)))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values corrected for their number (Holm 1979): rejecting those up to .05 errs anywhere at most 5 % of the time.

    Raises ValueError for a value outside 0..1.
    """
    if any(not 0 <= p <= 1 for p in p_values.values()):
        raise ValueError("p values lie within 0..1")
    corrected, least = dict(p_values), 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        least = corrected[name] = max(least, min(1.0, (len(p_values) - rank) * p_values[name]))
    return corrected


def correct(tests: Sequence[dict[str, Any]], confidence: float) -> None:
    """Give each test with a ``p`` its ``p_holm`` among all of them, ``significant`` up to 1 - `confidence`."""
    corrected = holm({str(number): test["p"] for number, test in enumerate(tests)})
    for test, p in zip(tests, corrected.values(), strict=True):
        test |= {"p_holm": p, "significant": p <= 1 - confidence}


# ---------------------------------------------------------------------------------------------------------- resampling


def _blocks(resamples: int) -> Iterator[slice]:
    for start in range(0, resamples, _BLOCK):
        yield slice(start, min(start + _BLOCK, resamples))


def _resampled(n: int, resamples: int, seed: int) -> Iterator[tuple[slice, Array]]:
    """Blocks of resamples and their weights, block x n: how often each picture was drawn, / n; a row sums to 1."""
    generator = np.random.default_rng([seed, 0])
    for block in _blocks(resamples):
        rows = block.stop - block.start
        picks = generator.integers(0, n, (rows, n))
        picks += n * np.arange(rows)[:, None]
        yield block, np.bincount(picks.ravel(), minlength=rows * n).reshape(rows, n) / n


class _Aggregates:
    """Some scores of a data set (all that the rows give unless named), and the columns that they are made of."""

    def __init__(self, rows: Rows, names: Sequence[str] | None) -> None:
        given = scores(rows.measures)
        unknown = [name for name in names or () if name not in given]
        if unknown:
            raise ArnError(f"These rows give no {', '.join(unknown)}; they give {', '.join(given)}.")
        self.names = tuple(given) if names is None else tuple(dict.fromkeys(names))
        curves = {name: curve for one in rows.measures for name, curve in REGISTRY[one].curves(rows.protocol).items()}
        # A curve is made once for all scores that are read from it.
        self._scores_of: dict[Curve, list[Score]] = {}
        for score in (given[name] for name in self.names):
            curve = Curve((score.of,)) if score.take == "average" else curves[score.of]
            self._scores_of.setdefault(curve, []).append(score)
        self._columns = list(dict.fromkeys(column for curve in self._scores_of for column in curve.columns))
        places = [fields(rows.measures)[column] for column in self._columns]
        self._ends = np.cumsum([place.stop - place.start for place in places])

    def table(self, rows: Rows) -> Array:
        """The columns, side by side: pictures x their widths together."""
        if len(rows) < 2:
            raise ArnError(f"{len(rows)} pictures say nothing about chance: at least two are needed.")
        return np.concatenate([rows[column].reshape(len(rows), -1) for column in self._columns], axis=1)

    def of(self, means: Array) -> Array:
        """The scores, names x resamples, from averages of the columns, resamples x their widths together."""
        parts = zip(self._columns, np.split(means, self._ends[:-1], axis=1), strict=True)
        averages = {column: part[:, 0] if part.shape[1] == 1 else part for column, part in parts}
        values: dict[str, Array] = {}
        for curve, read in self._scores_of.items():
            array = curve.of(averages)
            values |= {score.name: score.value(array) for score in read}
        return np.array([values[name] for name in self.names])


def _runs(rows: Rows | Sequence[Rows]) -> Sequence[Rows]:
    """Raises ArnError unless there is one and all are of the same pictures, protocol and measures."""
    runs = [rows] if isinstance(rows, Rows) else rows
    if not runs:
        raise ArnError("No run was given, so there is nothing to compare.")
    for one in runs[1:]:
        _check_paired(runs[0], one)
    return runs


def _check_paired(first: Rows, second: Rows) -> None:
    if first.protocol != second.protocol:
        raise ArnError(f"Scores under {first.protocol.name} and {second.protocol.name} cannot be compared.")
    if first.measures != second.measures:
        raise ArnError("The two methods were scored by different measures; score both by the same.")
    apart = sorted(set(first.stems).symmetric_difference(second.stems))
    if apart:
        raise ArnError(
            f"A paired test needs the same pictures, but {len(apart)} were scored for one method only: "
            f"{', '.join(apart[:10])}."
        )
