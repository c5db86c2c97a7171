"""On how many processes a network is trained makes no difference."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

WORKER = Path(__file__).parent / "ranks_worker.py"
WORLDS = (1, 2, 4)


def test_the_same_global_batch_on_1_2_and_4_ranks_gives_the_same_loss_and_scores(tmp_path, plain_overrides):
    twenty = ["data.train_limit=80", "trainer.log_every_n_steps=1", "trainer.precision=64-true", "data.test_limit=5"]
    done = subprocess.run(
        [sys.executable, str(WORKER), str(tmp_path), *plain_overrides, *twenty],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    curves, records = {}, {}
    for world in WORLDS:
        records[world] = json.loads((tmp_path / str(world) / "metrics.json").read_text())
        assert len(records[world]["config_hash_by_rank"]) == world
        with (tmp_path / str(world) / "csv" / "metrics.csv").open() as file:
            losses = [row["train/loss_step"] for row in csv.DictReader(file)]
        curves[world] = [float(one) for one in losses if one]
        assert len(curves[world]) == 20
    assert curves[1][0] > 1.1 * curves[1][-1]  # something was learnt
    for world in WORLDS[1:]:
        assert max(abs(a - b) for a, b in zip(curves[1], curves[world], strict=True)) < 1e-5
        assert records[world]["test"] == records[1]["test"]
        assert records[world]["val"] == records[1]["val"]
