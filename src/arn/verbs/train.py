"""``arn train``: train a network, score its best checkpoint on the test sets, draw its maps, write the run's record."""

from __future__ import annotations

import contextlib
import csv
import datetime
import hashlib
import json
import math
import os
import platform
import secrets
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.table import Table

from arn.config.compose import run_hydra
from arn.config.identity import run_hash
from arn.config.instantiate import instantiate, to_plain
from arn.data.catalogue import data_root
from arn.data.datamodule import SaliencyDataModule
from arn.data.sources import Source
from arn.errors import ArnError
from arn.files import write_atomically
from arn.inference.predictor import Predictor
from arn.inference.weights import load_network, load_weights, read_checkpoint
from arn.metrics import SaliencyMetrics
from arn.multirun.jobs import EXPECTED
from arn.networks import GradientFreeNetwork, count_parameters, stage_table
from arn.provenance import provenance as config_provenance
from arn.report.runs import write_rows
from arn.training.callbacks import (
    AtomicCheckpointIO,
    Panels,
    ProgressLines,
    SameConfig,
    Throughput,
    ValidationLog,
    draw_panels,
    log_images,
    write_png,
)
from arn.training.learning import learn
from arn.training.task import SaliencyTask
from arn.verbs import remove_if_empty

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> None:
    run_hydra("train", recipe, arguments)


def recipe(config: DictConfig) -> float:
    """Train as the config says; returns the best validation score, which a sweep can optimise."""
    from hydra.core.hydra_config import HydraConfig

    job = HydraConfig.get()
    run = Path(job.runtime.output_dir)
    fresh = not any(run.iterdir())
    try:
        if config.resume:
            config = _config_to_resume(Path(str(config.resume)), list(job.overrides.task))
        with only_one(run):
            return train(config, run, " ".join(["arn train", *job.overrides.task]))
    except (ArnError, OSError) as error:
        if fresh and not list(run.glob("checkpoints/*.ckpt")):  # nothing to go on from: leave nothing half-written
            shutil.rmtree(run, ignore_errors=True)
            remove_if_empty(run.parent)
        if isinstance(error, OSError):
            raise ArnError(f"cannot write to the run's folder {run}: {error.strerror or error}") from error
        raise
    finally:
        _finish_wandb()


@contextlib.contextmanager
def only_one(run: Path) -> Iterator[None]:
    """Hold a run's folder against other trainings, as long as this process lives; rank 0 does it for all ranks.

    Raises:
        ArnError: another process trains in it: two sweeps were started in one folder, or a job was queued twice.
    """
    with contextlib.ExitStack() as stack:
        if _first_rank():
            try:
                import fcntl  # not there on Windows

                file = stack.enter_context((run / ".lock").open("a"))
                # Of the process, not of the open file: the loader processes, which outlive a killed training by some
                # seconds, do not inherit it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stack.callback((run / ".lock").unlink, missing_ok=True)
            except BlockingIOError as error:
                raise ArnError(f"{run}: another process is training in this folder; wait for it, or end it") from error
            except (ImportError, OSError):
                pass  # a system or a file system without locks
        yield


def _first_rank() -> bool:
    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0


