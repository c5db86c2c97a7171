"""What happens around training steps: progress lines, what is measured, where it ends, the check that ranks agree."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from arn.config.identity import run_hash
from arn.errors import ArnError
from arn.runs import Run


class SameConfig(Callback):
    """Stops every rank when the resolved config of one differs from rank 0's, or its run folder: ranks that something
    else than Lightning started each name one by the clock."""

    def __init__(self, config: dict[str, Any], folder: str | Path = "") -> None:
        self.hash, self.folder = run_hash(config), str(folder)
        self.by_rank = [self.hash]  # of every rank, once they have met

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        first = trainer.strategy.broadcast(self.hash)
        if first != self.hash:
            raise ArnError(
                f"rank {trainer.global_rank} has another config than rank 0 ({self.hash} against {first}): "
                "they would train different networks"
            )
        folder = trainer.strategy.broadcast(self.folder)
        if folder != self.folder:
            raise ArnError(
                f"rank {trainer.global_rank} has the run folder {self.folder}, and rank 0 {folder}: "
                "name one for all of them, hydra.run.dir=PATH"
            )
        if trainer.world_size > 1:
            gathered: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, self.hash)
            self.by_rank = gathered


class StopAt(Callback):
    """Ends a training after so many optimiser steps, with a validation of the last.

    Lightning's own ``max_steps`` leaves that out, and goes on from an epoch's end by counting the epoch twice.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step >= self.steps:
            trainer.should_stop = True


class Throughput(Callback):
    """Counts pictures and seconds spent in training steps, loading included, validation not, over a resumed run too."""

    def __init__(self) -> None:
        self.pictures, self.seconds = 0, 0.0
        self._mark = 0.0

    @classmethod
    def of(cls, trainer: pl.Trainer) -> Throughput:
        """The trainer's own."""
        return next(callback for callback in trainer.callbacks if isinstance(callback, cls))  # type: ignore[attr-defined]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self.seconds += now - self._mark
        self._mark = now
        self.pictures += len(batch["picture"]) * trainer.world_size

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._mark = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        return {"pictures": self.pictures, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.pictures, self.seconds = int(state_dict["pictures"]), float(state_dict["seconds"])


class ResourceMonitor(Callback):
    """Logs ``speed/pictures_per_second`` over all ranks and ``memory/peak_mb``, at the trainer's logging interval.

    Memory is the peak so far: what torch has allocated on the GPU, else the resident memory of rank 0's process, its
    loader processes not included.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seen = Throughput.of(trainer).state_dict()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        before, self._seen = self._seen, Throughput.of(trainer).state_dict()
        pictures, seconds = (self._seen[key] - before[key] for key in ("pictures", "seconds"))
        figures = {
            "speed/pictures_per_second": pictures / max(seconds, 1e-9),
            "memory/peak_mb": peak_memory(pl_module.device) / 1e6,
        }
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=trainer.global_step)


def peak_memory(device: torch.device) -> int:
    """Bytes, the most so far: allocated on a GPU, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # not there on Windows

    unit = 1 if sys.platform == "darwin" else 1024  # what getrusage counts in
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class ValidationLog(Callback):
    """Adds each validation to the run's own list: step, epoch and every score. A search reads along."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self.run.forget_validations_after(trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        scores = {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("val/")}
        self.run.add_validation({"step": trainer.global_step, "epoch": trainer.current_epoch, **scores})


class ProgressLines(Callback):
    """One line every 15 seconds, for logs; rank 0 only."""

    def __init__(self) -> None:
        self._begun, self._said, self._first = 0.0, 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begun, self._said, self._first = time.perf_counter(), 0.0, trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        now = time.perf_counter()
        total: int = pl_module.total_steps  # type: ignore[assignment]
        last = trainer.global_step >= total
        if not trainer.is_global_zero or (now - self._said < 15 and not last):
            return
        self._said = now
        done = trainer.global_step - self._first
        spent = now - self._begun
        left = spent / max(done, 1) * (total - trainer.global_step)
        loss = float(trainer.callback_metrics.get("train/loss_step", float("nan")))
        print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  step {trainer.global_step}/{total}  "
            f"loss {loss:.4f}  {_clock(spent)} spent, {_clock(left)} left",
            flush=True,
        )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and not trainer.sanity_checking:
            scores = trainer.callback_metrics
            if "val/mae" in scores:
                max_f, mae = float(scores["val/max_f"]), float(scores["val/mae"])
                print(f"validation  max F {max_f:.4f}  MAE {mae:.4f}", flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
