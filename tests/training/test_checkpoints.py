"""When a training is written down, what a checkpoint keeps, and what a resumed run takes, refuses and tells."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from arn.cli import main
from arn.runs import Run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TWO_EPOCHS = ("trainer.max_epochs=2",)


def train(run, *overrides):
    return main(["train", *overrides, f"hydra.run.dir={run}"])


def checkpoint(run, name="last"):
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def first_is_best(tmp_path_factory, plain_overrides):
    """One epoch of a run whose first validation is its best for ever."""
    run = tmp_path_factory.mktemp("first") / "run"
    monitor = ("checkpoint.monitor=epoch", "checkpoint.mode=min")
    assert train(run, *plain_overrides, *monitor, "schedule=cosine", "optimizer.lr=0.002") == 0
    return run


@pytest.fixture
def begun(first_is_best, tmp_path):
    """A copy of it in another place."""
    return Path(shutil.copytree(first_is_best, tmp_path / "elsewhere" / "run"))


def test_a_checkpoint_names_no_place(first_is_best):
    for name in ("last", "best"):
        kept = {key: value for key, value in checkpoint(first_is_best, name).items() if key != "state_dict"}
        assert str(first_is_best.parent) not in repr({**kept, "arn_history": {**kept["arn_history"], "command": ""}})


def test_a_run_that_was_moved_keeps_its_best(begun):
    best = (begun / "checkpoints" / "best.ckpt").read_bytes()
    assert main(["train", f"resume={begun}", *TWO_EPOCHS]) == 0
    assert Run(begun).record()["best"] == {"monitor": "epoch", "value": 0.0, "step": 4}
    assert (begun / "checkpoints" / "best.ckpt").read_bytes() == best
    assert checkpoint(begun)["global_step"] == 8


def test_a_kill_between_the_two_checkpoints_is_mended(begun):
    older = checkpoint(begun, "best") | {"global_step": 1}
    torch.save(older, begun / "checkpoints" / "best.ckpt")
    assert main(["train", f"resume={begun}"]) == 0
    assert (begun / "checkpoints" / "best.ckpt").read_bytes() == (begun / "checkpoints" / "last.ckpt").read_bytes()


def test_a_best_that_is_gone_is_told_and_found_anew(begun, capsys):
    (begun / "checkpoints" / "best.ckpt").unlink()
    last = checkpoint(begun)
    last["callbacks"]["Checkpoints"]["step"] = 2  # of another step than the last
    torch.save(last, begun / "checkpoints" / "last.ckpt")
    assert main(["train", f"resume={begun}", *TWO_EPOCHS]) == 0
    assert "best.ckpt is gone" in capsys.readouterr().out
    assert Run(begun).record()["best"]["step"] == 8


def test_a_resumed_run_is_trained_with_what_it_is_asked_for_and_tells(begun):
    asked = ("optimizer.lr=1e-6", "schedule.floor=1.0", *TWO_EPOCHS, "data.batch_size=4", "panels=0")
    assert main(["train", f"resume={begun}", *asked]) == 0
    last = checkpoint(begun)
    assert [group["lr"] for group in last["optimizer_states"][0]["param_groups"]] == [1e-6]
    assert last["lr_schedulers"][0]["base_lrs"] == [1e-6]
    (change,) = json.loads((begun / "metrics.json").read_text())["changes"]
    assert change["step"] == 4
    assert change["optimizer.lr"] == [0.002, 1e-6]
    assert change["trainer.max_epochs"] == [1, 2]


def test_more_epochs_go_on_with_the_schedule_of_all_of_them(begun):
    assert main(["train", f"resume={begun}", *TWO_EPOCHS, "schedule.warmup=0"]) == 0
    config = Run(begun).config()
    from arn.training.task import Schedule

    whole = Schedule(8, **config["schedule"])
    (rate,) = (group["lr"] for group in checkpoint(begun)["optimizer_states"][0]["param_groups"])
    assert rate == pytest.approx(0.002 * whole(8))


@pytest.mark.parametrize("override", ["seed=3", "data.batch_size=8", "network.rcl.steps=1", "checkpoint.mode=max"])
def test_what_would_be_another_run_is_refused(begun, capsys, override):
    before = (begun / "config.yaml").read_text()
    assert main(["train", f"resume={begun}", override]) == 2
    assert f"keeps {override.partition('=')[0]} as it was trained with" in capsys.readouterr().err
    assert (begun / "config.yaml").read_text() == before
    assert (begun / "metrics.json").is_file()


def test_fewer_epochs_than_are_done_are_refused(begun, capsys):
    assert main(["train", f"resume={begun}", "trainer.max_epochs=0"]) == 2
    assert "trainer.max_epochs=0" in capsys.readouterr().err


def test_the_last_of_so_many_steps_is_validated(tmp_path, plain_overrides):
    run = tmp_path / "run"
    assert train(run, *plain_overrides, "trainer.max_steps=3") == 0
    assert [line["step"] for line in Run(run).validations()] == [3]
    assert main(["train", f"resume={run}", "trainer.max_steps=4"]) == 0  # the rest of its epoch
    assert checkpoint(run)["global_step"] == 4


def test_a_loss_that_is_no_number_ends_it_with_the_pictures_named(tmp_path, plain_overrides, capsys):
    run = tmp_path / "run"
    assert train(run, *plain_overrides, "optimizer.lr=1e30", "checkpoint.minutes=0", "trainer.max_epochs=3") == 2
    told = capsys.readouterr().err
    assert "train-000" in told
    assert "at step" in told
    if (run / "checkpoints" / "last.ckpt").is_file():
        assert all(torch.isfinite(value).all() for value in checkpoint(run)["state_dict"].values())


# ------------------------------------------------------------------------------------------ folders that are not ours


def test_a_mistyped_run_makes_and_removes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "resume=TYPO"]) == 2
    assert "resume=TYPO: there is no such folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["", '""', "''"])
def test_an_empty_name_starts_nothing(tmp_path, capsys, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    assert main(["train", f"resume={value}"]) == 2
    assert "resume= is empty" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["resume", "hydra.run.dir"])
def test_a_folder_that_was_there_stays(tmp_path, capsys, key):
    empty = tmp_path / "mine"
    empty.mkdir()
    assert main(["train", f"{key}={empty}", "data.train=[nowhere]"]) == 2
    assert empty.is_dir()
    capsys.readouterr()


# ------------------------------------------------------------------------------------------------------------ signals


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)])
def test_a_signal_ends_it_between_two_steps_with_a_word(tmp_path, plain_overrides, number, status):
    run = tmp_path / "run"
    arguments = [*plain_overrides, "trainer.max_epochs=500", "data.workers=1", f"hydra.run.dir={run}"]
    command = [sys.executable, "-m", "arn", "train", *arguments]
    training = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not Run(run).validations() and training.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(training.pid, number)
    _, told = training.communicate(timeout=60)
    assert training.returncode == status, told
    assert f"arn train resume={run} goes on" in told
    assert "Traceback" not in told
    saved = checkpoint(run)["global_step"]
    assert f"the first {saved} steps are saved" in told
    assert main(["train", f"resume={run}", f"trainer.max_steps={saved + 1}"]) == 0
    assert checkpoint(run)["global_step"] == saved + 1


def test_a_new_training_writes_over_no_run_and_nothing_else(begun, tmp_path, plain_overrides, capsys):
    assert train(begun, *plain_overrides) == 2
    assert "holds a run: arn train resume=" in capsys.readouterr().err
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.yaml").write_text("of: mine\n")
    assert train(mine, *plain_overrides) == 2
    assert "config.yaml of something else" in capsys.readouterr().err
    assert [path.name for path in mine.iterdir()] == ["config.yaml"]
