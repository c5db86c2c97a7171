"""A loss or a gradient that is no number ends a training before it is written down."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer

from arn.errors import ArnError
from arn.files import listed
from arn.runs import Run


class Finite(Callback):
    """Looks at every step's loss and gradient, at the next step or before a checkpoint: a GPU is not waited for.

    In 16-mixed the gradient is left to the scaler, which passes over a step whose gradient overflows.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._epoch, self._batches = 0, range(0)  # of the step
        self._values: dict[str, Tensor] = {}  # 0-dimensional

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.check(trainer)
        first = batch_idx - batch_idx % trainer.accumulate_grad_batches
        self._epoch, self._batches = trainer.current_epoch, range(first, batch_idx + 1)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        self._values["the loss"] = loss.detach()

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if trainer.precision == "16-mixed":
            return
        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        self._values["the gradient"] = torch.nn.utils.get_total_norm(gradients)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.check(trainer)

    def check(self, trainer: pl.Trainer) -> None:
        """Raises ArnError naming the pictures of the last step where its loss or gradient is not finite."""
        values, self._values = self._values, {}
        if not values:
            return
        finite = torch.isfinite(torch.stack([value.float() for value in values.values()])).tolist()
        wrong = next((name for name, right in zip(values, finite, strict=True) if not right), None)
        if wrong is None:
            return
        loader: Any = trainer.train_dataloader
        stems = [stem for batch in self._batches for stem in loader.stems(self._epoch, batch)]
        kept = f"{self.run.last} is of before: arn train resume={self.run} optimizer.lr=LESS"
        if not self.run.last.is_file():
            kept = "no checkpoint was written yet: start again with a smaller optimizer.lr"
        raise ArnError(
            f"{wrong} is {float(values[wrong])} at step {trainer.global_step} on the pictures "
            f"{listed(stems, most=64)}; look at them and their masks, or train with smaller steps. {kept}"
        )
