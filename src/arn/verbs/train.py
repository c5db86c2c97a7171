"""``arn train``: train a network, score its best checkpoint on the test sets, draw its maps, write the run's record."""

from __future__ import annotations

import csv
import math
import os
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console

from arn.config.compose import FreshFolder, run_hydra
from arn.config.identity import run_hash
from arn.config.instantiate import check_groups, instantiate, to_plain
from arn.config.requests import TrainRequest
from arn.data.catalogue import data_root
from arn.data.datamodule import SaliencyDataModule
from arn.data.decoders import limit_megapixels
from arn.errors import ArnError
from arn.files import write_atomically
from arn.inference.predictor import Predictor
from arn.inference.weights import build_network, load_network, load_weights, read_checkpoint
from arn.loggers import Place, RunLogger, open_loggers
from arn.metrics.measures import labels
from arn.multirun.jobs import PARENT, check_expected
from arn.networks import check_batch_norm, count_parameters
from arn.networks.base import GradientFreeNetwork, Pretrained, SaliencyNetwork
from arn.report import terminal
from arn.report.runs import write_rows
from arn.runs import Run, first_rank
from arn.training import gradient_free
from arn.training.callbacks import SameConfig, Throughput
from arn.training.ending import check_resume, ending_well
from arn.training.history import History, epochs_done
from arn.training.outcome import Outcome, baselines, judge, machine, seconds_per_map
from arn.training.panels import draw_test_panels
from arn.training.stopping import Signals
from arn.training.task import SaliencyTask
from arn.training.trainer import build_trainer, count_steps, set_up_process

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Training:
    """One training that was asked for."""

    request: TrainRequest
    config: dict[str, Any]  # the request as plain containers, without ``resume``: what is stored and hashed
    run: Run
    command: str  # as it was typed
    signals: Signals = field(default_factory=Signals)
    begun: float = field(default_factory=time.monotonic)


def main(arguments: list[str]) -> None:
    check_resume(arguments)
    run_hydra("train", recipe, arguments)


def recipe(config: DictConfig) -> float:
    """Train as the config says; returns the best validation score, which a sweep can optimise."""
    from hydra.core.hydra_config import HydraConfig

    job = HydraConfig.get()
    overrides = list(job.overrides.task)
    run = Run(job.runtime.output_dir)
    with ending_well(run, fresh=FreshFolder.run) as signals, signals.held():
        plain = to_plain(config) if not config.resume else Run(str(config.resume)).config_to_resume(overrides)
        request = TrainRequest.of(plain)
        limit_megapixels(request.max_megapixels)
        plain.pop("resume", None)
        with run.lock():
            return train(Training(request, plain, run, shlex.join(["arn", "train", *overrides]), signals))


def train(training: Training) -> float:
    request, run = training.request, training.run
    check_expected(training.config)
    check_groups(training.config)
    set_up_process(request.seed)
    # What can be wrong with the data or the config is found before anything is written.
    last = run.resume_point() if request.resume else None
    if last is None and first_rank():
        run.check_free()
    task, datamodule = build(training, last)
    with open_loggers(request.logger, Place(run.folder, "train", request.sweep)) as loggers:
        same_config = SameConfig(training.config, run.folder)
        first = [same_config, Throughput()]
        trainer = build_trainer(request, run, loggers, first, training.signals, task.history.changed)
        if trainer.world_size > 1:
            os.environ[PARENT] = str(os.getpid())  # the ranks that it starts end with it, even where they wait for it
        if datamodule.batch_size == trainer.world_size:
            check_batch_norm(task.network, datamodule.sizes.smallest, request.freeze_backbone_norm)
        split_hash = None  # of drawn scenes there is none
        if trainer.is_global_zero:
            run.begin(training.config)
            split_hash = datamodule.write_splits(run.splits_file)
            console.print(terminal.stages(request.name, task.network))
            console.print(f"run folder: {run}")
            for line in datamodule.passed_over:
                console.print(line)
            for logger in loggers:
                begin(logger, training, task)
        task.network.to(memory_format=torch.channels_last)
        if isinstance(task.network, GradientFreeNetwork):
            gradient_free.fit(trainer, task, datamodule, run, resumed=last is not None)
        else:
            trainer.fit(task, datamodule=datamodule, ckpt_path=last, weights_only=True)
        training.signals.at_once()
        outcome = judge(trainer, task, datamodule, run, request.checkpoint.monitor)
        if trainer.is_global_zero:
            facts = {
                "config_hash_by_rank": same_config.by_rank,
                "split_sha256": split_hash,
                "precision": str(trainer.precision),
            }
            finish_run(training, task, datamodule, outcome, facts, loggers)
    return math.nan if outcome.value is None else outcome.value


