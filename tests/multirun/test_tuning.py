"""The search, with a stand-in for the training whose validation is best at optimizer.lr=1e-3."""

import json
import sys
from pathlib import Path

import pytest

from arn.cli import main
from arn.errors import ArnError
from arn.multirun import jobs
from arn.multirun.tuning import checked
from arn.runs import Run

optuna = pytest.importorskip("optuna")
STUB = (sys.executable, str(Path(__file__).parent / "stub.py"))
SPACE = "tune.space={optimizer.lr: {low: 1e-5, high: 1e-1, log: true}}"


@pytest.fixture
def search(tmp_path, monkeypatch):
    """`arn sweep tune` with so many trials in all; returns the exit status."""
    monkeypatch.setattr(jobs, "PROGRAM", STUB)

    def run(trials, *more):
        options = [f"tune.trials={trials}", "tune.startup=3", f"hydra.sweep.dir={tmp_path}/s"]
        return main(["sweep", "tune", "~tune.space", f"+{SPACE}", *options, *more])

    return run


def study(sweep):
    backend = optuna.storages.journal.JournalFileBackend(str(sweep / "study.journal"))
    return optuna.load_study(study_name="arn", storage=optuna.storages.JournalStorage(backend))


def test_it_prunes_finds_and_goes_on(tmp_path, search, capfd):
    assert search(5) == 0
    sweep = tmp_path / "s"
    trials = study(sweep).trials
    states = [one.state.name for one in trials]
    assert len(trials) == 5
    assert set(states) == {"COMPLETE", "PRUNED"}
    for one in trials:
        run = Run(sweep / one.user_attrs["run"])
        assert run.finished == (one.state.name == "COMPLETE")
        seen = [line["val/mae"] for line in run.validations()]
        assert [one.intermediate_values[key] for key in sorted(one.intermediate_values)] == pytest.approx(
            seen[: len(one.intermediate_values)]
        )
    told = capfd.readouterr().out
    assert "given up after" in told
    best = min((one for one in trials if one.value is not None and one.state.name == "COMPLETE"), key=lambda t: t.value)
    assert f"train it: arn train optimizer.lr={best.params['optimizer.lr']}" in told

    # As a kill leaves it: a trial that runs in the study, with a checkpoint in its folder.
    killed = study(sweep).ask({"optimizer.lr": optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True)})
    assert search(7) == 0
    after = study(sweep).trials
    assert after[killed.number].state.name == "FAIL"
    again = after[killed.number + 1]
    assert again.params == killed.params
    assert sum(one.state.name in ("COMPLETE", "PRUNED") for one in after) == 7
    calls = [json.loads(line) for line in (sweep / "calls.txt").read_text().splitlines()]
    assert len(calls) == 7  # none of the first five was run again
    assert len({one["run"] for one in calls}) == 7


def test_a_study_of_another_space_is_refused(tmp_path, search, capsys):
    assert search(1) == 0
    assert search(2, "seed=5") == 2
    assert "another space or config" in capsys.readouterr().err


def test_trials_that_all_fail_end_the_search(search, capsys):
    assert search(9, "loss=bce_sum") == 2
    assert "first 3 trials all failed" in capsys.readouterr().err


GOOD = {"trials": 1, "seed": 0, "startup": 1, "pruner": "none", "warmup": 0, "space": {"a.b": [1, 2]}}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"space": {}}, "tune.space"),
        ({"space": {"a.c": [1]}}, r"tune\.space\.a\.c: the config has no such key"),
        ({"space": {"a.b": {"low": 1}}}, r"tune\.space\.a\.b"),
        ({"space": {"a.b": {"low": 2, "high": 1}}}, "is not below"),
        ({"space": {"a.b": []}}, "a list to choose from"),
        ({"pruner": "best"}, "tune.pruner"),
        ({"epochs": 3}, "tune takes"),
    ],
)
def test_a_search_that_says_too_little_names_its_key(wrong, named):
    assert checked(GOOD, {"a": {"b": 0}}) == GOOD
    with pytest.raises(ArnError, match=named):
        checked(GOOD | wrong, {"a": {"b": 0}})
