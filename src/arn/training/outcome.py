"""What a training came to: its scores, what they are compared with, and that all ranks hold one network."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from arn.data.datamodule import SaliencyDataModule
from arn.data.sources import Source
from arn.inference.predictor import Predictor
from arn.inference.weights import read_checkpoint
from arn.metrics import SaliencyMetrics
from arn.networks.base import GradientFreeNetwork
from arn.provenance import processor, provenance
from arn.runs import Run
from arn.training.callbacks import Throughput
from arn.training.task import SaliencyTask


@dataclass(frozen=True)
class Outcome:
    """What a finished training reached."""

    weights: list[str]  # SHA-256 of the trained weights on each rank
    pictures: int  # trained on, earlier sessions of a resumed run included
    seconds: float  # spent on them
    val: dict[str, float]  # max F and MAE of the best checkpoint
    test: dict[str, dict[str, float]]  # the same by test set
    value: float | None  # of what was monitored at the best validation; None where nothing was validated on the way
    step: int  # of the best checkpoint


def judge(trainer: pl.Trainer, task: SaliencyTask, datamodule: SaliencyDataModule, run: Run, monitor: str) -> Outcome:
    """Score the best checkpoint of a trainer that has trained."""
    share_buffers(trainer, task.network)
    weights = weights_by_rank(trainer, task.network)
    # Now: to validate or test from a checkpoint sets every callback back to what it was when that was written.
    throughput = Throughput.of(trainer)
    pictures, seconds = throughput.pictures, throughput.seconds
    checkpoints: Any = trainer.checkpoint_callback
    best_score = checkpoints.best_score
    if best_score is None:
        trainer.save_checkpoint(run.best)  # nothing was validated on the way
    options: dict[str, Any] = {"datamodule": datamodule, "ckpt_path": str(run.best), "weights_only": True}
    (validated,) = trainer.validate(task, **options, verbose=False)
    tested: dict[str, float] = {}
    for scores in trainer.test(task, **options, verbose=False):
        tested |= scores
    free = isinstance(task.network, GradientFreeNetwork)
    value = validated.get(monitor) if free else best_score
    keys = ("max_f", "mae")
    return Outcome(
        weights=weights,
        pictures=pictures,
        seconds=seconds,
        val={key: float(validated[f"val/{key}"]) for key in keys},
        test={name: {key: float(tested[f"test/{name}/{key}"]) for key in keys} for name in datamodule.test_names},
        value=None if value is None else float(value),
        step=int(read_checkpoint(run.best)["global_step"]),
    )


def share_buffers(trainer: pl.Trainer, network: torch.nn.Module) -> None:
    """Running statistics of BatchNorm are each rank's own from a last step that no forward pass of all ranks followed;
    those of rank 0 are what checkpoints hold."""
    if trainer.world_size > 1:
        for buffer in network.buffers():
            shared = buffer.to(trainer.strategy.root_device)
            torch.distributed.broadcast(shared, src=0)
            buffer.copy_(shared)


def weights_by_rank(trainer: pl.Trainer, network: torch.nn.Module) -> list[str]:
    """SHA-256 of the trained weights on each rank. Raises RuntimeError where they differ: that is not one network."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    mine = torch.tensor(list(digest.digest()), dtype=torch.uint8, device=trainer.strategy.root_device)
    gathered = trainer.strategy.all_gather(mine).reshape(-1, mine.numel())
    hashes = [bytes(row.tolist()).hex() for row in gathered.cpu()]
    if len(set(hashes)) > 1:
        raise RuntimeError(f"the ranks ended with different weights: {hashes}")
    return hashes


def baselines(source: Source, stems: Collection[str]) -> dict[str, dict[str, float]]:
    """MAE and max F of maps that look at nothing, all black and a centred Gaussian (sigma: a quarter side).

    `stems`: the pictures that the network was scored on, which ``trainer.limit_test_batches`` makes fewer.
    """
    scored = set(stems)
    blank, centred = (  # of rank 0 alone
        SaliencyMetrics(protocol="arn2018", measures=("mae", "f"), sync_on_compute=False) for _ in range(2)
    )
    for index in (index for index, stem in enumerate(source.stems) if stem in scored):
        mask = source.mask(index)
        height, width = mask.shape
        y = (np.arange(height) + 0.5) / height - 0.5
        x = (np.arange(width) + 0.5) / width - 0.5
        blob = np.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / (2 * 0.25**2)).astype(np.float32)
        blank.update([np.zeros_like(blob)], [mask])
        centred.update([blob], [mask])
    computed = {"blank": blank.compute(), "centre blob": centred.compute()}
    return {name: {key: float(scores[key]) for key in ("mae", "max_f")} for name, scores in computed.items()}


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


def machine(command: str) -> Mapping[str, Any]:
    """Versions, command and machine, for the record."""
    packages = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "albumentations", "timm", "numpy")
    made_by = provenance(packages)
    return {
        "versions": {"arn": made_by["arn"], **made_by["versions"]},
        "commit": made_by["commit"],
        "command": command,
        "processor": processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }
