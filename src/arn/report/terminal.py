"""Tables that a training and a sweep print: stages of the network, scores of a run, scores of all jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table


def stages(name: str, network: Any) -> Table:
    """What the network is built of, with the shapes at its input size."""
    from arn.networks import count_parameters, stage_table

    side = int(network.input_size)
    title = f"{name}: {count_parameters(network):,} parameters, shapes at {side} x {side}"
    table = _table(title, ["stage", "kind", "output", "parameters"], right=["parameters"])
    for row in stage_table(network, side):
        indent = "  " if row.name.count(".") == 2 else ""
        table.add_row(indent + row.name, row.kind, " x ".join(map(str, row.shape)), f"{row.parameters:,}")
    return table


def scores(record: Mapping[str, Any]) -> Table:
    """Of a run's record, beside those of the baselines."""
    title = f"{record['name']}, seed {record['seed']}, protocol {record['protocol']}"
    table = _table(title, ["set", "map", "max F", "MAE"], right=["max F", "MAE"])
    table.add_row("validation", record["name"], _figure(record["val"], "max_f"), _figure(record["val"], "mae"))
    for name, tested in record["test"].items():
        for kind, values in {record["name"]: tested, **record["baselines"][name]}.items():
            table.add_row(name, kind, _figure(values, "max_f"), _figure(values, "mae"))
    return table


def jobs(records: Mapping[str, Mapping[str, Any] | None]) -> Table:
    """A line a job of a sweep, by name; a dash where there is no record yet."""
    sets = list(dict.fromkeys(name for record in records.values() if record for name in record["test"]))
    columns = ["run", "val MAE", *(f"{name} {score}" for name in sets for score in ("max F", "MAE"))]
    table = _table(f"{len(records)} runs, protocol arn2018", columns, right=columns[1:])
    for name, record in records.items():
        if record is None:
            table.add_row(name, "-")
            continue
        values = [_figure(record["test"].get(dataset), key) for dataset in sets for key in ("max_f", "mae")]
        table.add_row(name, _figure(record["val"], "mae"), *values)
    return table


def _table(title: str, columns: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left")
    return table


def _figure(values: Mapping[str, float] | None, key: str) -> str:
    return "-" if values is None else f"{values[key]:.4f}"
