"""One rank of `test_saliency.test_ranks_agree_bit_for_bit`; run as a script.

python ddp_worker.py RANK WORLD STORE OUTPUT PICTURES [PICTURES ...]
"""

from __future__ import annotations

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


def main() -> None:
    rank, world = int(sys.argv[1]), int(sys.argv[2])
    dist.init_process_group(
        "gloo", init_method=Path(sys.argv[3]).as_uri(), rank=rank, world_size=world, timeout=timedelta(seconds=120)
    )
    pair = dist.new_group([0, 1])
    found = {}
    for pictures in map(int, sys.argv[5:]):
        found[pictures, world] = scored(rank, world, pictures, None)
        if rank < 2:
            found[pictures, 2] = scored(rank, 2, pictures, pair)
    Path(f"{sys.argv[4]}.{rank}").write_bytes(pickle.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
