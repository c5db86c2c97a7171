"""One network, its loss and its optimiser, as a LightningModule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from arn.config.instantiate import instantiate, instantiate_optimizer
from arn.config.requests import DECAYS, TrainRequest
from arn.errors import ArnError
from arn.inference.predictor import native_map
from arn.inference.weights import CONFIG_KEY
from arn.metrics import SaliencyMetrics
from arn.metrics.functional import Rows
from arn.networks.base import SaliencyNetwork
from arn.training.history import HISTORY_KEY, NO_HISTORY, History


class Schedule:
    """Learning-rate factor by step: linear warm-up, then a decay to ``floor`` at the last step.

    Args:
        warmup: share of all steps spent warming up.
        decay: ``none`` (the paper), ``cosine``, ``poly`` (power .9) or ``step`` (a tenth every so many steps).
        floor: factor at the end.
        every: steps between two tenths, for ``step``.
        steps: all steps of the run.

    Raises:
        ArnError: an unknown ``decay``, or ``step`` without ``every``.
    """

    def __init__(
        self, steps: int, warmup: float = 0.0, decay: str = "none", floor: float = 0.0, every: int | None = None
    ) -> None:
        if decay not in DECAYS:
            raise ArnError(f"schedule.decay must be one of {', '.join(DECAYS)}, not {decay!r}")
        if (decay == "step") != bool(every):
            raise ArnError(f"schedule.every goes with schedule.decay=step: decay is {decay!r}, every {every}")
        self.steps, self.decay, self.floor = max(steps, 1), decay, floor
        self.every = every or 1
        self.warmup_steps = round(warmup * self.steps)

    def __call__(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.decay == "none":
            return 1.0
        if self.decay == "step":
            return max(0.1 ** (step // self.every), self.floor)
        done = min((step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1), 1.0)
        left = 0.5 * (1 + math.cos(math.pi * done)) if self.decay == "cosine" else (1 - done) ** 0.9
        return self.floor + (1 - self.floor) * left


class SaliencyTask(pl.LightningModule):
    """Trains a network on masks and scores its maps at the pictures' own size.

    Args:
        network: ``forward(pictures) -> tuple of logits``, the final map's first.
        request: of it loss (``loss(outputs, masks) -> scalar``), optimizer, schedule, backbone_lr,
            freeze_backbone_norm and seed.
        config: the run's resolved config, plain containers; stored in every checkpoint.
        test_names: names of the test sets, in the order of the test loaders.
        total_steps: optimiser steps of the whole run, for the schedule. Lightning's own estimate would set up the
            loader before a resumed run has told it where to go on.
        history: what is kept in every checkpoint beside the config and comes into the record.

    Attributes:
        test_rows: by test set, every picture's scores of the last test, those of all ranks on each.
    """

    def __init__(
        self,
        network: SaliencyNetwork,
        request: TrainRequest,
        config: dict[str, Any],
        test_names: Iterable[str] = (),
        total_steps: int = 1,
        history: History = NO_HISTORY,
    ) -> None:
        super().__init__()
        self.network, self.request = network, request
        self.loss: nn.Module = instantiate(request.loss, "loss")
        self.optimizer: Callable[[Iterable[Any]], Optimizer] = instantiate_optimizer(request.optimizer)
        self.config, self.seed, self.total_steps = config, request.seed, total_steps
        self.history = history
        self.test_names = list(test_names)
        self.test_rows: dict[str, Rows] = {}
        # In 8 bits, as maps are on disk: what training says of a test set is what `arn bench` says of it.
        self.val_scores = SaliencyMetrics(protocol="arn2018", measures=("mae", "f"), eight_bit=True)
        self.test_scores = [
            SaliencyMetrics(protocol="arn2018", measures=("mae", "f"), eight_bit=True, keep_rows=True)
            for _ in self.test_names
        ]
        self.add_module("test_metrics", nn.ModuleList(self.test_scores))

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Float pictures B x 3 x H x W in 0..1 -> tuple of logits."""
        return self.network(pictures)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        # Pictures and masks travel as bytes, a quarter of the traffic.
        batch = {**batch, "picture": batch["picture"].to(self.dtype).div_(255)}
        if isinstance(batch["mask"], Tensor):
            batch["mask"] = batch["mask"].to(self.dtype).div_(255)
        return batch

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Whatever is random inside a network depends on the step alone, so that a resumed run draws the same numbers.
        torch.manual_seed((self.seed * 1_000_003 + self.global_step) * 64 + self.global_rank)

    def on_train_epoch_start(self) -> None:
        if self.request.freeze_backbone_norm:
            for module in self.network.backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        outputs = self(batch["picture"])
        loss: Tensor = self.loss(outputs, batch["mask"])
        # Averaged over ranks: the loss of the global batch, the same on any number of them.
        size = len(batch["picture"])
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=size, sync_dist=True)
        return loss

    def _score(self, batch: dict[str, Any], scores: SaliencyMetrics) -> None:
        logits = self(batch["picture"])[0]
        maps = [native_map(one, mask.shape) for one, mask in zip(logits, batch["mask"], strict=True)]
        scores.update([one.cpu() for one in maps], [mask.cpu() for mask in batch["mask"]], stems=batch["stem"])

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self._score(batch, self.val_scores)

    def on_validation_epoch_end(self) -> None:
        scores = self.val_scores.compute()
        self.val_scores.reset()
        self.log("val/mae", scores["mae"], prog_bar=True, rank_zero_only=False)
        self.log("val/max_f", scores["max_f"], prog_bar=True, rank_zero_only=False)

    def test_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:
        self._score(batch, self.test_scores[dataloader_idx])

    def on_test_epoch_end(self) -> None:
        for name, metric in zip(self.test_names, self.test_scores, strict=True):
            scores = metric.compute()
            self.test_rows[name] = metric.rows()
            metric.reset()
            self.log_dict({f"test/{name}/{key}": scores[key] for key in ("mae", "max_f")})

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        backbone = self.network.backbone
        if backbone is None or self.request.backbone_lr == 1.0:
            optimizer = self.optimizer([{"params": list(self.network.parameters())}])
        else:
            slow = {id(parameter) for parameter in backbone.parameters()}
            others = [parameter for parameter in self.network.parameters() if id(parameter) not in slow]
            optimizer = self.optimizer([{"params": others}, {"params": list(backbone.parameters())}])
            optimizer.param_groups[1]["lr"] *= self.request.backbone_lr
        self._asked = [
            {key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups
        ]
        schedule = Schedule(self.total_steps, **vars(self.request.schedule))

        def factor(step: int) -> float:
            return schedule(step)  # a function, unlike an object, has no state that a checkpoint would bring back

        scheduler = LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_start(self) -> None:
        """The config says how large a step is, of a resumed run as well, whose optimiser came with what it had."""
        optimizer = self.trainer.optimizers[0]
        scheduler = cast("LambdaLR", self.trainer.lr_scheduler_configs[0].scheduler)
        scheduler.base_lrs = [group["lr"] for group in self._asked]
        for group, asked, base, factor in zip(
            optimizer.param_groups, self._asked, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
        ):
            group.update(asked, initial_lr=base, lr=base * factor(scheduler.last_epoch))
        scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[CONFIG_KEY] = self.config
        checkpoint[HISTORY_KEY] = asdict(self.history)
