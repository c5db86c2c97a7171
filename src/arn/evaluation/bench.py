"""A bench: methods on data sets under protocols, scored picture by picture and summed up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations, product
from pathlib import Path
from typing import Any

from arn.config.requests import BenchRequest
from arn.data.catalogue import known_overlap
from arn.data.labels import Meaning
from arn.data.sources import find_source
from arn.data.splits import load_split
from arn.errors import ArnError
from arn.evaluation import results
from arn.evaluation.cache import Cache
from arn.evaluation.coverage import Covered, cover
from arn.evaluation.results import view_id
from arn.evaluation.scoring import Part, Progress, Scorer
from arn.evaluation.timing import time_maker
from arn.evaluation.views import View, views
from arn.evaluation.work import Rules, Workers
from arn.inference.methods import AnyMethod, MapFolder
from arn.metrics.functional import Rows
from arn.metrics.measures import check_measures, listed, of_scores, scores
from arn.metrics.protocols import get_protocol
from arn.runs import Run


class Bench:
    """What a request asks for, found and checked; then the rows of every method on every view.

    Attributes:
        sources: by data set, in the order asked for.
        covered: the pictures of each that are scored.
        columns: scores that tables show.
        printed: a paper's figures to stand beside them.
        views: column groups of the tables.
        rows, seconds: by method and view, and per map alone by method and data set; filled in by :meth:`score`.
    """

    def __init__(
        self, request: BenchRequest, methods: list[AnyMethod], say: Callable[[str], None] = lambda line: None
    ) -> None:
        """Find the data sets, and every gap in them, before the first picture is scored; `say` what maps there are.

        Raises ArnError for whatever is wrong with data sets, protocols, measures, columns or coverage.
        """
        self.request, self.methods = request, methods
        protocols = [get_protocol(name) for name in dict.fromkeys(request.protocol)]
        # A column asks for its measure where measures= does not say otherwise.
        wanted = ["all", *of_scores(request.columns)] if request.measures == "all" else request.measures
        self.measures = check_measures(wanted)
        names = short_names(request.datasets)
        meanings = mask_meanings(request.masks, names)
        self.sources = {
            short: find_source(name, meaning=meanings.get(short), tell=say)
            for short, name in zip(names, request.datasets, strict=True)
        }
        unknown = [name for name in request.columns if name not in scores()]
        if unknown:
            raise ArnError(f"columns: there is no score {', '.join(unknown)}; there are {', '.join(listed())}")
        self.columns = [name for name in request.columns if name in scores(self.measures)]
        self.printed = results.printed(request.printed)
        self.part = Part.parse(request.shard)
        self.covered: dict[str, Covered] = {}
        self.views: list[View] = []
        for dataset, source in self.sources.items():
            methods = self.of(dataset)
            for method in methods:
                if isinstance(method, MapFolder):
                    say(f"maps of {method.name} on {dataset}: {method.find(dataset, source).told()}")
            self.covered[dataset] = cover(methods, dataset, source, request.coverage)
            rest = _held_out(methods, dataset)
            self.views += [view for one in protocols for view in views(dataset, one, source.stems, rest)]
        self.rows: dict[tuple[str, str], Rows] = {}
        self.seconds: dict[tuple[str, str], float | None] = {}

    def of(self, dataset: str) -> list[AnyMethod]:
        """The methods that have maps of a data set; not all do: maps={NAME: {DATASET: FOLDER}}."""
        return [method for method in self.methods if not isinstance(method, MapFolder) or method.has(dataset)]

    def rows_of(self, method: AnyMethod, view: View) -> Rows:
        return self.rows[method.name, view_id(view)]

    def score(self, cache: Cache, workers: Workers, progress: Progress) -> float:
        """Fill in rows and seconds; of one part of several, only what the cache holds. Returns seconds spent.

        Raises ArnError for a picture that cannot be scored.
        """
        spent = 0.0
        for dataset, source in self.sources.items():
            here = [view for view in self.views if view.dataset == dataset]
            protocols = {view.protocol.name: view.protocol for view in here}
            scorer = Scorer(Rules(tuple(protocols.values()), self.measures), cache, workers, self.part, progress)
            begun = time.perf_counter()
            for plan in scorer.plans(self.of(dataset), dataset, source, self.covered[dataset].indices):
                method = plan.method
                if self.part.of == 1 and not isinstance(method, MapFolder):
                    timed = time.perf_counter()
                    self.seconds[method.name, dataset] = time_maker(method, source, self.request.timing, cache)
                    begun += time.perf_counter() - timed
                tables = scorer.carry_out(plan)
                by_protocol = dict(zip(protocols, tables, strict=True))
                for view in here if self.part.of == 1 else ():
                    rows = by_protocol[view.protocol.name]
                    kept = rows if view.stems is None else rows.select(set(view.stems).intersection(rows.stems))
                    self.rows[method.name, view_id(view)] = kept
            spent += time.perf_counter() - begun
        return spent

    def content(self, cache: Cache, command: str, begun: float) -> dict[str, Any]:
        """What bench.json holds; `command` was typed, and `begun` is by `time.monotonic`."""
        request = self.request
        sampling = results.Sampling(request.resamples, request.confidence, request.seed)
        pictures = {
            view_id(view): self.covered[view.dataset].of if view.stems is None else len(view.stems)
            for view in self.views
        }
        entries = []
        for view in self.views:
            for method in self.of(view.dataset):
                place = {"method": method.name, "view": view_id(view), "of": pictures[view_id(view)]}
                scored = results.score_entry(self.rows_of(method, view), cache, sampling)
                seconds = self.seconds.get((method.name, view.dataset))
                device = None if seconds is None or isinstance(method, MapFolder) else method.device
                resized = method.found[view.dataset].resizing or None if isinstance(method, MapFolder) else None
                aside = {"seconds_per_picture": seconds, "device": device, "resized": resized}
                entries.append(place | scored | aside)
        return {
            "schema": results.SCHEMA,
            "title": f"{', '.join(method.name for method in self.methods)} on {', '.join(self.sources)}",
            "provenance": results.made_by(command, begun) | asdict(sampling) | {"coverage": request.coverage},
            "methods": results.describe_methods(self.methods),
            "protocols": results.describe_protocols(dict.fromkeys(view.protocol for view in self.views)),
            "views": [results.describe_view(view, pictures[view_id(view)]) for view in self.views],
            "scores": entries,
            "comparisons": results.comparisons(entries, self.rows, cache, sampling),
            "warnings": self.warnings(),
            "printed": self.printed,
        }

    def warnings(self) -> list[str]:
        """What must not be overlooked beside a figure: pictures left out, and tests on what was trained on."""
        lines = []
        for dataset, covered in self.covered.items():
            if covered.notes:
                counted = f"{len(covered.indices)} of {covered.of} pictures scored (coverage=intersect)"
                lines.append(f"{dataset}: {counted}. {'; '.join(covered.notes)}")
        for method in self.methods:
            for trained, dataset in product(method.trained_on or (), self.sources):
                overlap = known_overlap(Path(trained).name, dataset)
                if overlap and method in self.of(dataset):
                    lines.append(f"{method.name} was trained on {trained} and is tested on {dataset}: {overlap}")
        for first, second in combinations(self.sources, 2):
            overlap = known_overlap(first, second)
            if overlap:
                lines.append(f"{first} and {second} are not independent test sets: {overlap}")
        return lines


def short_names(datasets: Sequence[str]) -> list[str]:
    """What data sets are shown as: the last part of each path, or as many as tell it from the others.

    Raises ArnError for two that are one and the same.
    """
    places = [Path(name).expanduser() for name in datasets]
    parts = [place.parts if place.name else place.resolve().parts for place in places]
    real = [str(place.resolve()) if place.is_dir() else name for place, name in zip(places, datasets, strict=True)]
    names = []
    for index, mine in enumerate(parts):
        if real[index] in real[:index]:
            raise ArnError(f"datasets: {datasets[real.index(real[index])]} and {datasets[index]} are one and the same")
        others = [theirs for other, theirs in enumerate(parts) if other != index]
        sizes = range(1, len(mine) + 1)
        size = next((size for size in sizes if not any(theirs[-size:] == mine[-size:] for theirs in others)), len(mine))
        names.append("/".join(mine[-size:]).replace("//", "/"))
    return names


def mask_meanings(masks: Mapping[Any, Any], names: Sequence[str]) -> dict[str, Meaning | None]:
    """By data set, of ``masks={1: object}`` for all of them, or ``masks={SET: {1: object}}``. Raises ArnError."""
    if not any(isinstance(value, Mapping) for value in masks.values()):
        return dict.fromkeys(names, Meaning.of("masks", masks))
    unknown = [str(name) for name in masks if name not in names]
    if unknown:
        raise ArnError(f"masks: there is no data set {', '.join(unknown)}; there are {', '.join(names)}")
    return {str(name): Meaning.of(f"masks.{name}", said) for name, said in masks.items()}


def _held_out(methods: Sequence[AnyMethod], dataset: str) -> list[str] | None:
    """Pictures of a data set that the methods' own training left for test, where their runs say so.

    Raises ArnError where two were trained on different parts: no figure would compare them.
    """
    rest: dict[str, list[str]] = {}
    for method in methods:
        splits = Run(method.source).splits_file
        if method.kind == "checkpoint" and splits.is_file():
            left = load_split(splits).get("rest", {})
            if dataset in left:
                rest[method.name] = left[dataset]
    if len({tuple(stems) for stems in rest.values()}) > 1:
        told = f"{', '.join(rest)} were trained on different parts of {dataset}"
        raise ArnError(f"{told}: bench them one by one, or train them with one seed")
    return next(iter(rest.values()), None)
