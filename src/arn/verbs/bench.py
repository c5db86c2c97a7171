"""``arn bench``: score any methods on any data sets, and lay the scores out as tables, figures and a page."""

from __future__ import annotations

import contextlib
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from arn.config.compose import Composed, run_hydra
from arn.config.instantiate import instantiate
from arn.config.requests import BenchRequest
from arn.errors import ArnError
from arn.evaluation.bench import Bench
from arn.evaluation.cache import Cache
from arn.evaluation.choice import choose_methods
from arn.evaluation.scoring import Part, Scorer
from arn.evaluation.work import Workers
from arn.files import remove_if_empty
from arn.multirun.jobs import Job, Launcher, run_and_tell

if TYPE_CHECKING:
    from rich.progress import Task

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> None:
    run_hydra("bench", recipe, arguments, multirun=multirun)


def recipe(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    job = HydraConfig.get()
    run = Path(job.runtime.output_dir)
    overrides = list(job.overrides.task)
    try:
        request = BenchRequest.of(config)
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

    Args:
        parts: they are shards, whose only result is in the cache; else each has a folder of its own below `run`.

    Raises:
        ArnError: a job that failed, named with its log, after all others were run.
    """
    launcher: Launcher = instantiate(request.launcher or {}, "launcher")
    names = [f"shard{number}" if parts else str(number) for number in range(1, len(commands) + 1)]
    jobs = [
        Job(name, run / name, None, ("bench",), tuple(overrides))
        for name, overrides in zip(names, commands, strict=True)
    ]
    failed = run_and_tell(jobs, launcher, run, console.print)
    if failed:
        raise ArnError(
            f"{len(failed)} of {len(jobs)} jobs failed: {', '.join(failed)}; what is scored stays in the cache"
        )


def bench(request: BenchRequest, run: Path, command: str = "arn bench") -> dict[str, Any]:
    """Score what is asked for, and write the run. Returns the content of bench.json; {} for one shard of several.

    Raises:
        ArnError: whatever is wrong with methods, data sets, keys or coverage; before anything is scored or written.
    """
    begun = time.time()
    bench = Bench.prepare(request, choose_methods(request, console.print))
    with _cache(request.cache) as cache, Workers(request.processes) as workers, Bars() as bars:
        spent = bench.score(Scorer(bench.rules, cache, workers, progress=bars.advance))
        if bars.scored:
            console.print(
                f"scored {bars.scored:,} maps in {spent:.1f} s, {bars.scored / max(spent, 1e-9):.0f} a second"
            )
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
    _log(request, content, run)
    console.print(markdown(content, bench.columns))
    console.print(f"page:   {run / 'index.html'}")
    console.print(f"tables: {run / 'table.md'}, table.tex, scores.csv, per_image.csv, bench.json, figures/")
    return content


@contextlib.contextmanager
def _cache(folder: str | None) -> Iterator[Cache]:
    """The cache, in a folder that goes when the bench ends where none is to be kept."""
    if folder is not None:
        yield Cache(folder)
        return
    with tempfile.TemporaryDirectory(prefix="arn-bench-") as temporary:
        yield Cache(temporary)


class Rate(TextColumn):
    """Pictures a second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Any:
        from rich.text import Text

        return Text(f"{task.speed:.0f} pictures/s" if task.speed else "")


class Bars:
    """A bar a method and data set.

    Attributes:
        scored: pictures so far, over all bars.
    """

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=console, transient=True)
        self.tasks: dict[tuple[str, str], TaskID] = {}
        self.scored = 0

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def advance(self, method: str, dataset: str, done: int, total: int) -> None:
        if (method, dataset) not in self.tasks:
            self.tasks[method, dataset] = self.progress.add_task(f"{method} on {dataset}", total=total)
        self.progress.advance(self.tasks[method, dataset], done)
        self.scored += done


def _log(request: BenchRequest, content: dict[str, Any], run: Path) -> None:
    chosen = (request.logger or {}).get("wandb")
    if chosen is not None:
        from arn.report.dashboard import log_bench

        log_bench(chosen, content, run)
