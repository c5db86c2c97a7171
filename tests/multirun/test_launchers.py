"""Where jobs run: devices dealt out, and SLURM's way tried with submitit's local executor."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from arn.cli import main
from arn.errors import ArnError
from arn.multirun import jobs
from arn.multirun.launchers import Local, Slurm, visible_devices

STUB = (sys.executable, str(Path(__file__).parent / "stub.py"))


def calls(sweep):
    return [json.loads(line) for line in (sweep / "calls.txt").read_text().splitlines()]


def test_parallel_jobs_have_a_device_each_and_a_log(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "PROGRAM", STUB)
    sweep = tmp_path / "s"
    parallel = ["launcher=parallel", "launcher.devices=[[0,1],[2,3]]"]
    assert main(["train", "-m", "seed=1,2,3", *parallel, f"hydra.sweep.dir={sweep}"]) == 0
    seen = calls(sweep)
    assert {one["CUDA_VISIBLE_DEVICES"] for one in seen[:2]} == {"0,1", "2,3"}
    assert len(seen) == 3
    assert {path.stem for path in (sweep / "logs").iterdir()} == {one["run"] for one in seen}


def test_without_devices_jobs_share_the_processors(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert Local(jobs=4)._own(3) == {"OMP_NUM_THREADS": "2"}
    assert Local(jobs=1)._own(0) == {}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert Local(jobs=4)._own(0) == {}


def test_auto_takes_the_devices_that_this_process_may_use(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert visible_devices() == ["2", "5"]
    launcher = Local(jobs=1, devices="auto")
    assert launcher.jobs == 2
    assert launcher._own(1) == {"CUDA_VISIBLE_DEVICES": "5"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert Local(jobs=3, devices="auto").jobs == 3


@pytest.mark.parametrize(("options", "key"), [({"jobs": 0}, "jobs"), ({"devices": "first"}, "devices")])
def test_a_wrong_option_is_named(options, key):
    with pytest.raises(ArnError, match=f"launcher.{key}"):
        Local(**options)


def test_submitits_local_executor_runs_two_jobs_and_tells_of_a_third_that_fails(tmp_path, monkeypatch, capsys):
    pytest.importorskip("submitit")
    monkeypatch.setattr(jobs, "PROGRAM", STUB)
    sweep = tmp_path / "s"
    slurm = ["launcher=slurm", "launcher.cluster=local", "launcher.options.gpus_per_node=0"]
    assert main(["train", "-m", "loss=bce,bce_iou,bce_sum", *slurm, f"hydra.sweep.dir={sweep}"]) == 2
    told = capsys.readouterr()
    assert "1 of 3 jobs failed" in told.err
    seen = calls(sweep)
    assert len(seen) == 3
    assert len(list(sweep.glob("*/metrics.json"))) == 2
    assert all((sweep / "logs" / one["run"]).is_dir() for one in seen)
    assert str(sweep / "logs" / seen[0]["run"]) in told.out
    assert main(["train", "-m", "loss=bce,bce_iou", *slurm, f"hydra.sweep.dir={sweep}"]) == 0
    assert len(calls(sweep)) == 3


def test_a_grid_is_one_job_array(tmp_path, monkeypatch, slurm, capsys):
    """Through the command line to `sbatch` and back; the cluster is a stand-in that runs an array's tasks in turn."""
    monkeypatch.setattr(jobs, "PROGRAM", STUB)
    sweep = tmp_path / "s"
    given = ["launcher=slurm", "launcher.jobs=2", "launcher.options.slurm_partition=short", f"hydra.sweep.dir={sweep}"]
    assert main(["train", "-m", "seed=1,2,3", *given]) == 0
    assert sorted(one["seed"] for one in calls(sweep)) == ["1", "2", "3"]
    (script,) = slurm.submitted()
    assert "#SBATCH --array=0-2%2" in script
    assert "#SBATCH --partition=short" in script
    assert {path.name for path in (sweep / "logs").glob("100_*")} == {"100_0", "100_1", "100_2"}
    assert all(line.rsplit(" ", 1)[1].startswith(str(sweep / "logs")) for line in told_logs(capsys.readouterr().out))
    assert main(["train", "-m", "seed=1,2,3,4", *given]) == 0
    assert len(calls(sweep)) == 4


