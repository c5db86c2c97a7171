"""When a training is written down: ``last.ckpt``, to go on from, and ``best.ckpt``, by validation.

Not by Lightning's `ModelCheckpoint`, which writes at moments that it does not go on from exactly: after the last step
before a validation, which a resumed run then leaves out, and between two halves of an accumulated gradient. It also
keeps paths in its state, so that a run that was moved forgets its best. Here every checkpoint lies between two
optimiser steps with no validation owed, and names no place.
"""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.exceptions import SIGTERMException

from arn.errors import ArnError
from arn.files import write_atomically
from arn.inference.weights import read_checkpoint
from arn.runs import Run
from arn.training.finite import Finite
from arn.training.stopping import Signals


class AtomicCheckpointIO(TorchCheckpointIO):
    """Whole or not at all. Lightning's own goes through the temporary folder, from where a move may be a slow copy."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())


class Checkpoints(Checkpoint):
    """Writes both checkpoints of a run, and stops it between two steps where a signal asked for that.

    ``last.ckpt`` is written every so many minutes, after a validation inside an epoch, and at an epoch's end;
    ``best.ckpt`` is a copy of it, made after it, so that a kill in between is found out and mended.

    Args:
        monitor: what of the logged values stands for the run; ``mode``: whether its ``min`` or ``max`` is best.
        minutes: between two writes inside an epoch.

    Attributes:
        best_score, best_step: of ``best.ckpt``; None before the first validation.
    """

    def __init__(
        self, run: Run, monitor: str, mode: str, minutes: float, signals: Signals, finite: Finite, changed: bool = False
    ) -> None:
        super().__init__()
        self.run, self.monitor, self.mode, self.seconds = run, monitor, mode, 60 * minutes
        self.signals, self.finite, self.changed = signals, finite, changed
        self.best_score: float | None = None
        self.best_step: int | None = None
        self.ended = False  # by a rule: early stopping, or a limit of steps or of time
        self._written = -1  # the step of last.ckpt
        self._marked = 0.0
        self._validated = False  # since the best was last looked for

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.best_score, "step": self.best_step, "ended": self.ended}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != TrainerFn.FITTING:  # else it is a checkpoint to be scored
            return
        states, step = checkpoint.get("callbacks", {}), int(checkpoint["global_step"])
        state = states.get(self.state_key) or _of_older(states, self.monitor)
        self.best_score, self.best_step = state["score"], state["step"]
        if self.best_step == step and trainer.is_global_zero and _step(self.run) != step:
            write_atomically(self.run.best, self.run.last.read_bytes())  # a kill came between the two
        if self.best_score is not None and not self.run.best.is_file():
            print(f"{self.run.best} is gone: the best validation from here on is kept", flush=True)
            self.best_score = self.best_step = None
        self._written = step
        if state["ended"] and not self.changed:
            trainer.should_stop = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._marked = time.monotonic()
        self.signals.wait_for_step()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        late = time.monotonic() - self._marked >= self.seconds
        late, stop = _agreed(trainer, late and trainer.is_global_zero, self.signals.asked is not None)
        if _between_steps(trainer, batch_idx):
            if stop:  # Lightning ends at the next moment that suits it, which on_exception hears of
                trainer._signal_connector.received_sigterm = True
            if late and not _validation_follows(trainer, batch_idx):
                self._write(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        self._validated = True
        if not trainer.is_last_batch:
            self._keep(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._keep(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, SIGTERMException) and trainer.state.fn == TrainerFn.FITTING:
            self._write(trainer)

    def _keep(self, trainer: pl.Trainer) -> None:
        """Write ``last.ckpt``, and ``best.ckpt`` where this is the best validation so far."""
        values: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            **trainer.callback_metrics,
        }
        score = values.get(self.monitor)
        fresh, self._validated = self._validated or not self.monitor.startswith("val/"), False
        if score is None and fresh:
            logged = ", ".join(sorted(values))
            raise ArnError(f"checkpoint.monitor={self.monitor} is not logged; there are {logged}")
        better = fresh and score is not None and self._better(float(score))
        if better:
            assert score is not None
            self.best_score, self.best_step = float(score), trainer.global_step
        self.ended = trainer.should_stop
        self._write(trainer, again=better)
        if better:
            if trainer.is_global_zero:
                write_atomically(self.run.best, self.run.last.read_bytes())
            trainer.strategy.barrier("best.ckpt")

    def _better(self, score: float) -> bool:
        if self.best_score is None:
            return True
        return score < self.best_score if self.mode == "min" else score > self.best_score

    def _write(self, trainer: pl.Trainer, again: bool = False) -> None:
        if trainer.global_step == self._written and not again:
            return
        self.finite.check(trainer)
        trainer.save_checkpoint(self.run.last)
        self._written, self._marked = trainer.global_step, time.monotonic()


def _agreed(trainer: pl.Trainer, *mine: bool) -> list[bool]:
    """What any rank says is what all do: they write and stop together."""
    if trainer.world_size == 1:
        return list(mine)
    flags = torch.tensor(mine, dtype=torch.uint8, device=trainer.strategy.root_device)
    torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
    return [bool(flag) for flag in flags.tolist()]


def _between_steps(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether no part of an accumulated gradient is held."""
    return trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0


def _validation_follows(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether a validation, or an epoch's end, may come before the next step. A write is then left to what follows."""
    if trainer.is_last_batch or trainer.should_stop:
        return True
    every = trainer.val_check_batch
    done = trainer.fit_loop.total_batch_idx if trainer.check_val_every_n_epoch is None else batch_idx
    # Without a number it goes by the clock.
    return every is None or (done + 1) % every == 0


def _of_older(states: dict[str, Any], monitor: str) -> dict[str, Any]:
    """The state as an ARN wrote it that had Lightning's `ModelCheckpoint`."""
    for state in states.values():
        if isinstance(state, dict) and state.get("monitor") == monitor and state.get("best_model_score") is not None:
            return {"score": float(state["best_model_score"]), "step": None, "ended": False}
    return {"score": None, "step": None, "ended": False}


def _step(run: Run) -> int | None:
    """Of ``best.ckpt``; None where there is none that can be read."""
    try:
        return int(read_checkpoint(run.best)["global_step"])
    except ArnError:
        return None
