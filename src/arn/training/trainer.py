"""Lightning's trainer as a run has it: checkpoints, callbacks, precision, and how many steps there will be."""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, RichProgressBar

from arn.config.instantiate import instantiate
from arn.config.requests import TrainRequest
from arn.data.datamodule import SaliencyDataModule
from arn.errors import ArnError
from arn.loggers import RunLogger
from arn.runs import Run
from arn.training.callbacks import ProgressLines, StopAt, ValidationLog
from arn.training.checkpoints import AtomicCheckpointIO, Checkpoints
from arn.training.finite import Finite
from arn.training.panels import Panels
from arn.training.stopping import Signals


def build_trainer(
    request: TrainRequest,
    run: Run,
    loggers: Sequence[RunLogger],
    first: Sequence[Callback],
    signals: Signals,
    changed: bool = False,
) -> pl.Trainer:
    """The trainer of a run.

    Args:
        first: callbacks that come before all others.
        changed: a resumed run goes on by other keys than it had, so that its end is no longer one.
    """
    interactive = sys.stdout.isatty()  # a log file gets lines, a terminal a bar
    options = {"log_every_n_steps": 10} | request.trainer
    options["precision"] = choose_precision(options["precision"], options["accelerator"])
    steps = options.pop("max_steps", -1)  # ours, see StopAt
    if steps > 0 and options.get("max_epochs") is None:
        options["max_epochs"] = -1
    best, finite = request.checkpoint, Finite(run)
    callbacks = [
        *first,
        finite,
        *([StopAt(steps)] if steps > 0 else []),
        RichProgressBar() if interactive else ProgressLines(),
        Panels(run, request.panels, loggers),
        ValidationLog(run),
        # After the panels, which show the average of weights, and before checkpoints, which hold both.
        *(instantiate(entry, f"callbacks.{name}") for name, entry in (request.callbacks or {}).items()),
        Checkpoints(run, best.monitor, best.mode, best.minutes, signals, finite, changed),
    ]
    own: dict[str, Any] = {
        "default_root_dir": run.folder,
        "callbacks": callbacks,
        "logger": [logger.lightning for logger in loggers],
        "profiler": _profiler(request, run),
        "plugins": [AtomicCheckpointIO()],
        "use_distributed_sampler": False,  # our own samplers neither pad nor repeat
        "num_sanity_val_steps": 0,
        "enable_progress_bar": interactive,
        "enable_model_summary": False,
    }
    try:
        return pl.Trainer(**options, **own)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, LookupError) as error:
        raise ArnError(f"trainer: {str(error).strip().splitlines()[0]}") from error


def _profiler(request: TrainRequest, run: Run) -> Any:
    profiler = request.profiler
    if not profiler:
        return None
    place = {"dirpath": str(run.folder)} if profiler.get("dirpath", "") is None else {}
    return instantiate({**profiler, **place}, "profiler")


def count_steps(datamodule: SaliencyDataModule, trainer: Mapping[str, Any]) -> int:
    """Optimiser steps of the whole run, by the trainer's options. Raises ArnError where its limit leaves no batch."""
    all_batches = batches = len(datamodule.training_source.stems) // datamodule.batch_size
    limit, interval = trainer["limit_train_batches"], trainer.get("val_check_interval")
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    if batches < 1:
        raise ArnError(f"trainer.limit_train_batches={limit} of {all_batches} batches is none: raise it")
    if isinstance(interval, int) and interval > batches and trainer.get("check_val_every_n_epoch", 1) is not None:
        raise ArnError(f"trainer.val_check_interval={interval}: there are {batches} batches an epoch; lower it")
    if trainer["max_steps"] > 0:
        return int(trainer["max_steps"])
    return math.ceil(batches / trainer["accumulate_grad_batches"]) * int(trainer["max_epochs"])


def choose_precision(asked: str, accelerator: str) -> str:
    """``auto`` is bf16-mixed only where bf16 is multiplied in hardware: emulated, it is many times slower than fp32."""
    if asked != "auto":
        return str(asked)
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    able = torch.cpu.get_capabilities()
    return "bf16-mixed" if able.get("avx512_bf16") or able.get("amx_bf16") else "32-true"


def set_up_process(seed: int) -> None:
    """What holds for the whole process: seed, precision of products, and no remarks that ask nothing of the user."""
    torch.set_float32_matmul_precision("high")
    # A debugging aid of deterministic mode that writes every new tensor twice.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
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
    pl.seed_everything(seed, verbose=False)
