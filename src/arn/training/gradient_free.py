"""Training without gradients: a network that learns from pictures and masks by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray

from arn.data.datamodule import SaliencyDataModule
from arn.data.transforms import resize
from arn.errors import ArnError
from arn.networks.base import GradientFreeNetwork
from arn.runs import Run
from arn.training.callbacks import Throughput
from arn.training.task import SaliencyTask


def pairs_once(
    datamodule: SaliencyDataModule, side: int, seed: int, report: bool
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Every training pair at side x side, not augmented, in the order of its seed; ``report`` prints how far it is."""
    source = datamodule.training_source
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(source.stems))
    reported = time.perf_counter()
    for done, index in enumerate(order, 1):
        picture, mask = source.read(int(index))
        yield resize(picture, side, side), resize(mask, side, side)
        if report and time.perf_counter() - reported > 15:
            reported = time.perf_counter()
            print(f"learning: {done}/{len(order)} pictures", flush=True)


def fit(trainer: pl.Trainer, task: SaliencyTask, datamodule: SaliencyDataModule, run: Run, resumed: bool) -> None:
    """What `trainer.fit` is for other networks: each rank learns the same by itself, and ``last.ckpt`` is written.

    Resumed from that, it goes on with scoring. Raises ArnError where the network finds nothing to learn from.
    """
    network = task.network
    assert isinstance(network, GradientFreeNetwork)
    if not resumed:
        begun = time.perf_counter()
        pairs = pairs_once(datamodule, network.input_size, task.seed, report=trainer.is_global_zero)
        try:
            network.learn(pairs, task.seed)
        except ValueError as error:
            raise ArnError(f"data.train: {error}") from error
        throughput = Throughput.of(trainer)
        throughput.pictures = len(datamodule.training_source.stems)
        throughput.seconds = time.perf_counter() - begun
    checkpoint = str(run.last) if resumed else None
    trainer.validate(task, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False)
    if not resumed:
        trainer.save_checkpoint(run.last)
