"""Sweeps, with a stand-in for the training: what runs, what is skipped, what goes on, and what a kill leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from arn.cli import main
from arn.config.compose import Composed
from arn.errors import ArnError
from arn.multirun import jobs
from arn.multirun.jobs import Job, Sweep, Watcher, make_jobs, quoted, run_jobs
from arn.runs import Run
from arn.verbs import sweep as verb

STUB = (sys.executable, str(Path(__file__).parent / "stub.py"))
THREE = ["train", "-m", "seed=1,2,3"]


@pytest.fixture
def stubbed(monkeypatch):
    monkeypatch.setattr(jobs, "PROGRAM", STUB)


def calls(sweep):
    return [json.loads(line) for line in (sweep / "calls.txt").read_text().splitlines()]


def composed(sweep, *overrides, seed=0, **config):
    return Composed(overrides, {"name": "net", "seed": seed, **config}, sweep, sweep)


def test_every_job_gets_its_own_arguments_and_a_second_start_runs_nothing(tmp_path, stubbed, capfd):
    command = [*THREE, f"hydra.sweep.dir={tmp_path}/s"]
    assert main(command) == 0
    first = calls(tmp_path / "s")
    assert [one["seed"] for one in first] == ["1", "2", "3"]
    assert [one["run"].rpartition("_")[0] for one in first] == [f"arn_lite_seed{n}" for n in (1, 2, 3)]
    told = capfd.readouterr().out
    assert "3 jobs, 0 finished" in told
    assert all(one["run"] in told for one in first)
    assert main(command) == 0
    assert "3 jobs, 3 finished, 0 to go on with, 0 to start" in capfd.readouterr().out
    assert calls(tmp_path / "s") == first


def test_more_seeds_in_another_order_run_only_what_is_new(tmp_path, stubbed):
    assert main(["train", "-m", "seed=1,2", f"hydra.sweep.dir={tmp_path}/s"]) == 0
    assert main(["train", "-m", "seed=3,2,1", "logger=wandb", f"hydra.sweep.dir={tmp_path}/s"]) == 0
    assert [one["seed"] for one in calls(tmp_path / "s")] == ["1", "2", "3"]


def started(command):
    """A sweep in a process of its own, at the first checkpoint of its first job, where it stays; and that job's."""
    sweep = Path(command[-1].partition("=")[2])
    sweep.mkdir()
    (sweep / "hold").touch()
    code = (
        "import sys\nfrom arn.multirun import jobs\njobs.PROGRAM = tuple(sys.argv[1:3])\n"
        "from arn.cli import main\nsys.exit(main(sys.argv[3:]))"
    )
    arguments = [sys.executable, "-c", code, *STUB, *command]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 120
    while not list(sweep.glob("*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    return process, calls(sweep)[0]["pid"]


def wait_until_gone(pid):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the ended sweep's job lives on")


def goes_on(command, capfd):
    """With what is left, once the first job is let go."""
    sweep = Path(command[-1].partition("=")[2])
    (sweep / "hold").unlink()
    assert main(command) == 0
    assert "3 jobs, 0 finished, 1 to go on with, 2 to start" in capfd.readouterr().out
    assert [(one["seed"], one["resumed"]) for one in calls(sweep)] == [
        ("1", False),
        ("1", True),
        ("2", False),
        ("3", False),
    ]
    assert [Run(sweep / name).record()["seed"] for name in Sweep(sweep).jobs()] == [1, 2, 3]


def test_killed_in_the_middle_it_goes_on_with_what_is_left(tmp_path, stubbed, capfd):
    command = ["sweep", "seeds", "seed=1,2,3", f"hydra.sweep.dir={tmp_path}/s"]
    process, job = started(command)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until_gone(job)  # it ends with the sweep that started it
    goes_on(command, capfd)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_what_slurm_sends_ends_a_sweep_and_its_jobs_with_a_word(tmp_path, stubbed, capfd, name):
    command = ["sweep", "seeds", "seed=1,2,3", f"hydra.sweep.dir={tmp_path}/s"]
    process, job = started(command)
    number = getattr(signal, name)
    process.send_signal(number)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"ended by {name}: the same command goes on where it stopped" in told
    with pytest.raises(ProcessLookupError):
        os.kill(job, 0)
    goes_on(command, capfd)


def test_a_job_whose_sweep_was_gone_before_it_began_ends(tmp_path):
    """Killed while the job's Python was still starting: its parent is another then."""
    code = "import time\nfrom arn.cli import _end_with\n_end_with(1 << 22)\ntime.sleep(60)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=50).returncode == -signal.SIGKILL


def test_a_job_that_another_start_of_the_sweep_has_finished_did_not_fail(tmp_path, stubbed, monkeypatch):
    """Two starts at once refuse each other the job that each is at."""

    def refused(jobs, launcher, *rest, **options):
        run_and_tell(jobs, launcher, *rest, **options)
        return [f"{job.name} (exit status 2)" for job in jobs]

    run_and_tell = verb.run_and_tell
    monkeypatch.setattr(verb, "run_and_tell", refused)
    assert main([*THREE, f"hydra.sweep.dir={tmp_path}/s"]) == 0


def test_a_job_that_fails_is_named_and_the_others_run(tmp_path, stubbed, capsys):
    sweep = tmp_path / "s"
    assert main(["train", "-m", "loss=bce_sum,bce", f"hydra.sweep.dir={sweep}"]) == 2
    told = capsys.readouterr().err
    assert "1 of 2 jobs failed" in told
    failed, done = calls(sweep)
    assert failed["run"] in told
    assert done["run"] not in told
    assert (sweep / done["run"] / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "-m", "seed=1,2", "trainer.max_epoch=3"], "max_epoch"),
        (["train", "-m", "seed=1,2", "loss=bce,nonsense"], "nonsense"),
        (["train", "-m", "seed=1,1"], "one and the same"),
        (["train", "-m", "seed=1,2", "launcher.jobs=0"], "launcher.jobs"),
        (["train", "-m", "seed=1,2", "hydra.sweep.subdir=x"], "hydra.sweep.subdir"),
        (["sweep", "seeds", "loss=nonsense"], "nonsense"),
    ],
)
def test_bad_input_starts_nothing_and_leaves_nothing(tmp_path, stubbed, capsys, arguments, named):
    assert main([*arguments, f"hydra.sweep.dir={tmp_path}/deep/s"]) == 2
    told = capsys.readouterr().err
    assert named in told
    assert "Traceback" not in told
    assert not (tmp_path / "deep").exists()


