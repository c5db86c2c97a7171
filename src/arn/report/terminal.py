"""Tables that a training and a sweep print: stages of the network, scores of a run, scores of all jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Column, Table


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
