"""A LightningModule that knows nothing of this package but its metric. Arguments: ranks, file to write scores to."""

import json
import sys

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection

from arn.metrics import SaliencyMetrics


class Anyones(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 1, 3, padding=1)
        self.scores = SaliencyMetrics(measures=("mae", "f"))
        self.one = SaliencyMetrics(measures="s")
        self.steps = SaliencyMetrics(measures="mae")
        self.several = MetricCollection({"saliency": SaliencyMetrics(measures="e")}, prefix="all/")

    def training_step(self, batch, index):
        maps = self.net(batch[0]).sigmoid()
        self.steps(maps, batch[1])
        self.log("train/mae", self.steps["mae"], on_step=True, on_epoch=True)
        return nn.functional.binary_cross_entropy(maps, batch[1].float())

    def validation_step(self, batch, index):
        maps = self.net(batch[0]).sigmoid()
        for metric in (self.scores, self.one, self.several):
            metric.update(maps, batch[1])
        self.log_dict(self.scores)
        self.log("val/s_measure", self.one["s_measure"])

    def on_validation_epoch_end(self):
        self.log_dict(self.several.compute())
        self.several.reset()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def data():
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand((8, 3, 16, 20), generator=generator)
    return TensorDataset(pictures, (pictures.mean(1, keepdim=True) > 0.5).long())


if __name__ == "__main__":
    ranks = int(sys.argv[1])
    pl.seed_everything(0, verbose=False)
    several = {"strategy": "ddp", "devices": ranks} if ranks > 1 else {"devices": 1}
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False, **several
    )
    loader = DataLoader(data(), batch_size=2)
    module = Anyones()
    trainer.validate(module, loader, verbose=False)
    before = {key: float(value) for key, value in trainer.callback_metrics.items()}
    trainer.fit(module, loader, loader)
    if trainer.is_global_zero:
        after = {key: float(value) for key, value in trainer.callback_metrics.items()}
        with open(sys.argv[2], "w") as file:
            json.dump({"before": before, "after": after}, file)
