"""The runs of a sweep as they lie on disk, and which of them are the same but for their seed."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from arn.config.identity import ASIDE, UNSEEN
from arn.errors import ArnError
from arn.files import write_atomically
from arn.metrics.functional import Rows
from arn.multirun.jobs import Sweep
from arn.report.tables import per_image_csv
from arn.runs import Run

# What differs between runs without making them another variant: the seed, and what changes no weight.
_NOT_A_CHOICE = ("seed", "data.seed", "name", "data.eval_batch_size", *UNSEEN)


NUMBERS = ("training_seconds", "seconds_per_picture", "pictures_trained_on", "seconds_per_map")
"""Of a record, each a mean over seeds in the report."""


def write_rows(run: Run, name: str, rows: Mapping[str, Rows]) -> None:
    """Keep every test picture's scores in a run, by test set: whole, and as CSV to be read with the method's name."""
    run.write_rows(rows)
    by_set = [(name, dataset, dataset, table) for dataset, table in rows.items()]
    write_atomically(run.rows_csv, per_image_csv(by_set).encode())


def _is_record(record: Mapping[str, Any]) -> bool:
    """Whether it has what is read of it here, of the right kinds."""

    def is_number(value: Any) -> bool:
        return isinstance(value, int | float) and math.isfinite(value)

    kinds = {"name": str, "seed": int, "parameters": int, "test": dict}
    whole = all(isinstance(record.get(key), kind) for key, kind in kinds.items())
    return whole and all(record.get(key) is None or is_number(record[key]) for key in NUMBERS)


@dataclass(frozen=True)
class FinishedRun:
    """A finished training, read whole."""

    folder: Path
    record: dict[str, Any]
    config: dict[str, Any]
    rows: dict[str, Rows]

    @classmethod
    def of(cls, run: Run) -> FinishedRun:
        """Raises ArnError for a run that is damaged, or whose files do not belong together."""
        record, config = run.record(), run.config()
        if record is None or not _is_record(record) or not isinstance(config.get("network"), Mapping):
            raise ArnError(f"{run} is no run of arn train, or a damaged one ({run.record_file.name} cannot be read)")
        rows = run.rows()
        if set(rows) != set(record["test"]):
            files = f"{run.rows_file.name} and {run.record_file.name}"
            raise ArnError(f"{run}: {files} are of different trainings; train it again")
        return cls(run.folder, record, config, rows)

    @property
    def seed(self) -> int:
        return int(self.record["seed"])

    @property
    def choices(self) -> dict[str, str]:
        """Every key that makes a variant, dotted, with its value as JSON."""
        kept = {key: value for key, value in self.config.items() if key not in ASIDE}
        return {key: value for key, value in _flat(kept).items() if key not in _NOT_A_CHOICE}


def _flat(config: Mapping[str, Any], place: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in config.items():
        name = f"{place}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: json.dumps(value, default=str)}
    return found


@dataclass
class Variant:
    """Runs that differ in their seed only, in its order."""

    name: str
    settings: dict[str, Any]  # of the keys in which the variants of the sweep differ
    runs: list[FinishedRun]

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]


def read_runs(folder: Path) -> tuple[list[FinishedRun], list[Path]]:
    """Every finished run below a folder, and the folders of those that were begun and not finished.

    Raises ArnError where there is no finished run, or one of them cannot be read.
    """
    if not folder.is_dir():
        raise ArnError(f"runs={folder} is not a folder; give the folder of a sweep, as arn sweep prints it")
    runs = [FinishedRun.of(run) for run in Run.below(folder) if run.finished]
    unfinished = [run.folder for run in Run.below(folder) if not run.finished]
    places = {name: number for number, name in enumerate(Sweep(folder).jobs())}
    runs.sort(key=lambda run: places.get(run.folder.name, len(places)))
    if not runs:
        begun = f"; {len(unfinished)} are begun: start the sweep again" if unfinished else ""
        raise ArnError(f"runs={folder}: there is no finished run in it{begun}")
    return runs, unfinished


def variants(runs: Sequence[FinishedRun]) -> list[Variant]:
    """The runs by what they were trained as, each kind named by what sets it apart.

    Raises ArnError where two runs of one kind have one seed, or the runs were tested on different sets.
    """
    sets = {tuple(sorted(run.rows)) for run in runs}
    if len(sets) > 1:
        raise ArnError(f"the runs were tested on different sets ({', '.join('+'.join(one) for one in sorted(sets))})")
    if not runs[0].rows:
        raise ArnError("the runs were tested on nothing: train with data.test=[NAME]")
    kinds: defaultdict[str, list[FinishedRun]] = defaultdict(list)
    for run in runs:
        kinds[json.dumps(run.choices, sort_keys=True)].append(run)
    choices = [members[0].choices for members in kinds.values()]
    keys = dict.fromkeys(key for one in choices for key in one)
    apart = [key for key in keys if len({one.get(key) for one in choices}) > 1]
    found = []
    for members, chosen in zip(kinds.values(), choices, strict=True):
        members.sort(key=lambda run: run.seed)
        for one, other in pairwise(members):
            if one.seed == other.seed:
                raise ArnError(f"{one.folder} and {other.folder} are the same training twice; remove one of them")
        settings = {key: json.loads(chosen[key]) if key in chosen else None for key in apart}
        found.append(Variant(str(members[0].record["name"]), settings, members))
    names = [one.name for one in found]
    for variant in found:
        if names.count(variant.name) > 1:
            public = [key for key in variant.settings if not key.rpartition(".")[2].startswith("_")]
            said = [f"{key}={json.dumps(variant.settings[key])}".replace('"', "") for key in public]
            variant.name += f" ({', '.join(said)})"
    number = numeric_key(found)
    found.sort(key=lambda one: one.settings[number] if number else 0)
    return found


def numeric_key(found: Sequence[Variant]) -> str | None:
    """The one key in which the variants differ, where it is a number: they lie along an axis."""
    if len(found[0].settings) != 1 or len(found) < 3:
        return None
    (key,) = found[0].settings
    return key if all(type(one.settings[key]) in (int, float) for one in found) else None


def reference(found: Sequence[Variant], name: str | None) -> Variant:
    """The variant that the others are compared with: the one named, else the full model.

    The full model has RCL with its T of 3, and attention, on most stages; of several such, the first of the sweep.
    Raises ArnError where there is none of that name.
    """
    if name is not None:
        by_name = {one.name: one for one in found}
        if name not in by_name:
            raise ArnError(f"reference={name}: there is no such variant; there are {', '.join(by_name)}")
        return by_name[name]

    def reduced(one: Variant) -> tuple[int, int]:
        network = one.runs[0].config["network"]
        groups = (network.get("rcl"), network.get("attention"))
        rcl, attention = (group if isinstance(group, Mapping) else {} for group in groups)
        off = [rcl.get("enabled") is False, attention.get("enabled") is False, rcl.get("steps", 3) != 3]
        stages = attention.get("strides", attention.get("stages", "all"))
        return sum(off), -len(stages) if isinstance(stages, list) else -100

    return min(found, key=reduced)
