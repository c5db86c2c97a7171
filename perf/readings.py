"""The same published maps under every protocol: python -m perf readings

Prints the tables of docs/protocols.md and writes outputs/perf/readings.json.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from arn.data.images import read_map, read_mask
from arn.metrics.functional import Totals, score_row
from arn.metrics.protocols import PROTOCOLS, Protocol
from perf.common import METHODS, real_pairs, versions, write_json

COLUMNS = (
    "mae",
    "max_f",
    "max_f_dataset",
    "max_f_picture",
    "mean_best_f",
    "mean_f",
    "adaptive_f",
    "max_e",
    "adaptive_e",
    "s_measure",
    "weighted_f",
)

ARN2018 = PROTOCOLS["arn2018"]
READINGS: tuple[Protocol, ...] = (
    *PROTOCOLS.values(),
    # One choice at a time, away from arn2018.
    replace(ARN2018, name="arn2018, map as it is", normalise="none"),
    replace(ARN2018, name="arn2018, strict and smoothed", strict=True, smoothing=1e-4),
)


def main(arguments: list[str]) -> None:
    argparse.ArgumentParser(prog="python -m perf readings", description=__doc__).parse_args(arguments)
    totals = {(reading.name, method): Totals(reading) for reading in READINGS for method in METHODS}
    for name, path, truth in real_pairs():
        one, mask = read_map(path), read_mask(truth)
        for reading in READINGS:
            total = totals[reading.name, name.partition("/")[0]]
            total.add(score_row(one, mask, total.protocol, stem=name))
    found: dict[str, Any] = {}
    print("| protocol | method | " + " | ".join(COLUMNS) + " |")
    print("| --- | --- |" + " ---: |" * len(COLUMNS))
    for (protocol, method), total in totals.items():
        scores = total.compute()
        found.setdefault(protocol, {})[method] = {name: scores[name] for name in ("pictures", *COLUMNS)}
        print(f"| {protocol} | {method} | " + " | ".join(f"{scores[name]:.4f}" for name in COLUMNS) + " |")
    path = write_json("readings.json", {"versions": versions("numpy", "numba"), "SOD": found})
    print(f"written: {path}")
