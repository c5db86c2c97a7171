"""``arn table1``: the paper's Table 1 as far as it can be measured here, beside what it prints."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from arn.config.compose import run_hydra
from arn.config.requests import BenchRequest
from arn.data.layout import find_dataset
from arn.errors import ArnError
from arn.evaluation.results import TABLE_1_SETS
from arn.files import remove_if_empty
from arn.inference.exports import SHIPPED, shipped
from arn.verbs.bench import bench


def main(arguments: list[str]) -> None:
    run_hydra("table1", recipe, arguments)


def recipe(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    job = HydraConfig.get()
    run = Path(job.runtime.output_dir)
    try:
        request = BenchRequest.of(config)
        if request.printed != "table1":
            raise ArnError("printed= is table1 here; arn bench does without")
        if not request.datasets:
            request = replace(request, datasets=at_hand())
        request = replace(request, checkpoints={SHIPPED[name]: name for name in shipped()} | request.checkpoints)
        bench(request, run, shlex.join(["arn", "table1", *job.overrides.task]))
    except BaseException:
        remove_if_empty(run)
        raise


def at_hand() -> list[str]:
    """Those of the table's data sets whose pictures are there. Raises ArnError where none is."""
    there = []
    for name in TABLE_1_SETS:
        try:
            find_dataset(name)
            there.append(name)
        except ArnError as error:
            missing = error
    if not there:
        raise ArnError(f"none of {', '.join(TABLE_1_SETS)} is there. {missing}")
    return there