def train(config: DictConfig, run: Path, command: str = "") -> float:
    begun = time.time()
    plain = to_plain(config)
    resume = plain.pop("resume", None)
    _check_expected(plain)
    _quiet()
    torch.set_float32_matmul_precision("high")
    # A debugging aid of deterministic mode that writes every new tensor twice.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    pl.seed_everything(config.seed, verbose=False)

    # What can be wrong with the data or the config is found before anything is written.
    datamodule: SaliencyDataModule = instantiate(config.data, "data")
    datamodule.setup()
    network = instantiate(config.network, "network")
    backbone_weights = "checkpoint" if resume else "random"
    if config.pretrained and not resume and not config.start_from:
        backbone_weights = network.backbone.load_imagenet(data_root() / "weights")
    if config.start_from and not resume:
        load_weights(network, load_network(config.start_from)[0].state_dict(), f"start_from={config.start_from}")
        backbone_weights = str(config.start_from)
    task = SaliencyTask(
        network,
        loss=instantiate(config.loss, "loss"),
        optimizer=instantiate(config.optimizer, "optimizer"),
        schedule=plain["schedule"],
        config=plain,
        backbone_lr=config.backbone_lr,
        freeze_backbone_norm=config.freeze_backbone_norm,
        test_names=datamodule.test_names,
        seed=config.seed,
        total_steps=count_steps(datamodule, plain["trainer"]),
    )
    last = _resume_point(run) if resume else None
    throughput, same = Throughput(), SameConfig(plain, run)
    trainer = build_trainer(config, plain, run, [same, throughput])

    if trainer.is_global_zero:
        run.mkdir(parents=True, exist_ok=True)
        (run / "metrics.json").unlink(missing_ok=True)  # of an earlier end: until the next one, the run is not finished
        write_atomically(run / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(plain)).encode())
        split_hash = datamodule.write_splits(run / "splits.json")
        print_stages(config.name, network, run)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(plain)
    else:
        split_hash = None

    network.to(memory_format=torch.channels_last)
    if isinstance(network, GradientFreeNetwork):
        learn_alone(network, task, trainer, datamodule, throughput, last)
    else:
        trainer.fit(task, datamodule=datamodule, ckpt_path=last, weights_only=True)

    weights = weights_by_rank(trainer, network)
    # Now: to validate or test from a checkpoint sets every callback back to what it was when that was written.
    pictures, seconds = throughput.pictures, throughput.seconds

    best = run / "checkpoints" / "best.ckpt"
    if not trainer.checkpoint_callback.best_model_path:  # type: ignore[union-attr]
        trainer.save_checkpoint(best)  # nothing was validated on the way
    (validated,) = trainer.validate(task, datamodule=datamodule, ckpt_path=str(best), weights_only=True, verbose=False)
    tested = trainer.test(task, datamodule=datamodule, ckpt_path=str(best), weights_only=True, verbose=False)
    found = trainer.checkpoint_callback.best_model_score  # type: ignore[union-attr]
    if isinstance(network, GradientFreeNetwork):
        found = validated.get(config.checkpoint.monitor)
    score = float("nan") if found is None else float(found)
    if trainer.is_global_zero:
        record = {
            "name": config.name,
            "config_hash": run_hash(plain),
            "config_hash_by_rank": same.by_rank,
            "seed": config.seed,
            "network": plain["network"],
            "parameters": count_parameters(network),
            "backbone_weights": backbone_weights,
            "protocol": "arn2018",
            "best": {
                "monitor": config.checkpoint.monitor,
                "value": None if found is None else score,
                "step": _step_of(best),
            },
            "val": {key: float(validated[f"val/{key}"]) for key in ("max_f", "mae")},
            "test": _by_set(tested, datamodule.test_names),
            "baselines": {name: baselines(source) for name, source in datamodule.test_sources.items()},
            "pictures_trained_on": pictures,
            "training_seconds": round(seconds, 1),
            "seconds_per_picture": round(seconds / max(pictures, 1), 5),
            "total_seconds": round(time.time() - begun, 1),
            "split_sha256": split_hash,
            "precision": str(trainer.precision),
            "weights_sha256_by_rank": weights,
            **provenance(command),
        }
        predictor = Predictor(*load_network(best))
        record["seconds_per_map"] = seconds_per_map(predictor, datamodule)
        write_rows(run, config.name, task.test_rows)
        # Last of what `arn report` reads: a folder with a metrics.json is whole.
        write_atomically(run / "metrics.json", (json.dumps(record, indent=2) + "\n").encode())
        draw_curve(run)
        sheets = draw_test_panels(predictor, datamodule, run, config.panels)
        log_images(trainer.loggers, "test", [sheet for _, sheet in sheets])
        log_to_wandb(trainer.loggers, record, best)
        print_scores(record, run, [path for path, _ in sheets])
    return score


