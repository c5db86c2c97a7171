"""Averages of weights: what they are, what is validated with them, and what a checkpoint and a resumed run keep."""

import json

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

import arn
from arn.cli import main
from arn.data.scenes import scene
from arn.errors import ArnError
from arn.metrics import SaliencyMetrics
from arn.training.averaging import ExponentialAverage, StochasticAverage

pytestmark = pytest.mark.slow


class Toy(pl.LightningModule):
    """One weight that grows by 1 a step; notes what it is at each step and at each validation."""

    total_steps = 8

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.stepped, self.validated = [], []

    def training_step(self, batch, index):
        return -self.weight.sum()

    def on_train_batch_end(self, *_):
        self.stepped.append(self.weight.item())

    def validation_step(self, batch, index):
        self.validated.append(self.weight.item())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def fit(average, tmp_path):
    toy = Toy()
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=[average],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )
    batches = torch.utils.data.DataLoader([0.0] * 4)
    trainer.fit(toy, batches, torch.utils.data.DataLoader([0.0]))
    assert toy.stepped == [1, 2, 3, 4, 5, 6, 7, 8]  # training itself never sees the average
    return toy


def test_exponential(tmp_path):
    toy = fit(ExponentialAverage(decay=0.5, warmup=False), tmp_path)
    average, seen = None, []
    for value in range(1, 9):
        average = value if average is None else 0.5 * average + 0.5 * value
        seen.append(average)
    assert toy.validated == pytest.approx([seen[3], seen[7]])
    assert toy.weight.item() == pytest.approx(seen[7])


def test_warm_up_forgets_the_start_sooner(tmp_path):
    slow = fit(ExponentialAverage(decay=0.999, warmup=False), tmp_path)
    quick = fit(ExponentialAverage(decay=0.999, warmup=True), tmp_path)
    assert slow.weight.item() < 2 < quick.weight.item() < 8


def test_stochastic_is_the_mean_of_the_last_part_and_before_it_the_network_itself(tmp_path):
    toy = fit(StochasticAverage(start=0.5), tmp_path)
    assert toy.validated == pytest.approx([4, (5 + 6 + 7 + 8) / 4])
    assert fit(StochasticAverage(start=0.5, every=2), tmp_path).weight.item() == pytest.approx((5 + 7) / 2)


@pytest.mark.parametrize("wrong", [{"decay": 1.0}, {"decay": -0.1}])
def test_wrong_decay(wrong):
    with pytest.raises(ArnError, match="decay"):
        ExponentialAverage(**wrong)


@pytest.mark.parametrize("wrong", [{"start": 1.0}, {"every": 0}])
def test_wrong_start(wrong):
    with pytest.raises(ArnError, match="averaging"):
        StochasticAverage(**wrong)


def checkpoint(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def test_the_average_is_kept_tested_and_resumed_exactly(tmp_path, plain_overrides):
    options = [*plain_overrides, "callbacks=[ema]", "callbacks.averaging.decay=0.9", "optimizer.lr=1e-2"]
    options.append("trainer.precision=32-true")  # what a loaded network computes in
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["train", *options, "trainer.max_epochs=2", f"hydra.run.dir={whole}"]) == 0
    assert main(["train", *options, f"hydra.run.dir={parts}"]) == 0
    assert main(["train", f"resume={parts}", "trainer.max_epochs=2"]) == 0
    one, other = checkpoint(whole), checkpoint(parts)
    for state in ("state_dict", "current_model_state", "averaging_state"):
        assert one[state].keys() == other[state].keys()
        for name, tensor in one[state].items():
            assert torch.equal(torch.as_tensor(tensor), torch.as_tensor(other[state][name])), (state, name)
    name = "network.predict.weight"
    assert not torch.equal(one["state_dict"][name], one["current_model_state"][name])

    # What was tested is the average: a loaded checkpoint gives the same scores.
    network = arn.load(whole)
    best = torch.load(whole / "checkpoints" / "best.ckpt", weights_only=True)
    assert torch.equal(network.network.state_dict()["predict.weight"].cpu(), best["state_dict"][name])
    scores = SaliencyMetrics(protocol="arn2018", measures=("mae", "f"), eight_bit=True)
    for index in range(3):
        picture, mask = scene("test", index)
        scores.update([network.predict(picture)], [mask])
    record = json.loads((whole / "metrics.json").read_text())
    assert float(scores.compute()["mae"]) == pytest.approx(record["test"]["scenes"]["mae"], abs=1e-6)
