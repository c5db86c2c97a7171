"""How sure a score is, and a difference between two: bootstrap, sign-flip tests, Holm's correction.

Everything starts from the per-picture rows that scoring keeps (`arn.metrics.Rows`). An aggregate such as max F is no
average of per-picture numbers: it is the maximum of F of the averaged precision and recall. So whole rows are resampled
and the aggregate is taken anew from each resampled average, many at a time as one matrix product.

The pictures are taken for independent draws from the population that the data set stands for. Nothing here says
anything about another training run of the same network: that spread needs other seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arn.errors import ArnError
from arn.metrics.functional import Rows, f_of, fields
from arn.metrics.protocols import Protocol

Array = NDArray[np.float64]

# Scores that are plain averages of a column: name among the aggregates -> column.
_AVERAGES = {
    "mae": "mae",
    "adaptive_f": "adaptive_f",
    "adaptive_precision": "adaptive_precision",
    "adaptive_recall": "adaptive_recall",
    "mean_best_f": "best_f",
    "adaptive_e": "adaptive_e",
    "mean_best_e": "best_e",
    "s_measure": "s_measure",
    "weighted_f": "weighted_f",
}
_CURVES = ("f_dataset", "f_picture", "f", "e")

AGGREGATES: tuple[str, ...] = (*_AVERAGES, *(f"{kind}_{curve}" for curve in _CURVES for kind in ("max", "mean")))
"""Every score of `arn.metrics.functional.aggregate` that is a number."""

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

    `p_bootstrap` is two-sided, from how often the resampled difference crosses 0; `p_sign_flip` is that of the paired
    permutation test, exact up to the number of resamples. Neither is corrected for other comparisons: see `holm`.
    """

    difference: Interval
    p_bootstrap: float
    p_sign_flip: float


def available(rows: Rows) -> tuple[str, ...]:
    """The aggregates that these rows can give."""
    held = fields(rows.measures)
    return tuple(name for name in AGGREGATES if all(column in held for column in _columns(name, rows.protocol)))


def estimates(rows: Rows, names: Sequence[str] | None = None) -> dict[str, float]:
    """The aggregates themselves, by name; all that the rows can give unless named."""
    chosen = _names(rows, names)
    columns, table = _needed(rows, chosen)
    means = table.mean(axis=0, keepdims=True)
    return {name: float(_aggregate(name, rows.protocol, columns, means)[0]) for name in chosen}


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
    together, and the runs are held fixed. The same `seed` on the same pictures gives the same intervals, whatever order
    they were scored in. Raises ArnError for unknown names, for fewer than two pictures, and for runs on different ones.
    """
    runs = _runs(rows)
    chosen = _names(runs[0], names)
    columns = _needed(runs[0], chosen)[0]
    protocol = runs[0].protocol
    drawn = {name: np.zeros(resamples) for name in chosen}
    for one in runs:
        _, table = _needed(one, chosen)
        for block, weights in _resampled(len(one), resamples, seed):
            means = weights @ table
            for name in chosen:
                drawn[name][block] += _aggregate(name, protocol, columns, means) / len(runs)
    points = [estimates(one, chosen) for one in runs]
    point = {name: float(np.mean([one[name] for one in points])) for name in chosen}
    return {name: _interval(point[name], drawn[name], confidence) for name in chosen}


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
    names, picture by picture, at random: if they do not differ, that leaves the distribution of the difference as it
    is. For max F this swaps whole precision and recall curves, so the null hypothesis is that the two methods' rows are
    exchangeable.

    Of several runs each (the same seeds, in the same order), the difference is that of the means over runs of the
    aggregate, and a picture is swapped in all runs at once. The runs are held fixed.

    Raises ArnError where the two were not scored on the same pictures, protocol and measures, or have unequal numbers
    of runs.
    """
    ours, theirs = _runs(first), _runs(second)
    if len(ours) != len(theirs):
        raise ArnError(f"A paired test needs as many runs of each: there are {len(ours)} and {len(theirs)}.")
    _check_paired(ours[0], theirs[0])
    chosen = _names(ours[0], names)
    columns = _needed(ours[0], chosen)[0]
    protocol, n = ours[0].protocol, len(ours[0])

    def difference(name: str, means_a: Array, means_b: Array) -> Array:
        gap = _aggregate(name, protocol, columns, means_a) - _aggregate(name, protocol, columns, means_b)
        return gap / len(ours)

    drawn = {name: np.zeros(resamples) for name in chosen}
    flipped = {name: np.zeros(resamples) for name in chosen}
    point = dict.fromkeys(chosen, 0.0)
    for one, other in zip(ours, theirs, strict=True):
        (_, a), (_, b) = _needed(one, chosen), _needed(other, chosen)
        for block, weights in _resampled(n, resamples, seed):
            means_a, means_b = weights @ a, weights @ b
            for name in chosen:
                drawn[name][block] += difference(name, means_a, means_b)
        mean_a, mean_b = a.mean(axis=0, keepdims=True), b.mean(axis=0, keepdims=True)
        gap = (b - a) / n
        generator = np.random.default_rng([seed, 1])  # anew: the same pictures are swapped in every run
        for block in _blocks(resamples):
            swapped = generator.integers(0, 2, (block.stop - block.start, n)).astype(np.float64)
            moved = swapped @ gap
            for name in chosen:
                flipped[name][block] += difference(name, mean_a + moved, mean_b - moved)
        for name in chosen:
            point[name] += float(difference(name, mean_a, mean_b)[0])
    found = {}
    for name in chosen:
        below, above = np.count_nonzero(drawn[name] <= 0), np.count_nonzero(drawn[name] >= 0)
        # A rounding error must not break a tie with what was observed: swapping nobody is one of the outcomes.
        reached = int(np.count_nonzero(np.abs(flipped[name]) >= abs(point[name]) - 1e-12))
        found[name] = Comparison(
            difference=_interval(point[name], drawn[name], confidence),
            p_bootstrap=min(1.0, 2 * (min(int(below), int(above)) + 1) / (resamples + 1)),
            p_sign_flip=(reached + 1) / (resamples + 1),
        )
    return found