def learn_alone(
    network: GradientFreeNetwork,
    task: SaliencyTask,
    trainer: pl.Trainer,
    datamodule: SaliencyDataModule,
    throughput: Throughput,
    last: str | None,
) -> None:
    """What `trainer.fit` is for other networks: each rank learns the same by itself, and ``last.ckpt`` is written.

    A run that has its ``last.ckpt`` has learnt everything: resumed, it goes on with scoring.
    """
    if last is None:
        try:
            throughput.pictures, throughput.seconds = learn(network, datamodule, task.seed, say=trainer.is_global_zero)
        except ValueError as error:
            raise ArnError(f"data.train: {error}") from error
    trainer.validate(task, datamodule=datamodule, ckpt_path=last, weights_only=True, verbose=False)
    if last is None:
        trainer.save_checkpoint(Path(trainer.default_root_dir) / "checkpoints" / "last.ckpt")


def build_trainer(config: DictConfig, plain: dict[str, Any], run: Path, first: list[Callback]) -> pl.Trainer:
    checkpoints = run / "checkpoints"
    interactive = sys.stdout.isatty()  # a log file gets lines, a terminal a bar
    options = {"log_every_n_steps": 10} | plain["trainer"]
    options["precision"] = choose_precision(options["precision"], options["accelerator"])
    best = ModelCheckpoint(
        checkpoints,
        filename="best",
        monitor=config.checkpoint.monitor,
        mode=config.checkpoint.mode,
        enable_version_counter=False,
    )
    every_epoch = ModelCheckpoint(checkpoints, filename="last", enable_version_counter=False)
    between = ModelCheckpoint(
        checkpoints,
        filename="last",
        train_time_interval=datetime.timedelta(minutes=config.checkpoint.minutes),
        enable_version_counter=False,
    )
    profiler = plain.get("profiler") or None
    return pl.Trainer(
        **options,
        default_root_dir=run,
        callbacks=[
            *first,
            RichProgressBar() if interactive else ProgressLines(),
            Panels(run / "figures", config.panels),
            ValidationLog(run / "validation.jsonl"),
            # After the panels, which show the average of weights, and before checkpoints, which hold both.
            *(instantiate(one, f"callbacks.{name}") for name, one in (plain.get("callbacks") or {}).items()),
            best,
            between,
            every_epoch,
        ],
        logger=make_loggers(plain, run),
        profiler=None if profiler is None else instantiate(profiler, "profiler"),
        plugins=[AtomicCheckpointIO()],
        use_distributed_sampler=False,  # our own samplers neither pad nor repeat
        num_sanity_val_steps=0,
        enable_progress_bar=interactive,
        enable_model_summary=False,
    )


def make_loggers(plain: dict[str, Any], run: Path) -> list[Any]:
    """The loggers, W&B's told what the run is one of: group, job type, a tag for each override, and which run it was.

    A run that resumes goes on as the W&B run that it was; its id lies in ``<run>/wandb.id``.
    """
    loggers = []
    for name, one in plain["logger"].items():
        extra: dict[str, Any] = {}
        if one["_target_"].endswith("WandbLogger"):
            known = run / "wandb.id"
            if _first_rank() and not known.is_file():
                write_atomically(known, secrets.token_hex(4).encode())
            identity = known.read_text() if known.is_file() else None  # other ranks log nothing
            extra = {"id": identity, "resume": "allow", "group": plain.get("sweep"), "job_type": "train"}
        loggers.append(instantiate(one, f"logger.{name}", **extra))
    return loggers


def log_to_wandb(loggers: Sequence[Any], record: dict[str, Any], best: Path) -> None:
    """The scores as summary of the W&B run and the best checkpoint as its artifact; nothing without W&B."""
    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            continue
        import wandb

        session = logger.experiment
        for name, scores in record["test"].items():
            for key, value in scores.items():
                session.summary[f"test/{name}/{key}"] = value
        for key in ("parameters", "training_seconds", "seconds_per_picture", "seconds_per_map", "config_hash"):
            session.summary[key] = record[key]
        artifact = wandb.Artifact(f"{record['name']}-{session.id}", type="model", metadata={"best": record["best"]})
        artifact.add_file(str(best))
        session.log_artifact(artifact)


def count_steps(datamodule: SaliencyDataModule, trainer: dict[str, Any]) -> int:
    """Optimiser steps of the whole run."""
    if trainer["max_steps"] > 0:
        return int(trainer["max_steps"])
    batches = len(datamodule.training_source.stems) // datamodule.batch_size
    limit = trainer["limit_train_batches"]
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    return math.ceil(batches / trainer["accumulate_grad_batches"]) * int(trainer["max_epochs"])


