"""``arn bench``: score any methods on any data sets, and lay out what was found as tables, figures and a page."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from arn.classical import METHODS
from arn.config.compose import Composed, run_hydra
from arn.config.instantiate import instantiate, to_plain
from arn.data.sources import Source, find_source
from arn.data.splits import load_split
from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.evaluation.coverage import Covered, cover
from arn.evaluation.results import (
    SCHEMA,
    SCORES,
    comparisons,
    describe_methods,
    describe_protocols,
    describe_views,
    printed,
    score_entry,
    view_id,
)
from arn.evaluation.scoring import Part, map_key, score
from arn.evaluation.timing import time_maker
from arn.evaluation.views import View, views
from arn.evaluation.work import Rules, Workers
from arn.files import write_atomically
from arn.inference.allocation import reuse_memory
from arn.inference.methods import AnyMethod, Classical, MapFolder, Method
from arn.metrics.functional import Rows
from arn.metrics.protocols import check_measures, get_protocol
from arn.multirun.jobs import Job, Launcher, run_and_tell
from arn.provenance import processor, provenance
from arn.verbs import remove_if_empty

if TYPE_CHECKING:
    from rich.progress import Task

console = Console(highlight=False, soft_wrap=True)

NO_CACHE = "shard= hands its scores on through the cache: name a folder that all machines see, cache=PATH"


def main(arguments: list[str]) -> None:
    run_hydra("bench", recipe, arguments, multirun=multirun)


def recipe(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    job = HydraConfig.get()
    run = Path(job.runtime.output_dir)
    overrides = list(job.overrides.task)
    try:
        if config.shards is not None:
            count = _shards(config)
            rest = [one for one in overrides if not _of(one, "shards")]
            spread([[*rest, f"shard={number}/{count}"] for number in range(1, count + 1)], config, run)
        reuse_memory()
        bench(config, run, shlex.join(["arn", "bench", *overrides]))
    except BaseException:
        remove_if_empty(run)
        raise


def multirun(composed: list[Composed]) -> None:
    """``arn bench -m key=A,B``: each in a process of its own; if they are all shards of one bench, its tables too."""
    first = composed[0]
    configs = [{key: value for key, value in one.config.items() if key != "shard"} for one in composed]
    parts = [Part.parse(one.config["shard"]) for one in composed]
    whole = sorted(part.number for part in parts) == list(range(1, parts[0].of + 1)) and len(parts) > 1
    together = whole and all(part.of == parts[0].of for part in parts) and all(one == configs[0] for one in configs)
    config = OmegaConf.create({**first.config, "shard": None, "shards": None})
    spread([list(one.overrides) for one in composed], config, first.sweep, parts=together)
    if together:
        overrides = [one for one in first.overrides if not _of(one, "shard")]
        bench(config, first.sweep, shlex.join(["arn", "bench", *overrides]))


def _of(override: str, key: str) -> bool:
    return override.lstrip("+").partition("=")[0] == key


def _shards(config: DictConfig) -> int:
    if config.shard is not None:
        raise ArnError("shard= is one part, shards= starts all of them: give one of the two")
    if not (isinstance(config.shards, int) and config.shards >= 1):
        raise ArnError(f"shards={config.shards}: a number of jobs, at least 1")
    return int(config.shards)


def spread(each: Sequence[list[str]], config: DictConfig, run: Path, parts: bool = True) -> None:
    """Run ``arn bench`` with each of these lists of overrides as a job of the config's launcher, and wait for them.

    Args:
        parts: they are shards, whose only result is in the cache; else each has a folder of its own below `run`.

    Raises:
        ArnError: a job that failed, named with its log, after all others were run.
    """
    if parts and config.cache is None:
        raise ArnError(NO_CACHE)
    launcher: Launcher = instantiate(config.launcher, "launcher")
    names = [f"shard{number}" if parts else str(number) for number in range(1, len(each) + 1)]
    jobs = [Job(name, run / name, None, ("bench",), tuple(one)) for name, one in zip(names, each, strict=True)]
    failed = run_and_tell(jobs, launcher, run, console.print)
    if failed:
        raise ArnError(
            f"{len(failed)} of {len(jobs)} jobs failed: {', '.join(failed)}; what is scored stays in the cache"
        )


@dataclass
class Found:
    """What scoring left: rows by method and view, and what stands beside them."""

    sources: dict[str, Source]
    covered: dict[str, Covered]
    methods: list[AnyMethod]
    views: list[View] = field(default_factory=list)
    rows: dict[tuple[str, str], Rows] = field(default_factory=dict)
    seconds: dict[tuple[str, str], float | None] = field(default_factory=dict)

    def of(self, dataset: str) -> list[AnyMethod]:
        """The methods that have maps of a data set; not all do: maps={NAME: {DATASET: FOLDER}}."""
        return [one for one in self.methods if not isinstance(one, MapFolder) or one.has(dataset)]


def bench(config: DictConfig, run: Path, command: str = "arn bench") -> dict[str, Any]:
    """Score what the config names, and write the run. Returns the content of bench.json; {} for one shard of several.

    Raises:
        ArnError: whatever is wrong with methods, data sets, keys or coverage; before anything is scored or written.
    """
    begun = time.time()
    plain = to_plain(config)
    part = Part.parse(plain["shard"])
    rules = Rules(_protocols(plain["protocol"]), check_measures(plain["measures"]))
    columns = _columns(plain["columns"], rules)
    reference = printed(plain["printed"])
    sources = {Path(name).name: find_source(name) for name in plain["datasets"]}
    if not sources:
        raise ArnError("datasets=[] names no data set")
    found = Found(sources, {}, _methods(plain))
    for name, source in sources.items():  # every gap is found before the first picture is scored
        found.covered[name] = cover(found.of(name), name, source, plain["coverage"])

    with (
        _cache(plain["cache"], part) as cache,
        Workers(_workers(plain["workers"])) as workers,
        _bars() as bars,
    ):
        _score(found, rules, plain, part, cache, workers, bars)
        if part.of > 1:
            remove_if_empty(run)
            console.print(
                f"shard {part.number} of {part.of} is scored into {plain['cache']}; the same command without shard= "
                "writes the tables when all of them are"
            )
            return {}
        content = _content(found, rules, plain, cache, reference, command, begun)
        _write(content, found, columns, plain, run, cache, workers)
    _log(config, content, run)
    from arn.report.tables import markdown

    console.print(markdown(content, columns))
    console.print(f"page:   {run / 'index.html'}")
    console.print(f"tables: {run / 'table.md'}, table.tex, scores.csv, per_image.csv, bench.json, figures/")
    return content


# ----------------------------------------------------------------------------------------------------- what is asked


def _protocols(given: str | Sequence[str]) -> tuple[Any, ...]:
    names = [given] if isinstance(given, str) else list(given)
    if not names:
        raise ArnError("protocol=[] names no protocol")
    return tuple(get_protocol(name) for name in dict.fromkeys(names))


def _columns(given: Sequence[str], rules: Rules) -> list[str]:
    unknown = [name for name in given if name not in SCORES]
    if unknown:
        raise ArnError(f"columns: there is no score {', '.join(unknown)}; there are {', '.join(SCORES)}")
    return [name for name in given if SCORES[name][2] in rules.measures]


def _workers(given: str | int) -> int:
    import os

    if given == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not (isinstance(given, int) and given >= 1):
        raise ArnError(f"workers={given}: a number of processes, at least 1, or auto")
    return given


def _methods(plain: Mapping[str, Any]) -> list[AnyMethod]:
    named: dict[str, dict[str, str]] = {}
    for key in ("checkpoints", "onnx", "maps", "trained_on"):
        named[key] = plain[key] or {}
        if not isinstance(named[key], dict):
            raise ArnError(f"{key} takes names: {key}={{NAME: VALUE}}, not {plain[key]!r}")
    checkpoints, classical = dict(named["checkpoints"]), plain["methods"]
    if not checkpoints and not named["onnx"] and not named["maps"] and classical is None:
        checkpoints = _at_hand(scenes="scenes" in plain["datasets"])
        classical = list(METHODS)
    methods: list[AnyMethod] = [*_networks(checkpoints, named["onnx"], plain["device"], plain["batch_size"])]
    methods += [Classical(name) for name in classical or ()]
    folders = [MapFolder(name, folder) for name, folder in named["maps"].items()]
    datasets = [Path(name).name for name in plain["datasets"]]
    for folder in folders:
        if not any(folder.has(name) for name in datasets):
            raise ArnError(f"maps.{folder.name} names folders for none of the data sets {', '.join(datasets)}")
    methods += folders
    if not methods:
        raise ArnError(
            "nothing to score: give checkpoints={NAME: FILE}, onnx={NAME: FILE}, maps={NAME: FOLDER} or methods=[NAME]"
        )
    names = [one.name for one in methods]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ArnError(f"{', '.join(sorted(twice))}: two methods of one name; rename one")
    for name, trained in named["trained_on"].items():
        if name not in names:
            raise ArnError(f"trained_on.{name}: there is no method of that name; there are {', '.join(names)}")
        next(one for one in methods if one.name == name).trained_on = (
            tuple(trained) if isinstance(trained, list) else tuple(str(trained).split("+"))
        )
    return methods


def _networks(checkpoints: Mapping[str, str], onnx: Mapping[str, str], device: str, batch_size: int) -> list[Method]:
    if not checkpoints and not onnx:
        return []  # without torch
    from arn.inference.loading import load
    from arn.inference.onnx import OnnxPredictor

    networks: list[Method] = []
    for name, path in checkpoints.items():
        if Path(path).suffix == ".onnx":
            raise ArnError(f"checkpoints.{name}={path} is an ONNX file: name it in onnx={{NAME: FILE}}")
        networks.append(load(path, device))
    networks += [OnnxPredictor(path) for path in onnx.values()]
    for name, network in zip((*checkpoints, *onnx), networks, strict=True):
        network.name, network.batch_size = name, batch_size
    return networks


@contextlib.contextmanager
def _cache(folder: str | None, part: Part) -> Iterator[Cache]:
    """The cache, in a folder that goes when the bench ends where none is to be kept."""
    if folder is not None:
        yield Cache(folder)
        return
    if part.of > 1:
        raise ArnError(NO_CACHE)
    with tempfile.TemporaryDirectory(prefix="arn-bench-") as passing:
        yield Cache(passing)


def _at_hand(scenes: bool) -> dict[str, str]:
    """What is scored when nothing is named: the networks that came with the package, and the last training here.

    On photographs the last training counts only if it was on photographs; on drawn scenes there is always one.
    """
    from arn.inference.weights import SHIPPED, shipped

    found = {SHIPPED[name]: name for name in shipped()}
    last = _last_training(scenes)
    return found | ({} if last is None else {"last training": str(last)})


def _last_training(scenes: bool) -> Path | None:
    """The run of the last `arn train`; where there is none for drawn scenes, a short one on them."""
    runs = sorted(
        (path.parents[1] for path in Path("outputs/train").glob("**/checkpoints/best.ckpt")),
        key=lambda run: (run / "checkpoints" / "best.ckpt").stat().st_mtime,
    )
    finished = [run for run in runs if (run / "metrics.json").is_file()]
    if not scenes:
        from arn.inference.loading import load

        finished = [run for run in finished if load(run).trained_on != ("scenes",)]
    if finished:
        console.print(f"no methods were named: the last training, {finished[-1]}, is one of them")
        return finished[-1]
    if not scenes:
        return None
    console.print("no methods were named and nothing was trained yet: a short training on drawn scenes comes first")
    run = Path("outputs/train/for_bench")
    short = ["data.train_limit=800", "trainer.max_epochs=2", "panels=0", f"hydra.run.dir={run}"]
    # In a process of its own, because Hydra runs one job at a time.
    if subprocess.run([sys.executable, "-m", "arn.cli", "train", *short], check=False).returncode != 0:
        raise ArnError("the short training failed; name methods of your own: arn bench --help")
    return run


# ----------------------------------------------------------------------------------------------------------- scoring


class _Rate(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Any:
        from rich.text import Text

        return Text(f"{task.speed:.0f} pictures/s" if task.speed else "")


def _bars() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def _score(
    found: Found, rules: Rules, plain: Mapping[str, Any], part: Part, cache: Cache, workers: Workers, bars: Progress
) -> None:
    tasks: dict[tuple[str, str], TaskID] = {}
    spent, scored = 0.0, 0

    def progress(method: str, dataset: str, now: int, total: int) -> None:
        nonlocal scored
        if (method, dataset) not in tasks:
            tasks[method, dataset] = bars.add_task(f"{method} on {dataset}", total=total)
        bars.advance(tasks[method, dataset], now)
        scored += now

    for dataset, source in found.sources.items():
        covered = found.covered[dataset]
        held_out = _held_out(found.of(dataset), dataset)
        seen = {protocol.name: views(dataset, protocol, source.stems, held_out) for protocol in rules.protocols}
        read = list({view.protocol.name: view.protocol for one in seen.values() for view in one}.values())
        found.views += [view for one in seen.values() for view in one]
        for method in found.of(dataset):
            if part.of == 1 and not isinstance(method, MapFolder):
                found.seconds[method.name, dataset] = time_maker(method, source, plain["timing"], cache)
            begun = time.perf_counter()
            tables = score(
                method,
                dataset,
                source,
                covered.indices,
                Rules(tuple(read), rules.measures),
                cache,
                workers,
                part,
                progress,
            )
            spent += time.perf_counter() - begun
            if part.of > 1:
                continue
            by_protocol = {table.protocol.name: table for table in tables}
            for one in seen.values():
                for view in one:
                    rows = by_protocol[view.protocol.name]
                    kept = None if view.stems is None else set(view.stems).intersection(rows.stems)
                    found.rows[method.name, view_id(view)] = rows if kept is None else rows.select(kept)
    if scored:
        console.print(f"scored {scored:,} maps in {spent:.1f} s, {scored / max(spent, 1e-9):.0f} a second")


def _held_out(methods: Sequence[AnyMethod], dataset: str) -> list[str] | None:
    """Pictures of a data set that a method's own training left for test, where its run says so.

    Raises ArnError where two methods were trained on different parts: no figure would compare them.
    """
    found: dict[str, list[str]] = {}
    for method in methods:
        splits = Path(method.source) / "splits.json"
        if method.kind == "checkpoint" and splits.is_file():
            rest = load_split(splits).get("rest", {})
            if dataset in rest:
                found[method.name] = rest[dataset]
    if len({tuple(stems) for stems in found.values()}) > 1:
        raise ArnError(
            f"{', '.join(found)} were trained on different parts of {dataset}: bench them one by one, or train them "
            "with one seed"
        )
    return next(iter(found.values()), None)


def _content(
    found: Found,
    rules: Rules,
    plain: Mapping[str, Any],
    cache: Cache,
    reference: dict[str, Any] | None,
    command: str,
    begun: float,
) -> dict[str, Any]:
    options: dict[str, Any] = {key: plain[key] for key in ("resamples", "confidence", "seed")}
    entries = []
    for view in found.views:
        for method in found.of(view.dataset):
            rows = found.rows[method.name, view_id(view)]
            seconds = found.seconds.get((method.name, view.dataset))
            device = None if seconds is None else method.device  # type: ignore[union-attr]
            of = len(view.stems) if view.stems is not None else found.covered[view.dataset].of
            entries.append(score_entry(method.name, view, rows, of, cache, **options, seconds=seconds, device=device))
    counts = {name: one.of for name, one in found.covered.items()}
    used = {view.protocol.name: view.protocol for view in found.views}
    return {
        "schema": SCHEMA,
        "title": f"{', '.join(method.name for method in found.methods)} on {', '.join(found.sources)}",
        "provenance": {
            "command": command,
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)),
            **provenance(),
            "machine": {"processor": processor()},
            "seconds": round(time.time() - begun, 2),
            **options,
            "coverage": plain["coverage"],
        },
        "methods": describe_methods(found.methods),
        "protocols": describe_protocols(used.values()),
        "views": describe_views(found.views, counts),
        "scores": entries,
        "comparisons": comparisons(entries, found.rows, cache, **options),
        "warnings": _warnings(found),
        "printed": reference,
    }


def _warnings(found: Found) -> list[str]:
    """What must not be overlooked beside a figure: pictures left out, and tests on what was trained on."""
    from arn.data.catalogue import known_overlap

    told = []
    for name, covered in found.covered.items():
        if covered.notes:
            told.append(
                f"{name}: {len(covered.indices)} of {covered.of} pictures scored (coverage=intersect). "
                + "; ".join(covered.notes)
            )
    for method in found.methods:
        for trained in method.trained_on or ():
            for dataset in found.sources:
                overlap = known_overlap(Path(trained).name, dataset)
                if overlap and method in found.of(dataset):
                    told.append(f"{method.name} was trained on {trained} and is tested on {dataset}: {overlap}")
    names = list(found.sources)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            overlap = known_overlap(first, second)
            if overlap:
                told.append(f"{first} and {second} are not independent test sets: {overlap}")
    return told


# ----------------------------------------------------------------------------------------------------------- writing


def _write(
    content: dict[str, Any],
    found: Found,
    columns: Sequence[str],
    plain: Mapping[str, Any],
    run: Path,
    cache: Cache,
    workers: Workers,
) -> None:
    from arn.report.browser import media, spread, view_rows
    from arn.report.figures import choose_rows, draw_all, grid, slug
    from arn.report.page import write_page
    from arn.report.tables import latex, markdown, per_image_csv, scores_csv

    by_label = [
        (method.name, view.dataset, view.label, found.rows[method.name, view_id(view)])
        for view in found.views
        for method in found.of(view.dataset)
    ]
    files: dict[str, bytes] = {
        "scores.csv": scores_csv(content).encode(),
        "per_image.csv": per_image_csv(by_label).encode(),
        "table.md": markdown(content, columns).encode(),
        "table.tex": latex(content, columns).encode(),
        "bench.json": (json.dumps(content, allow_nan=False) + "\n").encode(),
    }
    # Worker processes draw the thumbnails while this one draws the figures.
    with ThreadPoolExecutor(1) as beside:
        waiting: dict[str, Future[Any]] = {}
        shown_note = []
        for dataset, source in found.sources.items():
            stems, errors = _errors(found, dataset)
            at = {stem: index for index, stem in enumerate(source.stems)}
            maps = _maps_of(found.of(dataset), dataset, source)
            if plain["browser"]:
                chosen = [at[stems[number]] for number in spread(errors, plain["browser"])]
                waiting[dataset] = beside.submit(media, source, chosen, maps, cache, workers)
                if len(chosen) < len(stems):
                    shown_note.append(
                        f"{dataset}: {len(chosen)} of {len(stems):,} pictures are drawn, spread evenly from the "
                        "easiest to the hardest by the methods' mean MAE"
                    )
            if plain["figures"]:
                rows = []
                for number, why in choose_rows(errors):
                    index = at[stems[number]]
                    images = _small([*source.read(index), *_levels(maps(index), cache)])
                    rows.append((stems[number], why, images, [float(one) for one in errors[:, number]]))
                title = f"{dataset}: lowest and highest mean MAE, and largest disagreement (MAE below each map)"
                for suffix, data in grid(title, [method.name for method in found.of(dataset)], rows, cache):
                    files[f"figures/grid_{slug(dataset)}.{suffix}"] = data
        if plain["figures"]:
            files |= {f"figures/{name}": data for name, data in draw_all(content, cache).items()}
        pictures = {dataset: future.result() for dataset, future in waiting.items()}

    rows_of_views = {
        view_id(view): view_rows(
            {method.name: found.rows[method.name, view_id(view)] for method in found.of(view.dataset)}
        )
        for view in found.views
    }
    for name, data in files.items():
        write_atomically(run / name, data)
    write_page(
        run / "index.html", content, {"view_rows": rows_of_views, "media": pictures, "note": "; ".join(shown_note)}
    )


def _errors(found: Found, dataset: str) -> tuple[tuple[str, ...], Any]:
    """Stems and MAE, methods x pictures, under the first protocol; zeros where the MAE was not measured."""
    view = next(view for view in found.views if view.dataset == dataset)
    tables = [found.rows[method.name, view_id(view)] for method in found.of(dataset)]
    if "mae" not in tables[0].measures:
        return tables[0].stems, np.zeros((len(tables), len(tables[0])))
    return tables[0].stems, np.array([rows["mae"] for rows in tables])


def _maps_of(methods: Sequence[AnyMethod], dataset: str, source: Source) -> Any:
    files = {method.name: method.files(dataset) for method in methods if isinstance(method, MapFolder)}

    def maps(index: int) -> dict[str, Path | bytes]:
        stem = source.stems[index]
        return {
            method.name: files[method.name][stem] if method.name in files else map_key(method, source, index)  # type: ignore[arg-type]
            for method in methods
        }

    return maps


def _levels(maps: Mapping[str, Path | bytes], cache: Cache) -> list[Any]:
    from arn.data.images import read_map
    from arn.evaluation.work import stored_map

    return [read_map(place) if isinstance(place, Path) else stored_map(cache, place) for place in maps.values()]


def _small(images: Sequence[Any], side: int = 320) -> list[Any]:
    from arn.data.transforms import resize

    height, width = images[0].shape[:2]
    scale = min(1.0, side / max(height, width))
    return [resize(image, max(1, round(height * scale)), max(1, round(width * scale))) for image in images]


def _log(config: DictConfig, content: dict[str, Any], run: Path) -> None:
    chosen = (to_plain(config.get("logger")) or {}).get("wandb")
    if chosen is not None:
        from arn.report.dashboard import log_bench

        log_bench(chosen, content, run)
