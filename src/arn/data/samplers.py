"""In which order pictures are drawn, and which of them fall to a rank."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """A seeded order of its own for each epoch, dealt out to ranks like cards, in whole batches.

    Rank r takes positions r, r + world, ... of every global batch, so the global batches are the same on any number of
    ranks. What does not fill a global batch is left out of that epoch.

    Attributes:
        start: batches of this epoch already done in an earlier process; consumed by the next iteration.
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
        order = np.random.Generator(np.random.PCG64([self.seed, self.epoch])).permutation(self.count)
        mine = order[self.rank :: self.world][: len(self)]
        return iter([(self.epoch, int(index)) for index in mine[start * self.batch_size :]])


class ShardSampler(Sampler[int]):
    """Every ``world``-th picture from ``rank``: none twice, none dropped, unlike DistributedSampler."""

    def __init__(self, count: int, rank: int = 0, world: int = 1) -> None:
        self.indices = range(rank, count, world)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
