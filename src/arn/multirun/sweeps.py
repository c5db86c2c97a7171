"""The folder of a sweep: the jobs that it was asked for and the runs that are finished in it.

``jobs.json`` is the overrides of every job by its name; a run's folder is called as its job is, or as it was renamed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from arn.files import write_atomically
from arn.runs import Run


class Sweep:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def jobs_file(self) -> Path:
        return self.folder / "jobs.json"

    def jobs(self) -> dict[str, Sequence[str]]:
        """Every job that the sweep was ever asked for, in order: its overrides by name."""
        try:
            jobs = json.loads(self.jobs_file.read_bytes())
        except (OSError, ValueError):
            return {}
        return jobs if isinstance(jobs, dict) else {}

    def add_jobs(self, jobs: Mapping[str, Sequence[str]]) -> None:
        write_atomically(self.jobs_file, json.dumps({**self.jobs(), **jobs}, indent=1).encode())

    def finished(self) -> dict[str, Run]:
        """Every finished run by each hash that it is known by; the hash of a config goes before that of a record."""
        runs = [Run(folder) for folder in sorted(self.folder.iterdir())] if self.folder.is_dir() else []
        hashes = [(run, run.hashes()) for run in runs if run.finished]
        by_record = {known[0]: run for run, known in hashes if known}
        return by_record | {known[-1]: run for run, known in hashes if known}
