"""A bench: methods on data sets under protocols, scored picture by picture and summed up."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arn.config.requests import BenchRequest
from arn.data.catalogue import known_overlap
from arn.data.sources import Source, find_source
from arn.data.splits import load_split
from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.evaluation.coverage import Covered, cover
from arn.evaluation.results import (
    SCHEMA,
    Sampling,
    comparisons,
    describe_methods,
    describe_protocols,
    describe_views,
    printed,
    score_entry,
    view_id,
)
from arn.evaluation.scoring import Part, Scorer
from arn.evaluation.timing import time_maker
from arn.evaluation.views import View, views
from arn.evaluation.work import Rules
from arn.inference.methods import AnyMethod, MapFolder
from arn.metrics.functional import Rows
from arn.metrics.measures import check_measures, listed, scores
from arn.metrics.protocols import Protocol, get_protocol
from arn.provenance import processor, provenance
from arn.runs import Run


@dataclass
class Bench:
    """What a request asks for, found and checked; then the rows of every method on every view.

    Attributes:
        sources: by data set, in the order asked for.
        covered: the pictures of each that are scored.
        columns: scores that tables show.
        printed: a paper's figures to stand beside them.
        views: column groups of the tables; filled by :meth:`score`, as are `rows` and `seconds` (per map, alone).
    """

    request: BenchRequest
    methods: list[AnyMethod]
    sources: dict[str, Source]
    covered: dict[str, Covered]
    rules: Rules
    columns: list[str]
    printed: dict[str, Any] | None
    part: Part
    views: list[View] = field(default_factory=list)
    rows: dict[tuple[str, str], Rows] = field(default_factory=dict)
    seconds: dict[tuple[str, str], float | None] = field(default_factory=dict)

    @classmethod
    def prepare(cls, request: BenchRequest, methods: list[AnyMethod]) -> Bench:
        """Find the data sets, and every gap in them, before the first picture is scored.

        Raises:
            ArnError: whatever is wrong with data sets, protocols, measures, columns or coverage.
        """
        protocols = tuple(get_protocol(name) for name in dict.fromkeys(request.protocol))
        rules = Rules(protocols, check_measures(request.measures))
        bench = cls(
            request,
            methods,
            sources={Path(name).name: find_source(name) for name in request.datasets},
            covered={},
            rules=rules,
            columns=_columns(request.columns, rules.measures),
            printed=printed(request.printed),
            part=Part.parse(request.shard),
        )
        for dataset, source in bench.sources.items():
            bench.covered[dataset] = cover(bench.of(dataset), dataset, source, request.coverage)
        return bench

    def of(self, dataset: str) -> list[AnyMethod]:
        """The methods that have maps of a data set; not all do: maps={NAME: {DATASET: FOLDER}}."""
        return [method for method in self.methods if not isinstance(method, MapFolder) or method.has(dataset)]

    def rows_of(self, method: AnyMethod, view: View) -> Rows:
        return self.rows[method.name, view_id(view)]

    def score(self, scorer: Scorer) -> float:
        """Fill in views, rows and seconds; of one part of several, only what the cache holds. Returns seconds spent."""
        spent = 0.0
        for dataset, source in self.sources.items():
            readings = views_of(dataset, source, self.of(dataset), self.rules.protocols)
            self.views += readings
            protocols = tuple({view.protocol.name: view.protocol for view in readings}.values())
            here = Scorer(
                Rules(protocols, self.rules.measures), scorer.cache, scorer.workers, self.part, scorer.progress
            )
            for method in self.of(dataset):
                if self.part.of == 1 and not isinstance(method, MapFolder):
                    seconds = time_maker(method, source, self.request.timing, scorer.cache)
                    self.seconds[method.name, dataset] = seconds
                begun = time.perf_counter()
                tables = here.score(method, dataset, source, self.covered[dataset].indices)
                spent += time.perf_counter() - begun
                if self.part.of == 1:
                    self._keep(method, readings, {table.protocol.name: table for table in tables})
        return spent

    def _keep(self, method: AnyMethod, readings: Sequence[View], tables: Mapping[str, Rows]) -> None:
        for view in readings:
            rows = tables[view.protocol.name]
            stems = None if view.stems is None else set(view.stems).intersection(rows.stems)
            self.rows[method.name, view_id(view)] = rows if stems is None else rows.select(stems)

    def content(self, cache: Cache, command: str, begun: float) -> dict[str, Any]:
        """What bench.json holds.

        Args:
            command: that was typed.
            begun: when, seconds since the epoch.
        """
        request = self.request
        sampling = Sampling(request.resamples, request.confidence, request.seed)
        entries = [
            self._entry(method, view, cache, sampling) for view in self.views for method in self.of(view.dataset)
        ]
        counts = {dataset: covered.of for dataset, covered in self.covered.items()}
        protocols = {view.protocol.name: view.protocol for view in self.views}
        return {
            "schema": SCHEMA,
            "title": f"{', '.join(method.name for method in self.methods)} on {', '.join(self.sources)}",
            "provenance": {
                "command": command,
                "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)),
                **provenance(),
                "machine": {"processor": processor()},
                "seconds": round(time.time() - begun, 2),
                **sampling.options,
                "coverage": request.coverage,
            },
            "methods": describe_methods(self.methods),
            "protocols": describe_protocols(protocols.values()),
            "views": describe_views(self.views, counts),
            "scores": entries,
            "comparisons": comparisons(entries, self.rows, cache, sampling),
            "warnings": self.warnings(),
            "printed": self.printed,
        }

    def _entry(self, method: AnyMethod, view: View, cache: Cache, sampling: Sampling) -> dict[str, Any]:
        seconds = self.seconds.get((method.name, view.dataset))
        return {
            "method": method.name,
            "view": view_id(view),
            "of": len(view.stems) if view.stems is not None else self.covered[view.dataset].of,
            **score_entry(self.rows_of(method, view), cache, sampling),
            "seconds_per_picture": seconds,
            "device": None if seconds is None or isinstance(method, MapFolder) else method.device,
        }

    def warnings(self) -> list[str]:
        """What must not be overlooked beside a figure: pictures left out, and tests on what was trained on."""
        lines = []
        for dataset, covered in self.covered.items():
            if covered.notes:
                lines.append(
                    f"{dataset}: {len(covered.indices)} of {covered.of} pictures scored (coverage=intersect). "
                    + "; ".join(covered.notes)
                )
        for method in self.methods:
            for trained in method.trained_on or ():
                for dataset in self.sources:
                    overlap = known_overlap(Path(trained).name, dataset)
                    if overlap and method in self.of(dataset):
                        lines.append(f"{method.name} was trained on {trained} and is tested on {dataset}: {overlap}")
        datasets = list(self.sources)
        for number, first in enumerate(datasets):
            for second in datasets[number + 1 :]:
                overlap = known_overlap(first, second)
                if overlap:
                    lines.append(f"{first} and {second} are not independent test sets: {overlap}")
        return lines


def _columns(names: Sequence[str], measures: tuple[str, ...]) -> list[str]:
    unknown = [name for name in names if name not in scores()]
    if unknown:
        raise ArnError(f"columns: there is no score {', '.join(unknown)}; there are {', '.join(listed())}")
    return [name for name in names if name in scores(measures)]


def views_of(dataset: str, source: Source, methods: Sequence[AnyMethod], protocols: Sequence[Protocol]) -> list[View]:
    """How a data set is reported under each protocol, the pictures that training left for test apart.

    Raises:
        ArnError: two methods were trained on different parts of the set.
    """
    rest = _held_out(methods, dataset)
    return [view for protocol in protocols for view in views(dataset, protocol, source.stems, rest)]


def _held_out(methods: Sequence[AnyMethod], dataset: str) -> list[str] | None:
    """Pictures of a data set that a method's own training left for test, where its run says so.

    Raises ArnError where two methods were trained on different parts: no figure would compare them.
    """
    rest: dict[str, list[str]] = {}
    for method in methods:
        splits = Run(method.source).splits_file
        if method.kind == "checkpoint" and splits.is_file():
            left = load_split(splits).get("rest", {})
            if dataset in left:
                rest[method.name] = left[dataset]
    if len({tuple(stems) for stems in rest.values()}) > 1:
        raise ArnError(
            f"{', '.join(rest)} were trained on different parts of {dataset}: bench them one by one, or train them "
            "with one seed"
        )
    return next(iter(rest.values()), None)