def _runs(rows: Rows | Sequence[Rows]) -> Sequence[Rows]:
    """Raises ArnError unless there is one and all are of the same pictures, protocol and measures."""
    runs = [rows] if isinstance(rows, Rows) else rows
    if not runs:
        raise ArnError("No run was given, so there is nothing to compare.")
    for one in runs[1:]:
        _check_paired(runs[0], one)
    return runs


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values corrected for their number (Holm 1979): rejecting those up to .05 errs anywhere at most 5 % of the time.

    The i-th smallest of m is multiplied by m - i + 1; corrected values keep the order of the given ones and stay within
    1. Raises ValueError for a value outside 0..1.
    """
    if any(not 0 <= p <= 1 for p in p_values.values()):
        raise ValueError("p values lie within 0..1")
    corrected: dict[str, float] = {}
    least = 0.0
    ordered = sorted(p_values.items(), key=lambda item: item[1])
    for rank, (name, p) in enumerate(ordered):
        least = max(least, min(1.0, (len(ordered) - rank) * p))
        corrected[name] = least
    return {name: corrected[name] for name in p_values}


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


def _interval(estimate: float, drawn: Array, confidence: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(estimate, float(low), float(high), float(drawn.std(ddof=1)))


# ---------------------------------------------------------------------------------------------------------- aggregates


def _columns(name: str, protocol: Protocol) -> tuple[str, ...]:
    """The columns of a row that an aggregate is made of."""
    if name in _AVERAGES:
        return (_AVERAGES[name],)
    curve = name.partition("_")[2]
    if curve == "e":
        return ("e_curve",)
    if curve == "f":
        curve = f"f_{protocol.average}"
    return ("precision", "recall") if curve == "f_dataset" else ("f_curve",)


def _needed(rows: Rows, names: Sequence[str]) -> tuple[dict[str, slice], Array]:
    """The columns that these aggregates are made of, side by side, and where each begins and ends."""
    if len(rows) < 2:
        raise ArnError(f"{len(rows)} pictures say nothing about chance: at least two are needed.")
    wanted = dict.fromkeys(column for name in names for column in _columns(name, rows.protocol))
    places, parts, start = {}, [], 0
    for column in wanted:
        part = rows[column].reshape(len(rows), -1)
        places[column] = slice(start, start + part.shape[1])
        parts.append(part)
        start += part.shape[1]
    return places, np.concatenate(parts, axis=1)


def _aggregate(name: str, protocol: Protocol, columns: Mapping[str, slice], means: Array) -> Array:
    """An aggregate of each row of `means`, the averages of the needed columns."""
    parts = [means[:, columns[column]] for column in _columns(name, protocol)]
    if name in _AVERAGES:
        return parts[0][:, 0]
    curve = f_of(parts[0], parts[1]) if len(parts) == 2 else parts[0]
    return curve.max(axis=1) if name.startswith("max_") else curve.mean(axis=1)


def _names(rows: Rows, names: Sequence[str] | None) -> tuple[str, ...]:
    held = available(rows)
    unknown = [name for name in names or () if name not in held]
    if unknown:
        raise ArnError(f"These rows give no {', '.join(unknown)}; they give {', '.join(held)}.")
    return held if names is None else tuple(dict.fromkeys(names))


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