def build(training: Training, last: Path | None) -> tuple[SaliencyTask, SaliencyDataModule]:
    """What is trained, and on what; ``last``: the checkpoint that it goes on from. Raises ArnError."""
    request = training.request
    datamodule: SaliencyDataModule = instantiate(request.data, "data")
    datamodule.setup()
    network = build_network(request.network)
    if last is not None:
        checkpoint = read_checkpoint(last)
        history = History.to_go_on(checkpoint, training.config, training.command)
        epochs, done = request.trainer["max_epochs"], epochs_done(checkpoint)
        if epochs is not None and 0 <= epochs < done:
            raise ArnError(f"trainer.max_epochs={epochs}: {last} has {done} behind it")
    else:
        history = History(training.command, start_weights(request, network))
    return SaliencyTask(
        network,
        request,
        training.config,
        test_names=datamodule.test_names,
        total_steps=count_steps(datamodule, request.trainer),
        history=history,
    ), datamodule


def start_weights(request: TrainRequest, network: SaliencyNetwork) -> str:
    """Load what a fresh network starts with; returns where that is from."""
    if request.start_from:
        origin = load_network(request.start_from)[0].state_dict()
        load_weights(network, origin, f"start_from={request.start_from}")
        return request.start_from
    if request.pretrained and isinstance(network.backbone, Pretrained):
        return network.backbone.load_imagenet(data_root() / "weights")
    return "random"


def begin(logger: RunLogger, training: Training, task: SaliencyTask) -> None:
    """Tell a logger what is asked for, which value of a curve stands for the run, and what to watch."""
    request = training.request
    logger.config(training.config)
    directions = {f"val/{key}": "max" if labels()[key].higher else "min" for key in ("mae", "max_f")}
    logger.goals(directions | {"train/loss_step": "min", "train/loss_epoch": "min"})
    if request.watch:
        logger.watch(task.network, request.watch, request.trainer.get("log_every_n_steps", 10))


def finish_run(
    training: Training,
    task: SaliencyTask,
    datamodule: SaliencyDataModule,
    outcome: Outcome,
    facts: dict[str, Any],
    loggers: list[RunLogger],
) -> None:
    """Write the record, draw curves and maps, and show it all."""
    request, run = training.request, training.run
    predictor = Predictor(*load_network(run.best))
    record = {
        "name": request.name,
        "config_hash": run_hash(training.config),
        "seed": request.seed,
        "network": request.network,
        "parameters": count_parameters(task.network),
        "backbone_weights": task.history.backbone_weights,
        "changes": task.history.changes,
        "protocol": "arn2018",
        "best": {"monitor": request.checkpoint.monitor, "value": outcome.value, "step": outcome.step},
        "val": outcome.val,
        "test": outcome.test,
        "baselines": {
            name: baselines(source, task.test_rows[name].stems) for name, source in datamodule.test_sources.items()
        },
        "pictures_trained_on": outcome.pictures,
        "training_seconds": round(outcome.seconds, 1),
        "seconds_per_picture": round(outcome.seconds / max(outcome.pictures, 1), 5),
        "total_seconds": round(time.monotonic() - training.begun, 1),
        "seconds_per_map": seconds_per_map(predictor, datamodule),
        "weights_sha256_by_rank": outcome.weights,
        **facts,
        **machine(task.history.command),
    }
    write_rows(run, request.name, task.test_rows)
    run.finish(record)  # last of what `arn report` reads: a folder that has it is whole
    draw_curve(run)
    panels = draw_test_panels(predictor, datamodule.test_sources, run, request.panels, loggers)
    shown = {f"test/{name}/{key}": value for name, scores in outcome.test.items() for key, value in scores.items()}
    for key in ("parameters", "training_seconds", "seconds_per_picture", "seconds_per_map", "config_hash"):
        shown[key] = record[key]
    for logger in loggers:
        logger.summary(shown)
        logger.artifact(request.name, "model", [run.best], {"best": record["best"]})
    console.print(terminal.scores(record))
    for path in panels:
        console.print(f"panels:     {path}")
    console.print(f"checkpoint: {run.best}")
    console.print(f"record:     {run.record_file}")


def draw_curve(run: Run) -> None:
    """The curves of training, where the run logs to CSV."""
    if not run.logged_values.is_file():
        return
    from arn.report.figures import draw_training

    with run.logged_values.open(newline="") as lines:
        for name, data in draw_training(csv.DictReader(lines)).items():
            write_atomically(run.figures / name, data)
