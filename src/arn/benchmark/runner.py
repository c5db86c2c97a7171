"""Scores of methods on data sets, with strict coverage."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields

from arn.benchmark.methods import Method
from arn.data.datamodule import Source
from arn.errors import ArnError
from arn.metrics import SaliencyMetrics

COVERAGES = ("strict", "intersect")


@dataclass(frozen=True)
class Score:
    """One row of the table: a method on a data set.

    Attributes:
        max_f: of the data-set-averaged PR curve or of the averaged per-picture curve, as the protocol says; 0..1.
        mae: 0..1.
        pictures, of: scored pictures, and pictures in the set.
    """

    method: str
    dataset: str
    protocol: str
    max_f: float
    mae: float
    pictures: int
    of: int


def covered(method: Method, dataset: str, source: Source, coverage: str) -> list[int]:
    """Indices of the pictures to score.

    Raises:
        ArnError: under ``strict``, maps are missing or maps have no picture; the stems are listed.
    """
    if coverage not in COVERAGES:
        raise ArnError(f"coverage must be one of {', '.join(COVERAGES)}, not {coverage!r}")
    stems = method.stems(dataset)
    if stems is None:
        return list(range(len(source.stems)))
    have, want = set(stems), set(source.stems)
    gaps = ((sorted(want - have), "maps are missing"), (sorted(have - want), "maps have no picture"))
    if coverage == "strict" and have != want:
        told = [
            f"{len(names)} {what} ({', '.join(names[:8])}{', ...' if len(names) > 8 else ''})"
            for names, what in gaps
            if names
        ]
        raise ArnError(f"{method.name} on {dataset}: {' and '.join(told)}; coverage=intersect scores the rest")
    kept = [index for index, stem in enumerate(source.stems) if stem in have]
    if not kept:
        raise ArnError(f"{method.name} on {dataset}: not one map has the stem of a picture")
    return kept


def score(
    method: Method,
    dataset: str,
    source: Source,
    protocol: str,
    coverage: str = "strict",
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Score one method on one data set; memory does not grow with the number of pictures."""
    kept = covered(method, dataset, source, coverage)
    metric = SaliencyMetrics(protocol=protocol, measures=("mae", "f"))
    for done, (index, saliency) in enumerate(zip(kept, method.maps(dataset, source, kept), strict=True), start=1):
        mask, stem = source.mask(index), source.stems[index]
        if saliency.shape != mask.shape:
            raise ArnError(
                f"{method.name} on {dataset}: the map of {stem} is {saliency.shape[1]} x {saliency.shape[0]}, its mask "
                f"{mask.shape[1]} x {mask.shape[0]}; maps are scored at the picture's own size"
            )
        metric.update([saliency], [mask], stems=[stem])
        if progress is not None:
            progress(done, len(kept))
    told = metric.compute()
    return Score(method.name, dataset, protocol, float(told["max_f"]), float(told["mae"]), len(kept), len(source.stems))


def to_csv(scores: Sequence[Score]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(Score)], lineterminator="\n")
    writer.writeheader()
    for one in scores:
        writer.writerow(asdict(one) | {"max_f": f"{one.max_f:.6f}", "mae": f"{one.mae:.6f}"})
    return out.getvalue()


def to_markdown(scores: Sequence[Score]) -> str:
    """Methods down, data sets across, max F and MAE each; the best of a column is bold."""
    datasets = list(dict.fromkeys(one.dataset for one in scores))
    methods = list(dict.fromkeys(one.method for one in scores))
    at = {(one.method, one.dataset): one for one in scores}
    best_f = {d: max(round(at[m, d].max_f, 4) for m in methods) for d in datasets}
    best_mae = {d: min(round(at[m, d].mae, 4) for m in methods) for d in datasets}

    def cell(value: float, best: float) -> str:
        text = f"{value:.4f}"
        return f"**{text}**" if round(value, 4) == best and len(methods) > 1 else text

    lines = [
        "| method | " + " | ".join(f"{d} max F | {d} MAE" for d in datasets) + " |",
        "|---|" + "---:|---:|" * len(datasets),
    ]
    for m in methods:
        cells = [f"{cell(at[m, d].max_f, best_f[d])} | {cell(at[m, d].mae, best_mae[d])}" for d in datasets]
        lines.append(f"| {m} | " + " | ".join(cells) + " |")
    notes = [
        f"Protocol `{scores[0].protocol}`. Pictures: "
        + ", ".join(f"{d} {at[methods[0], d].of}" for d in datasets)
        + "."
    ]
    notes += [
        f"{one.method} on {one.dataset}: only {one.pictures} of {one.of} pictures scored (coverage=intersect)."
        for one in scores
        if one.pictures != one.of
    ]
    return "\n".join([*lines, "", *notes, ""])