def choose_precision(asked: str, accelerator: str) -> str:
    """``auto`` is bf16-mixed only where bf16 is multiplied in hardware: emulated, it is many times slower than fp32."""
    if asked != "auto":
        return str(asked)
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    able = torch.cpu.get_capabilities()
    return "bf16-mixed" if able.get("avx512_bf16") or able.get("amx_bf16") else "32-true"


def baselines(source: Source) -> dict[str, dict[str, float]]:
    """MAE and max F of maps that look at nothing: all black, and a centred Gaussian (sigma: a quarter side)."""
    scores = {
        name: SaliencyMetrics(
            protocol="arn2018", measures=("mae", "f"), sync_on_compute=False
        )  # rank 0 alone does this
        for name in ("blank", "centre blob")
    }
    for index in range(len(source.stems)):
        mask = source.mask(index)
        height, width = mask.shape
        y = (np.arange(height) + 0.5) / height - 0.5
        x = (np.arange(width) + 0.5) / width - 0.5
        blob = np.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / (2 * 0.25**2)).astype(np.float32)
        scores["blank"].update([np.zeros_like(blob)], [mask])
        scores["centre blob"].update([blob], [mask])
    computed = {name: metric.compute() for name, metric in scores.items()}
    return {name: {"mae": float(one["mae"]), "max_f": float(one["max_f"])} for name, one in computed.items()}


def weights_by_rank(trainer: pl.Trainer, network: torch.nn.Module) -> list[str]:
    """SHA-256 of the trained weights on each rank, which must all be equal.

    Raises:
        RuntimeError: ranks ended with different weights: what was trained is not one network.
    """
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    mine = torch.tensor(list(digest.digest()), dtype=torch.uint8, device=trainer.strategy.root_device)
    gathered = trainer.strategy.all_gather(mine).reshape(-1, mine.numel())
    hashes = [bytes(row.tolist()).hex() for row in gathered.cpu()]
    if len(set(hashes)) > 1:
        raise RuntimeError(f"the ranks ended with different weights: {hashes}")
    return hashes


def seconds_per_map(predictor: Predictor, datamodule: SaliencyDataModule, pictures: int = 8) -> float:
    """Median seconds to make one map on the CPU, one at a time, reading apart, after one that warms up."""
    source = next(iter(datamodule.test_sources.values()), datamodule.validation_source)
    taken = []
    for index in np.unique(np.linspace(0, len(source.stems) - 1, pictures + 1).round().astype(int)):
        picture, _ = source.read(int(index))
        begun = time.perf_counter()
        predictor.predict(picture)
        taken.append(time.perf_counter() - begun)
    return round(float(np.median(taken[1:] or taken)), 5)


def draw_curve(run: Path) -> None:
    """``figures/training.png`` and ``.svg`` of a run that logs to CSV."""
    logged = run / "csv" / "metrics.csv"
    if not logged.is_file():
        return
    from arn.report.figures import draw_training

    with logged.open(newline="") as lines:
        for name, data in draw_training(csv.DictReader(lines)).items():
            write_atomically(run / "figures" / name, data)


def draw_test_panels(
    predictor: Predictor, datamodule: SaliencyDataModule, run: Path, rows: int
) -> list[tuple[Path, Any]]:
    sheets = []
    for name, source in datamodule.test_sources.items() if rows else ():
        path = run / "figures" / f"{name.replace('/', '_')}.png"
        sheet = draw_panels(predictor, source, rows)
        write_png(path, sheet)
        sheets.append((path, sheet))
    return sheets


def print_stages(name: str, network: Any, run: Path) -> None:
    side = int(network.input_size)
    table = Table(title=f"{name}: {count_parameters(network):,} parameters, shapes at {side} x {side}")
    for column in ("stage", "kind", "output", "parameters"):
        table.add_column(column, justify="right" if column == "parameters" else "left")
    for row in stage_table(network, side):
        indent = "  " if row.name.count(".") == 2 else ""
        table.add_row(indent + row.name, row.kind, " x ".join(map(str, row.shape)), f"{row.parameters:,}")
    console.print(table)
    console.print(f"run folder: {run}")