def told_logs(out):
    found = [line for line in out.splitlines() if "output in" in line]
    assert len(found) == 3
    return found


def test_a_job_of_an_array_that_fails_is_named_with_its_log(tmp_path, monkeypatch, slurm, capsys):
    monkeypatch.setattr(jobs, "PROGRAM", STUB)
    sweep = tmp_path / "s"
    assert main(["train", "-m", "loss=bce,bce_sum", "launcher=slurm", f"hydra.sweep.dir={sweep}"]) == 2
    told = capsys.readouterr().err
    assert "1 of 2 jobs failed" in told
    assert f"see {sweep / 'logs'}" in told


def test_what_the_queue_refuses_is_told_in_a_line(tmp_path, slurm, capsys):
    given = ["launcher=slurm", "launcher.options.slurm_partition=none", f"hydra.sweep.dir={tmp_path / 's'}"]
    assert main(["train", "-m", "seed=1,2", *given]) == 2
    theirs, ours = capsys.readouterr().err.splitlines()  # what sbatch says itself goes before
    assert theirs == "sbatch: error: invalid partition specified: none"
    assert ours == f"arn train: error: launcher.options: the queue refused the jobs: {theirs}"


def test_a_queue_that_is_not_there_is_told(monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ArnError, match="sbatch"):
        Slurm()
    with pytest.raises(ArnError, match=r"launcher\.cluster"):
        Slurm(cluster="pbs")


def test_what_a_batch_job_knows_of_itself_is_not_its_jobs(tmp_path, monkeypatch, slurm):
    """A sweep may itself run in a batch job: its jobs are no ranks of that, nor of its size."""
    monkeypatch.setattr(jobs, "PROGRAM", STUB)
    outer = {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7", "SBATCH_PARTITION": "driver"}
    for key, value in (outer | {"SLURM_CPUS_PER_TASK": "3", "SLURM_CONF": "conf"}).items():
        monkeypatch.setenv(key, value)
    environment = jobs.Job("a", tmp_path / "a", "abc", ("train",), ()).environment()
    assert not outer.keys() & environment.keys()
    assert (environment["SLURM_CPUS_PER_TASK"], environment["SLURM_CONF"]) == ("3", "conf")
    sweep = ["launcher=slurm", f"hydra.sweep.dir={tmp_path / 's'}"]
    assert main(["train", "-m", "seed=1,2", *sweep]) == 0
    assert (slurm.folder / "environment").read_text().split() == []
    assert os.environ["SLURM_JOB_ID"] == "7"


def test_devices_are_stated_once(tmp_path, monkeypatch, slurm, capsys):
    def options(*overrides):
        assert main(["train", "-m", "--cfg", "job", "launcher=slurm", "seed=1", *overrides]) == 0
        return OmegaConf.create(capsys.readouterr().out).launcher.options

    asked = options("trainer=ddp", "trainer.num_nodes=2", "trainer.devices=4")
    assert (asked.nodes, asked.gpus_per_node, asked.tasks_per_node) == (2, 4, 4)
    asked = options("trainer=ddp_cpu", "trainer.devices=3")
    assert (asked.nodes, asked.gpus_per_node, asked.tasks_per_node) == (1, 0, 3)
    asked = options()
    assert (asked.nodes, asked.gpus_per_node, asked.tasks_per_node) == (1, 1, 1)
    monkeypatch.setattr(jobs, "PROGRAM", STUB)
    setup = "launcher.options.slurm_setup=[echo before]"
    assert main(["train", "-m", "seed=1", "launcher=slurm", setup, f"hydra.sweep.dir={tmp_path / 's'}"]) == 0
    (script,) = slurm.submitted()
    assert "\necho before\n" in script
    assert "--gpus-per-node=1" in script


def test_progress_of_jobs_whose_output_goes_to_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(jobs, "PROGRAM", STUB)
    monkeypatch.setattr(jobs, "TELL_EVERY", 0)
    assert main(["train", "-m", "seed=1,2", "launcher=parallel", f"hydra.sweep.dir={tmp_path / 's'}"]) == 0
    assert re.search(r"[01] of 2 jobs ended, [\d:]+ spent", capsys.readouterr().out)


def test_submitit_missing_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ArnError, match=r"arn-saliency\[sweep\]"):
        Slurm()
