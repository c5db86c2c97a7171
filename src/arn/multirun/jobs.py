"""The jobs of a sweep: each a training in a process and a folder of its own, skipped when done, resumed when begun.

A job is known by the hash of what it computes, so that a sweep with more seeds or in another order finds what it has.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from arn.config.compose import Composed, quoted
from arn.config.identity import run_hash
from arn.errors import ArnError
from arn.files import write_atomically
from arn.runs import Run

PROGRAM = (sys.executable, "-m", "arn")  # a module, so that Lightning can start the ranks of a job likewise

TELL_EVERY = 60.0  # seconds between two lines about jobs whose output goes to files

# Set for jobs: the hash of the config that the sweep composed, and the process that started them, with which they end.
EXPECTED, PARENT = "ARN_CONFIG_HASH", "ARN_ENDS_WITH_PARENT"


@dataclass(frozen=True)
class Job:
    """One training."""

    name: str  # different for each job of the sweep
    folder: Path
    hash: str | None  # `run_hash` of its config; None for a trial of a search, whose values are drawn, not composed
    command: tuple[str, ...]  # verb and, of a named sweep, the sweep
    overrides: tuple[str, ...]  # Hydra's, of this job alone
    program: tuple[str, ...] = field(default_factory=lambda: PROGRAM)

    def record(self) -> dict[str, Any] | None:
        """The run's record once it is finished, else None. Raises ArnError where it is one of another config."""
        record = self.run.record()
        if record is not None and self.hash is not None and not self.run.computes(self.hash):
            raise ArnError(
                f"{self.folder} holds a finished run of another config ({record.get('config_hash')}, not {self.hash}): "
                "name another folder, hydra.sweep.dir=PATH"
            )
        return record

    @property
    def run(self) -> Run:
        return Run(self.folder)

    def environment(self, **more: str) -> dict[str, str]:
        """This process's, without what Hydra, Lightning and SLURM left in it for this process alone."""
        own = {"HYDRA_FULL_ERROR", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_PORT", "PL_GLOBAL_SEED", EXPECTED}
        kept = {key: value for key, value in outside_slurm().items() if key not in own}
        # The working folder is no place to import from, which ``-m`` would make it.
        kept |= {PARENT: str(os.getpid()), "PYTHONSAFEPATH": "1"}
        return kept | ({} if self.hash is None else {EXPECTED: self.hash}) | more

    def arguments(self) -> list[str]:
        """Of `arn`, for what is left of the job at this moment."""
        if self.run.begun:
            named = [override for override in self.overrides if override.lstrip("+").startswith("plugins=")]
            return ["train", f"resume={quoted(self.folder)}", *named]
        return [*self.command, *self.overrides, "hydra.mode=RUN", f"hydra.run.dir={quoted(self.folder)}"]


def outside_slurm() -> dict[str, str]:
    """This process's environment as if no SLURM job had started it, but for the processors that it has.

    In a batch job Lightning would take a job's process for a rank, and sbatch the outer job's sizes for the new one's.
    """
    kept = ("SLURM_CONF", "SLURM_CPUS_PER_TASK")
    return {key: value for key, value in os.environ.items() if key in kept or not key.startswith(("SLURM_", "SBATCH_"))}


class Sweep:
    """The folder of a sweep: ``jobs.json`` is the overrides of every job by its name, and a run's folder is called as
    its job is, or as it was renamed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.jobs_file = folder, folder / "jobs.json"

    def jobs(self) -> dict[str, Sequence[str]]:
        """Every job that the sweep was ever asked for, in order: its overrides by name."""
        try:
            jobs = json.loads(self.jobs_file.read_bytes())
        except (OSError, ValueError):
            return {}
        return jobs if isinstance(jobs, dict) else {}

    def add_jobs(self, jobs: Mapping[str, Sequence[str]]) -> None:
        write_atomically(self.jobs_file, json.dumps({**self.jobs(), **jobs}, indent=1).encode())

    def group(self, name: str | None, experiment: str | None) -> str:
        """What loggers put its runs together under: sweep, experiment and the date of its first start."""
        told = [one for overrides in self.jobs().values() for one in overrides if one.startswith("sweep=")]
        if told:
            return told[0].partition("=")[2].strip('"')
        now = time.strftime("%Y-%m-%d" if name else "%Y-%m-%d %H-%M-%S")
        return " ".join([name or "grid", *([experiment] if experiment else []), now])

    def finished(self) -> dict[str, Run]:
        """Every finished run by each hash that it is known by; the hash of a config goes before that of a record."""
        runs = [Run(folder) for folder in sorted(self.folder.iterdir())] if self.folder.is_dir() else []
        hashes = [(run, run.hashes()) for run in runs if run.finished]
        by_record = {known[0]: run for run, known in hashes if known}
        return by_record | {known[-1]: run for run, known in hashes if known}


def make_jobs(composed: Sequence[Composed], command: Sequence[str]) -> list[Job]:
    """A job for each config, in its own folder of the sweep or in the one where its finished run stands already; raises
    ArnError for two that compute the same or would write to one folder."""
    jobs: list[Job] = []
    finished = {sweep: Sweep(sweep).finished() for sweep in {one.sweep for one in composed}}
    for one in composed:
        key = run_hash(one.config)
        given = one.folder.resolve() != one.sweep.resolve()
        name = one.folder.name if given else f"{one.config['name']}_seed{one.config['seed']}_{key[:6]}"
        run = finished[one.sweep].get(key)
        folder = one.folder if given else one.sweep / name if run is None else run.folder
        same = next((job for job in jobs if job.hash == key or job.folder == folder), None)
        if same is not None:
            raise ArnError(
                f"two jobs of the sweep are one and the same, {same.name}: {' '.join(same.overrides)} and "
                f"{' '.join(one.overrides)}"
                if same.hash == key
                else f"two jobs of the sweep have one folder, {folder}: leave hydra.sweep.subdir alone"
            )
        jobs.append(Job(name, folder, key, tuple(command), one.overrides))
    return jobs


def check_expected(config: Mapping[str, Any]) -> None:
    """A job of a sweep, and every rank of it, trains what the sweep composed or nothing."""
    expected, composed = os.environ.get(EXPECTED), run_hash(config)
    if expected not in (None, composed):
        raise ArnError(
            f"the sweep composed config {expected} for this job, and the job composed {composed}: a config file or an "
            "environment variable changed in between; start the sweep again"
        )


class Handle(Protocol):
    """A started job."""

    def poll(self) -> int | None:
        """The exit status, None while it runs."""

    def cancel(self) -> None:
        """End it, and wait for that. What it has written stays."""


class Launcher(Protocol):
    """Where jobs run."""

    jobs: int  # how many at once; each has a place, 0 .. jobs - 1

    def start(self, job: Job, place: int, sweep: Path) -> Handle: ...

    def start_all(self, jobs: Sequence[Job], sweep: Path) -> Sequence[Handle] | None:
        """All at once, into a queue that keeps to `jobs` itself; None where each is started when a place is free."""

    def log(self, job: Job, sweep: Path) -> Path | None:
        """The file that a job's output goes to; None where it is shown."""


class Watcher:
    """What hears of jobs while they run; this one does nothing."""

    def started(self, job: Job) -> None: ...

    def gives_up(self, job: Job) -> bool:
        """Asked for each running job between pauses; True ends it."""
        return False

    def ended(self, job: Job, status: int | None) -> None:
        """Of the exit status, or None where the watcher gave the job up."""


def run_jobs(jobs: Iterable[Job], launcher: Launcher, sweep: Path, watcher: Watcher, pause: float = 0.2) -> None:
    """Run jobs as places become free, or hand a whole list of them to the launcher's queue; look every ``pause`` s.

    An iterator is asked for the next job only when a place is free, so that it can depend on earlier ones. Whatever is
    raised, an interrupt as well, the running jobs are ended first.
    """
    free = set(range(launcher.jobs))
    running: dict[int, tuple[Job, Handle]] = {}
    try:
        queued = launcher.start_all(jobs, sweep) if isinstance(jobs, Sequence) and jobs else None
        if queued is not None:
            running = dict(enumerate(zip(jobs, queued, strict=True)))
            for job, _ in running.values():
                watcher.started(job)
        waiting = iter(jobs if queued is None else ())
        while True:
            while free and (following := next(waiting, None)) is not None:
                place = min(free)
                free.remove(place)
                running[place] = (following, launcher.start(following, place, sweep))
                watcher.started(following)
            if not running:
                break
            for place, (job, handle) in list(running.items()):
                status = handle.poll()
                if status is None:
                    if not watcher.gives_up(job):
                        continue
                    handle.cancel()
                del running[place]
                free.add(place)
                watcher.ended(job, status)
            if running:
                time.sleep(pause)
    finally:
        if running:  # at once: a system that ends a sweep gives it half a minute
            with ThreadPoolExecutor(len(running)) as pool:
                list(pool.map(lambda of_job: of_job[1].cancel(), running.values()))


def run_and_tell(
    jobs: Sequence[Job],
    launcher: Launcher,
    sweep: Path,
    tell: Callable[[str], None],
    done: Callable[[Job], bool] = lambda job: True,
) -> list[str]:
    """Run jobs, telling of each when it starts and ends. Returns those that failed, each with where its output is.

    Args:
        done: asked of a job that ended with status 0.
    """
    failed: list[str] = []
    begun = said = time.monotonic()
    count = 0
    title = {job.name: f"job {number}/{len(jobs)}: {job.name}" for number, job in enumerate(jobs, 1)}

    class Teller(Watcher):
        def started(self, job: Job) -> None:
            log = launcher.log(job, sweep)
            tell(f"{title[job.name]}{'' if log is None else f', output in {log}'}")

        def gives_up(self, job: Job) -> bool:
            nonlocal said
            now = time.monotonic()
            # What a job prints on the terminal itself says enough.
            if launcher.log(job, sweep) is not None and now - said >= TELL_EVERY:
                said, spent = now, now - begun
                left = f", about {timedelta(seconds=round(spent / count * (len(jobs) - count)))} left" if count else ""
                tell(f"{count} of {len(jobs)} jobs ended, {timedelta(seconds=round(spent))} spent{left}")
            return False

        def ended(self, job: Job, status: int | None) -> None:
            nonlocal count
            count += 1
            if status == 0 and done(job):
                tell(f"{title[job.name]} done")
            else:
                failed.append(f"{job.name} ({exit_status(launcher, job, sweep, status)})")
                tell(f"{title[job.name]} failed, exit status {status}")

    run_jobs(jobs, launcher, sweep, Teller())
    return failed


def exit_status(launcher: Launcher, job: Job, sweep: Path, status: int | None) -> str:
    """Of a job that failed, with the file that says why."""
    log = launcher.log(job, sweep)
    return f"exit status {status}{'' if log is None else f', see {log}'}"
