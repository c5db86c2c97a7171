"""In which order pictures are drawn, and which of them fall to a rank."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """(epoch, index) in an order seeded anew for each epoch, dealt out to ranks like cards, in whole batches.

    Rank r takes positions r, r + world, ... of every global batch, so the global batches are the same on any number of
    ranks. What does not fill a global batch is left out of that epoch. `start` is how many batches of the next
    iteration an earlier process has done already.
    """

    def __init__(self, count: int, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.batches = count // (batch_size * world)
        self.count, self.batch_size, self.seed, self.rank, self.world = count, batch_size, seed, rank, world
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        start, self.start = self.start, 0
        mine = self._order(self.epoch)[self.rank :: self.world][: len(self)]
        return iter([(self.epoch, int(index)) for index in mine[start * self.batch_size :]])

    def batch(self, epoch: int, number: int) -> list[int]:
        """The indices of an epoch's global batch: those of all ranks."""
        size = self.batch_size * self.world
        return [int(index) for index in self._order(epoch)[number * size : (number + 1) * size]]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.Generator(np.random.PCG64([self.seed, epoch])).permutation(self.count)


def shard(count: int, rank: int = 0, world: int = 1) -> range:
    """Every ``world``-th picture from ``rank``: none twice, none dropped, unlike DistributedSampler."""
    return range(rank, count, world)