def print_scores(record: dict[str, Any], run: Path, panels: list[Path]) -> None:
    table = Table(title=f"{record['name']}, seed {record['seed']}, protocol {record['protocol']}")
    for column in ("set", "map", "max F", "MAE"):
        table.add_column(column, justify="right" if column in ("max F", "MAE") else "left")
    table.add_row("validation", record["name"], f"{record['val']['max_f']:.4f}", f"{record['val']['mae']:.4f}")
    for name, scores in record["test"].items():
        rows = {record["name"]: scores, **record["baselines"][name]}
        for kind, one in rows.items():
            table.add_row(name, kind, f"{one['max_f']:.4f}", f"{one['mae']:.4f}")
    console.print(table)
    for path in panels:
        console.print(f"panels:     {path}")
    console.print(f"checkpoint: {run / 'checkpoints' / 'best.ckpt'}")
    console.print(f"record:     {run / 'metrics.json'}")


def provenance(command: str) -> dict[str, Any]:
    packages = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "albumentations", "timm", "numpy")
    found = config_provenance(packages)
    return {
        "versions": {"arn": found["arn"], **found["versions"]},
        "commit": found["commit"],
        "command": command,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def _processor() -> str:
    name = torch.cpu.get_capabilities().get("cpu_name")
    return f"{name or platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def _by_set(tested: Any, names: list[str]) -> dict[str, dict[str, float]]:
    merged: dict[str, float] = {}
    for one in tested:
        merged |= one
    return {name: {key: float(merged[f"test/{name}/{key}"]) for key in ("max_f", "mae")} for name in names}


def _step_of(path: Path) -> int:
    return int(read_checkpoint(path)["global_step"])


def _resume_point(run: Path) -> str:
    path = run / "checkpoints" / "last.ckpt"
    if not path.is_file():
        raise ArnError(
            f"resume={run}: there is no {path}; the run wrote no checkpoint yet, start it again without resume"
        )
    read_checkpoint(path)
    for unfinished in path.parent.glob(".*.tmp"):  # what a kill left in the middle of a write
        unfinished.unlink()
    return str(path)


def _config_to_resume(run: Path, overrides: list[str]) -> DictConfig:
    """The run's own resolved config, with the values given now put over it."""
    path = run / "config.yaml"
    if not path.is_file():
        raise ArnError(f"resume={run}: there is no {path}; name the folder of a run of arn train")
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    for override in overrides:
        key = override.partition("=")[0]
        if key.lstrip("+~") == "resume":
            continue
        parent, _, leaf = key.rpartition(".")
        node = OmegaConf.select(config, parent) if parent else config
        if not isinstance(node, DictConfig) or leaf not in node or OmegaConf.is_config(node[leaf]):
            raise ArnError(f"resume keeps the run's config; only single values can be changed, and {key} is not one")
        config.merge_with_dotlist([override])
    OmegaConf.update(config, "resume", str(run), force_add=True)
    return config


def _check_expected(plain: dict[str, Any]) -> None:
    """A job of a sweep, and every rank of it, trains what the sweep composed or nothing."""
    expected = os.environ.get(EXPECTED)
    if expected is not None and expected != run_hash(plain):
        raise ArnError(
            f"the sweep composed config {expected} for this job, and the job composed {run_hash(plain)}: a config file "
            "or an environment variable changed in between; start the sweep again"
        )


def _finish_wandb() -> None:
    wandb = sys.modules.get("wandb")
    if wandb is not None:
        wandb.finish()


def _quiet() -> None:
    """Silence remarks that ask nothing of the user."""
    import logging

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*GPU available but not used.*",
        ".*exists and is not empty.*",
        ".*smaller than the logging interval.*",
        ".*overridden `on_after_batch_transfer`.*",
        ".*treespec, LeafSpec.*",
        ".*sync_dist=True.*",  # our scores are reduced over ranks already, exactly
        ".*functional.all_gather is deprecated.*",
    ):
        warnings.filterwarnings("ignore", message)
