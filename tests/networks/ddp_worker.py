"""The two ranks of `test_rivals.test_two_ranks_train_one_network`: a process that imports torch once and forks them.

python ddp_worker.py STORE NETWORK [NETWORK ...]
"""

from __future__ import annotations

import copy
import multiprocessing
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import arn.networks
from arn.training.losses import SaliencyLoss

SIDE = 48


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return getattr(arn.networks, name)(input_size=SIDE).train()


def weights(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def train(network: nn.Module, pictures: Tensor, masks: Tensor) -> None:
    """Two steps, the second of which fails under DDP if the first left a parameter without gradient."""
    optimizer, loss = torch.optim.SGD(network.parameters(), lr=1e-3), SaliencyLoss()
    for _ in range(2):
        optimizer.zero_grad()
        loss(network(pictures), masks).backward()
        optimizer.step()


def rank_main(rank: int, store: Path, networks: dict[str, nn.Module], pictures: Tensor, masks: Tensor) -> None:
    dist.init_process_group("gloo", init_method=store.as_uri(), rank=rank, world_size=2, timeout=timedelta(minutes=5))
    for name, network in networks.items():
        before = weights(network)
        alone = copy.deepcopy(network)
        train(DistributedDataParallel(network), pictures[rank::2], masks[rank::2])
        first = weights(network)
        dist.broadcast(first, 0)
        assert torch.equal(weights(network), first), f"{name}: the ranks ended with different weights"
        assert not torch.equal(first, before), f"{name} did not learn"
        if rank == 0 and not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
            train(alone, pictures, masks)
            torch.testing.assert_close(first, weights(alone), rtol=1e-3, atol=1e-5)
    dist.destroy_process_group()


def main() -> None:
    networks = {name: built(name) for name in sys.argv[2:]}
    generator = torch.Generator().manual_seed(1)
    pictures = torch.rand(4, 3, SIDE, SIDE, generator=generator)
    masks = (torch.rand(4, 1, SIDE, SIDE, generator=generator) > 0.5).float()
    fork = multiprocessing.get_context("fork")
    given = (Path(sys.argv[1]), networks, pictures, masks)
    ranks = [fork.Process(target=rank_main, args=(rank, *given)) for rank in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    sys.exit(any(rank.exitcode for rank in ranks))


if __name__ == "__main__":
    main()
