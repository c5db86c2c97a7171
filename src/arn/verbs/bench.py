"""``arn bench``: score any methods on any data sets, and lay the scores out as tables, figures and a page."""

from __future__ import annotations

import contextlib
import shlex
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from arn.config.compose import Composed, run_hydra
from arn.config.instantiate import instantiate
from arn.config.requests import BenchRequest
from arn.config.units import size_told
from arn.data.decoders import limit_megapixels
from arn.errors import ArnError
from arn.evaluation.bench import Bench
from arn.evaluation.cache import Cache
from arn.evaluation.choice import choose_methods
from arn.evaluation.file_memory import FileMemory
from arn.evaluation.given_maps import with_found_maps
from arn.evaluation.map_scan import methods_file
from arn.evaluation.scoring import Part
from arn.evaluation.upkeep import keep_up
from arn.evaluation.work import Workers
from arn.files import check_unclaimed, remembering, remove_if_empty, write_atomically
from arn.multirun.jobs import Job, Launcher, run_and_tell
from arn.report import xlsx
from arn.report.figures import check_style
from arn.report.terminal import Bars
from arn.verbs import bench_cache

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["scan"]:
        scan(arguments[1:])
        return
    if arguments[:1] == ["cache"]:
        bench_cache.main(arguments[1:])
        return
    run_hydra("bench", recipe, arguments, multirun=multirun)


def scan(arguments: list[str]) -> None:
    """``arn bench scan DIR [-o FILE] [datasets=[A,B]]``: a file for ``from=`` of the maps below a folder."""
    words, asked, output = [], "", None
    rest = iter(arguments)
    for word in rest:
        if word in ("-o", "--output"):
            output = Path(next(rest, ""))
        elif word.startswith("datasets="):
            asked = word.removeprefix("datasets=").strip("[]")
        else:
            words.append(word)
    if len(words) != 1 or words[0].startswith("-") or output == Path():
        raise ArnError("usage: arn bench scan DIR [-o FILE] [datasets=[NAME,NAME]]")
    if output is not None and output.exists():
        raise ArnError(f"{output} is there already: remove it, or name another file")
    datasets = [name.strip() for name in asked.split(",") if name.strip()]
    text = methods_file(Path(words[0]), datasets, Path() if output is None else output.parent)
    console.print(text, end="", markup=False)
    if output is not None:
        write_atomically(output, text.encode())
        console.print(f"written: {output}; next: arn bench from={output}")


