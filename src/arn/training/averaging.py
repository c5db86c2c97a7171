"""Averages of the weights over training, which are what is validated, kept and tested.

Lightning's own `WeightAveraging` swaps the average in for validation only: tested from a checkpoint after training, it
puts the raw weights back. Here the average is also what panels show and a checkpoint's ``state_dict``. The raw weights
lie beside it, and a resumed run goes on exactly.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from arn.errors import ArnError


class _Average(WeightAveraging):
    """What both averages share: before the first update the average is the network itself."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        super().on_train_batch_end(trainer, pl_module, *batch)
        if self._latest_update_step == 0 and self._average_model is not None:
            self._average_model.module.load_state_dict(pl_module.state_dict())

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """As at the end of training, also of a run that was resumed when all of its steps were done."""
        if self._average_model is not None:
            self._copy_average_to_current(pl_module)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Not yet: panels are drawn after this."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_validation_epoch_end(trainer, pl_module)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn == TrainerFn.FITTING:  # else the checkpoint's average has been loaded, and is meant
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


class ExponentialAverage(_Average):
    """Exponential moving average, updated at every step: average <- d average + (1 - d) weights.

    Args:
        decay: d, at least 0 and below 1.
        warmup: d is min(decay, (1 + n) / (10 + n)) at update n, so that a short run does not remember its start.
    """

    def __init__(self, decay: float = 0.999, warmup: bool = True) -> None:
        if not 0 <= decay < 1:
            raise ArnError(f"callbacks.averaging.decay={decay}: at least 0 and below 1")

        def average(old: Tensor, new: Tensor, updates: Tensor | int) -> Tensor:
            n = int(updates)
            d = min(decay, (1 + n) / (10 + n)) if warmup else decay
            return old + (new - old) * (1 - d)

        super().__init__(avg_fn=average)


class StochasticAverage(_Average):
    """Stochastic weight averaging (Izmailov et al. 2018): the plain mean of the weights of the last part of training.

    Running statistics of BatchNorm are averaged likewise. It wants a learning rate that stays up: schedule=constant.

    Args:
        start: share of all steps before averaging begins, at least 0 and below 1.
        every: steps between two weights that are averaged.
    """

    def __init__(self, start: float = 0.75, every: int = 1) -> None:
        if not 0 <= start < 1 or every < 1:
            raise ArnError(f"callbacks.averaging: start={start} lies within 0..1, and every={every} is at least 1")
        super().__init__()
        self.start, self.every = start, every
        self._first = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._first = int(self.start * int(getattr(pl_module, "total_steps", 0)))

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx >= self._first and (step_idx - self._first) % self.every == 0
