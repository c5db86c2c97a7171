"""Networks that learn from pictures and masks without gradients."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from arn.data.datamodule import SaliencyDataModule
from arn.data.transforms import resize
from arn.networks.base import GradientFreeNetwork


def pairs_once(
    datamodule: SaliencyDataModule, side: int, seed: int, say: bool = False, every: float = 15.0
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Every training pair at side x side, not augmented, in the order of its seed; the same on every rank.

    Args:
        say: print how far it is, a line every so many seconds.
    """
    source = datamodule.training_source
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(source.stems))
    said = time.perf_counter()
    for done, index in enumerate(order):
        picture, mask = source.read(int(index))
        yield resize(picture, side, side), resize(mask, side, side)
        if say and time.perf_counter() - said > every:
            said = time.perf_counter()
            print(f"learning: {done + 1}/{len(order)} pictures", flush=True, file=sys.stdout)


def learn(
    network: GradientFreeNetwork, datamodule: SaliencyDataModule, seed: int, say: bool = False
) -> tuple[int, float]:
    """Let a network learn from the training set; returns pictures seen and seconds."""
    begun = time.perf_counter()
    network.learn(pairs_once(datamodule, network.input_size, seed, say), seed)
    return len(datamodule.training_source.stems), time.perf_counter() - begun
