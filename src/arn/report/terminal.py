"""Tables that a training and a sweep print: stages of the network, scores of a run, scores of all jobs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table


class Bars:
    """Progress by the name of what is worked on: a bar each on a terminal, in a log a line a minute.

    Args:
        unit: what is counted.
        columns: of the bar, in place of done, total, rate and time left.
        every: seconds between two lines of a log.
    """

    def __init__(
        self, console: Console, unit: str = "pictures", columns: Sequence[ProgressColumn] = (), every: float = 60.0
    ) -> None:
        self.console, self.unit, self.every = console, unit, every
        columns = columns or (MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
        name = TextColumn("{task.description}")
        self.progress = Progress(name, BarColumn(), *columns, console=console, transient=True)
        self.tasks: dict[str, TaskID] = {}
        self.begun: dict[str, float] = {}
        self.said = time.monotonic()

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.progress.stop()

    def advance(self, name: str, done: int, total: int | None) -> None:
        """So many more are done of what has ``total`` in all."""
        known = self.tasks.get(name)
        self.update(name, done + (0 if known is None else self.progress.tasks[known].completed), total)

    def update(self, name: str, completed: float, total: int | None) -> None:
        """So many are done in all."""
        now = time.monotonic()
        if name not in self.tasks:
            self.tasks[name] = self.progress.add_task(name, total=total, rate="")
            self.begun[name] = now
        spent = now - self.begun[name]
        rate = completed / spent if spent > 0 else 0.0
        self.progress.update(self.tasks[name], completed=completed, rate=f"{rate:.3g} {self.unit}/s" if rate else "")
        if not self.console.is_terminal and now - self.said >= self.every:
            self.said = now
            left = f", {timedelta(seconds=round((total - completed) / rate))} left" if total and rate else ""
            of = f" of {total:,}" if total else ""
            self.console.print(f"{name}: {completed:,.0f}{of} {self.unit}, {rate:.3g} a second{left}")


def stages(name: str, network: Any) -> Table:
    """What the network is built of, with the shapes at its input size."""
    from arn.networks import count_parameters, stage_table

    side = int(network.input_size)
    title = f"{name}: {count_parameters(network):,} parameters, shapes at {side} x {side}"
    table = _table(title, ["stage", "kind", "output"], ["parameters"])
    for row in stage_table(network, side):
        indent = "  " if row.name.count(".") == 2 else ""
        table.add_row(indent + row.name, row.kind, " x ".join(map(str, row.shape)), f"{row.parameters:,}")
    return table


def scores(record: Mapping[str, Any]) -> Table:
    """Of a run's record, beside those of the baselines."""
    title = f"{record['name']}, seed {record['seed']}, protocol {record['protocol']}"
    table = _table(title, ["set", "map"], ["max F", "MAE"])
    table.add_row("validation", record["name"], *_figures(record["val"]))
    for name, tested in record["test"].items():
        for kind, values in {record["name"]: tested, **record["baselines"][name]}.items():
            table.add_row(name, kind, *_figures(values))
    return table


def jobs(records: Mapping[str, Mapping[str, Any] | None]) -> Table:
    """A line a job of a sweep, by name; a dash where there is no record yet."""
    sets = list(dict.fromkeys(name for record in records.values() if record for name in record["test"]))
    columns = ["val MAE", *(f"{name} {score}" for name in sets for score in ("max F", "MAE"))]
    table = _table(f"{len(records)} runs, protocol arn2018", ["run"], columns)
    for name, record in records.items():
        if record is None:
            table.add_row(name, "-")
        else:
            tested = [figure for dataset in sets for figure in _figures(record["test"].get(dataset))]
            table.add_row(name, _figures(record["val"])[1], *tested)
    return table


def _table(title: str, texts: Sequence[str], figures: Sequence[str]) -> Table:
    return Table(*texts, *(Column(name, justify="right") for name in figures), title=title)


def _figures(values: Mapping[str, float] | None) -> list[str]:
    """Max F and MAE."""
    return ["-" if values is None else f"{values[key]:.4f}" for key in ("max_f", "mae")]