def recipe(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    job = HydraConfig.get()
    run = Path(job.runtime.output_dir)
    overrides = list(job.overrides.task)
    try:
        given = any(_key(override) == "hydra.run.dir" for override in job.overrides.hydra)
        if not given and any(run.iterdir()):  # called as the second, which was another bench's: the clock went back
            raise ArnError(f"{run} is another bench's already: start again, or name a folder, hydra.run.dir=PATH")
        request = BenchRequest.of(config)
        limit_megapixels(request.max_megapixels)
        if request.shards is not None:
            rest = [override for override in overrides if _key(override) != "shards"]
            count = request.shards
            spread(request, [[*rest, f"shard={number}/{count}"] for number in range(1, count + 1)], run)
        bench(request, run, shlex.join(["arn", "bench", *overrides]))
    except BaseException:
        remove_if_empty(run)
        raise


def multirun(composed: list[Composed]) -> None:
    """``arn bench -m key=A,B``: each in a process of its own; if they are all shards of one bench, its tables too."""
    first = composed[0]
    requests = [BenchRequest.of(one.config) for one in composed]
    parts = [Part.parse(request.shard) for request in requests]
    count = parts[0].of
    whole = count > 1 and sorted((part.number, part.of) for part in parts) == [(k, count) for k in range(1, count + 1)]
    alike = [replace(request, shard=None, shards=None) for request in requests]
    together = whole and all(request == alike[0] for request in alike)
    spread(alike[0], [list(one.overrides) for one in composed], first.sweep, parts=together)
    if together:
        overrides = [override for override in first.overrides if _key(override) != "shard"]
        bench(alike[0], first.sweep, shlex.join(["arn", "bench", *overrides]))


def _key(override: str) -> str:
    return override.lstrip("+").partition("=")[0]


def spread(request: BenchRequest, commands: Sequence[list[str]], run: Path, parts: bool = True) -> None:
    """Run ``arn bench`` with each of these lists of overrides as a job of the launcher, and wait for them.

    `parts`: they are shards, whose only result is in the cache; else each has a folder of its own below `run`. Raises
    ArnError for a job that failed, named with its log, after all others were run.
    """
    launcher: Launcher = instantiate(request.launcher or {}, "launcher")
    names = [f"shard{number}" if parts else str(number) for number in range(1, len(commands) + 1)]
    jobs = [Job(name, run / name, None, ("bench",), tuple(given)) for name, given in zip(names, commands, strict=True)]
    failed = run_and_tell(jobs, launcher, run, console.print)
    if failed:
        told = f"{len(failed)} of {len(jobs)} jobs failed: {', '.join(failed)}"
        raise ArnError(f"{told}; what is scored stays in the cache")


def bench(request: BenchRequest, run: Path, command: str = "arn bench") -> dict[str, Any]:
    """Score what is asked for, and write the run. Returns the content of bench.json; {} for one shard of several.

    Raises ArnError for whatever is wrong with methods, data sets, keys or coverage, before anything is scored.
    """
    begun = time.monotonic()
    written = ("scores.csv", "per_image.csv", "table.md", "table.tex", "bench.json", "index.html", "figures")
    check_unclaimed(run, written, (run / "bench.json").is_file(), "hydra.run.dir")
    if request.xlsx:
        xlsx.check()
    if request.style is not None:
        check_style(request.style)
    where = request.cache
    kept = tempfile.TemporaryDirectory(prefix="arn-bench-") if where is None else contextlib.nullcontext(where)
    with kept as folder, Cache(folder) as cache:
        with FileMemory(cache) as memory, remembering(memory):
            content = scored_and_written(request, run, command, begun, cache)
        entries, size = keep_up(cache, request.cache_bytes)
    if size > 0:
        told = f"{entries:,} entries longest out of use were dropped, {size_told(size)}"
        console.print(f"cache: {told}: cache_limit={request.cache_limit}")
    return content


def scored_and_written(request: BenchRequest, run: Path, command: str, begun: float, cache: Cache) -> dict[str, Any]:
    """As :func:`bench`; `begun` by `time.monotonic`."""
    request = with_found_maps(request, console.print)
    bench = Bench(request, choose_methods(request, console.print), console.print)
    with Workers(request.processes) as workers, Bars(console) as bars:
        scored = 0

        def count(method: str, dataset: str, done: int, total: int) -> None:
            nonlocal scored
            scored += done
            bars.advance(f"{method} on {dataset}", done, total)

        spent = bench.score(cache, workers, count)
        if scored:
            console.print(f"scored {scored:,} maps in {spent:.1f} s, {scored / max(spent, 1e-9):.0f} a second")
        if bench.part.of > 1:
            remove_if_empty(run)
            console.print(
                f"shard {bench.part.number} of {bench.part.of} is scored into {request.cache}; the same command "
                "without shard= writes the tables when all of them are"
            )
            return {}
        from arn.report.bench import write_bench
        from arn.report.tables import markdown

        content = bench.content(cache, command, begun)
        write_bench(bench, content, run, cache, workers)
    if request.logger:
        from arn.report.dashboard import log_bench

        log_bench(request.logger, content, run)
    console.print(markdown(content, bench.columns))
    console.print(f"page:   {run / 'index.html'}")
    if request.printed:
        console.print(f"beside what is printed: {run / 'table1.md'}, table1.tex")
    console.print(f"tables: {run / 'table.md'}, table.tex, scores.csv, per_image.csv, bench.json, figures/")
    return content