def test_a_folder_with_another_finished_run_is_refused(tmp_path):
    job = Job("a", tmp_path, "0" * 12, ("train",), ())
    (tmp_path / "metrics.json").write_text('{"config_hash": "111111111111"}')
    with pytest.raises(ArnError, match="another config"):
        job.record()
    (tmp_path / "metrics.json").write_text('{"config_hash": "0000')  # half of one is none
    assert job.record() is None


def test_a_finished_run_is_found_in_whatever_folder_of_the_sweep(tmp_path):
    (job,) = make_jobs([composed(tmp_path)], ["train"])
    Run(tmp_path / "renamed").finish({"config_hash": job.hash})
    (again,) = make_jobs([composed(tmp_path)], ["train"])
    assert again.folder == tmp_path / "renamed"
    (other,) = make_jobs([composed(tmp_path, lr=1)], ["train"])
    assert other.record() is None


def test_a_finished_run_is_found_by_its_own_config_whatever_hash_its_record_has(tmp_path):
    """A hash that an earlier ARN wrote down, before a key came or went."""
    one = composed(tmp_path, lr=1)
    run = Run(tmp_path / "net_seed0_earlier")
    run.begin(one.config)
    run.finish({"config_hash": "0" * 12})
    (job,) = make_jobs([one], ["train"])
    assert job.folder == run.folder
    assert job.record() == run.record()
    Run(tmp_path / "later").finish({"config_hash": job.hash})  # as its record says, which counts for less
    assert make_jobs([one], ["train"])[0].folder == run.folder


def test_where_a_run_is_shown_does_not_change_what_it_is(tmp_path):
    (one,) = make_jobs([composed(tmp_path, logger={"csv": 1}, launcher=1, tags=[])], ["train"])
    (other,) = make_jobs([composed(tmp_path, logger={"wandb": 1}, launcher=2, tags=["x"])], ["train"])
    assert one.hash == other.hash


def test_a_path_is_quoted_for_hydra():
    from hydra.core.override_parser.overrides_parser import OverridesParser

    path = Path('/a b/x=1,2/{y}/"z"\\')
    (override,) = OverridesParser.create().parse_overrides([f"hydra.run.dir={quoted(path)}"])
    assert str(override.value()) == str(path)


class Counted:
    """A launcher whose jobs end when looked at for the third time."""

    def __init__(self, places):
        self.jobs, self.running, self.most, self.started, self.cancelled = places, 0, 0, [], []

    def log(self, job, sweep):
        return None

    def start_all(self, jobs, sweep):
        return None

    def start(self, job, place, sweep):
        self.running += 1
        self.most = max(self.most, self.running)
        self.started.append((job.name, place))
        outer = self

        class Handle:
            looks = 0

            def poll(self):
                self.looks += 1
                if self.looks == 3:
                    outer.running -= 1
                return 0 if self.looks >= 3 else None

            def cancel(self):
                outer.running -= 1
                outer.cancelled.append(job.name)

        return Handle()


class GivesUp(Watcher):
    """Gives up the jobs of these names, and remembers how each ended."""

    def __init__(self, *names):
        self.names, self.statuses = names, {}

    def gives_up(self, job):
        return job.name in self.names

    def ended(self, job, status):
        self.statuses[job.name] = status


def named(tmp_path, *names):
    return [Job(name, tmp_path / name, "0" * 12, ("train",), ()) for name in names]


def test_as_many_at_once_as_there_are_places_each_its_own(tmp_path):
    launcher, watcher = Counted(2), GivesUp()
    run_jobs(named(tmp_path, *"abcde"), launcher, tmp_path, watcher, pause=0)
    assert sorted(watcher.statuses) == list("abcde")
    assert launcher.most == 2
    assert {place for _, place in launcher.started} == {0, 1}


def test_a_watched_job_can_be_ended_and_an_interrupt_ends_all(tmp_path):
    launcher, watcher = Counted(2), GivesUp("a")
    run_jobs(named(tmp_path, "a", "b"), launcher, tmp_path, watcher, pause=0)
    assert watcher.statuses == {"a": None, "b": 0}
    assert launcher.cancelled == ["a"]

    class Interrupts(Watcher):
        def gives_up(self, job):
            raise KeyboardInterrupt

    launcher = Counted(2)
    with pytest.raises(KeyboardInterrupt):
        run_jobs(named(tmp_path, "a", "b"), launcher, tmp_path, Interrupts(), pause=0)
    assert launcher.running == 0
