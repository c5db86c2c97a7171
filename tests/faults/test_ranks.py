"""Ranks and loader processes that are lost, and ranks whose last step nothing followed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from arn.runs import Run
from arn.training.ending import _explained

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
NORMED = ("network.backbone=timm:test_efficientnet",)  # with BatchNorm, whose statistics are each rank's own


def start(run, *overrides):
    command = [sys.executable, "-m", "arn", "train", *overrides, "trainer=ddp_cpu", f"hydra.run.dir={run}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def test_two_ranks_end_with_one_network_after_a_step_that_nothing_followed(tmp_path, plain_overrides):
    run = tmp_path / "run"
    odd = ("trainer.max_epochs=1", "trainer.check_val_every_n_epoch=2")
    training = start(run, *plain_overrides, *NORMED, *odd)
    _, told = training.communicate(timeout=240)
    assert training.returncode == 0, told
    first, second = Run(run).record()["weights_sha256_by_rank"]
    assert first == second


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the other rank in /proc")
def test_a_rank_that_is_killed_ends_the_other_in_one_line(tmp_path, plain_overrides):
    run = tmp_path / "run"
    training = start(run, *plain_overrides, "trainer.max_epochs=500")
    deadline = time.monotonic() + 200
    while not Run(run).validations() and training.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    children = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    _, told = training.communicate(timeout=60)
    assert training.returncode == 2, told
    assert "another rank of this training is gone" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("torch_says", "told"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", "data.workers"),
        ("unable to write to file </torch_1_2>: shared memory", "data.workers"),
        ("[gloo/transport/tcp/pair.cc:1] Connection closed by peer", "another rank"),
        ("mat1 and mat2 shapes cannot be multiplied", None),
    ],
)
def test_what_torch_says_of_lost_processes(tmp_path, torch_says, told):
    line = _explained(torch_says, Run(tmp_path))
    assert line is None if told is None else told in line
