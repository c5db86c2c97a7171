"""The ranks of `test_saliency.test_ranks_agree_bit_for_bit`: a process that imports torch once and forks them.

python ddp_worker.py WORLD STORE OUTPUT PICTURES [PICTURES ...]
"""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from arn.metrics import SaliencyMetrics


def picture(index: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(index)
    shape = (13 + index % 3, 17)
    return rng.random(shape).astype(np.float32), rng.random(shape) < 0.4


def scored(rank: int, world: int, pictures: int, group: dist.ProcessGroup | None) -> tuple[dict, tuple, np.ndarray]:
    """Every `world`-th picture from `rank` on, and then what all ranks of `group` say together."""
    metric = SaliencyMetrics("arn2018", keep_rows=True, process_group=group)
    for index in range(rank, pictures, world):
        saliency, mask = picture(index)
        metric.update([torch.from_numpy(saliency)], [torch.from_numpy(mask)], [f"{index:03d}"])
    rows = metric.rows()
    return metric.compute(), rows.stems, rows.table


def rank_main(rank: int, world: int, store: Path, output: str, counts: list[int]) -> None:
    dist.init_process_group(
        "gloo", init_method=store.as_uri(), rank=rank, world_size=world, timeout=timedelta(seconds=120)
    )
    pair = dist.new_group([0, 1])
    found = {}
    for pictures in counts:
        found[pictures, world] = scored(rank, world, pictures, None)
        if rank < 2:
            found[pictures, 2] = scored(rank, 2, pictures, pair)
    Path(f"{output}.{rank}").write_bytes(pickle.dumps(found))
    dist.destroy_process_group()


def main() -> None:
    world, store, output, counts = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], list(map(int, sys.argv[4:]))
    scored(0, 1, 1, None)  # loads the compiled code once, before the fork
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=rank_main, args=(rank, world, store, output, counts)) for rank in range(world)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    sys.exit(any(rank.exitcode for rank in ranks))


if __name__ == "__main__":
    main()
