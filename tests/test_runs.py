"""The folder of a training: what is written comes back, what a kill leaves is seen for what it is."""

import subprocess
import sys

import pytest

from arn.config.identity import run_hash
from arn.errors import ArnError
from arn.runs import Run

CONFIG = {"name": "net", "seed": 0, "optimizer": {"lr": 1e-5}, "data": {"sizes": {0: 64, 3: 96}}, "panels": 8}


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path / "sweep" / "run")
    made.begin(CONFIG)
    return made


def test_config_and_record_come_back_and_a_new_beginning_ends_the_record(run):
    assert run.config() == CONFIG
    assert not run.finished
    assert run.record() is None
    run.finish({"seed": 0, "test": {}})
    assert run.finished
    assert run.record() == {"seed": 0, "test": {}}
    run.begin(CONFIG)
    assert not run.finished


def test_half_a_record_is_none(run):
    run.record_file.write_text('{"seed": 0')
    assert run.record() is None
    assert run.hashes() == []


def test_a_run_is_known_by_its_config_and_by_its_record(run):
    key = run_hash(CONFIG)
    assert not run.computes(key)  # not yet
    run.finish({"config_hash": key})
    assert run.hashes() == [key]
    run.finish({"config_hash": "0" * 12})
    assert run.hashes() == ["0" * 12, key]
    assert run.computes(key)
    assert run.computes("0" * 12)
    assert not run.computes("1" * 12)
    run.config_file.write_text("a: [")
    assert run.hashes() == ["0" * 12]


def test_below_are_all_that_were_begun_by_path(run):
    other = Run(run.folder.parent / "other" / "deep")
    other.begin(CONFIG)
    (run.folder.parent / "no_run").mkdir()
    assert [found.folder for found in Run.below(run.folder.parent)] == [other.folder, run.folder]
    assert Run.below(run.folder / "nowhere") == []


def test_a_checkpoint_knows_its_run(run):
    assert Run.of_checkpoint(run.best).folder == run.folder


def test_a_run_has_begun_once_there_is_a_checkpoint(run):
    assert not run.begun
    run.checkpoints.mkdir()
    run.last.touch()
    assert run.begun


def test_a_validation_that_is_not_whole_is_left_out(run):
    assert run.validations() == []
    run.add_validation({"step": 4, "epoch": 0})
    with run.validations_file.open("a") as file:
        file.write('{"step": 8, "ep')
    assert run.validations() == [{"step": 4, "epoch": 0}]


def test_a_resumed_run_forgets_the_validations_after_its_checkpoint(run):
    run.forget_validations_after(0)  # none yet
    assert not run.validations_file.exists()
    for step in (4, 8, 12):
        run.add_validation({"step": step})
    run.forget_validations_after(8)
    assert run.validations() == [{"step": 4}, {"step": 8}]


def test_the_point_to_resume_from_is_whole(run):
    with pytest.raises(ArnError, match="wrote no checkpoint yet"):
        run.resume_point()
    run.checkpoints.mkdir()
    run.last.touch()
    half = run.checkpoints / ".last.ckpt.0123abcd.tmp"
    half.touch()
    assert run.resume_point() == run.last
    assert not half.exists()


def test_single_values_change_when_a_run_is_resumed(run):
    config = run.config_to_resume(["resume=here", "optimizer.lr=0.5", f"seed={CONFIG['seed']}"])
    assert config == {**CONFIG, "optimizer": {"lr": 0.5}, "resume": str(run)}
    with pytest.raises(ArnError, match="keeps seed as it was trained with"):
        run.config_to_resume(["seed=3"])
    for override in ("optimizer=sgd", "optimizer.nowhere=1", "+new=1", "data.sizes=null"):
        with pytest.raises(ArnError, match="only single values"):
            run.config_to_resume([override])


@pytest.mark.parametrize(("text", "named"), [(None, "there is no"), ("a: [", "cannot be read"), ("- 1", "no config")])
def test_a_config_that_cannot_be_resumed_is_named(run, text, named):
    run.config_file.unlink()
    if text is not None:
        run.config_file.write_text(text)
    with pytest.raises(ArnError, match=named) as caught:
        run.config_to_resume([])
    assert str(run.config_file) in str(caught.value)


def test_one_process_holds_a_folder(run):
    tries = "import sys\nfrom arn.runs import Run\nwith Run(sys.argv[1]).lock(): pass"
    with run.lock():
        other = subprocess.run([sys.executable, "-c", tries, str(run)], capture_output=True, text=True, check=False)
    assert "another process is training in this folder" in other.stderr
    assert not run.lock_file.exists()
    assert subprocess.run([sys.executable, "-c", tries, str(run)], capture_output=True, check=False).returncode == 0


def test_other_ranks_leave_the_lock_to_the_first(run, monkeypatch):
    from lightning_utilities.core.rank_zero import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 1, raising=False)
    with run.lock():
        assert not run.lock_file.exists()
