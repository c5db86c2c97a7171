"""`arn sweep` itself: what it lists, what it takes for a sweep, and a file of one's own. The jobs: tests/multirun."""

import json
import re
import sys
import time
from pathlib import Path

import pytest

from arn.cli import main
from arn.config.compose import Composed
from arn.multirun import jobs
from arn.multirun.jobs import Sweep
from arn.verbs.sweep import names, shown_together

STUB = (sys.executable, str(Path(__file__).parents[1] / "multirun" / "stub.py"))


def test_alone_it_lists_every_sweep_with_what_it_is(capsys):
    assert main(["sweep"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == names()
    assert {"ablation", "rcl_steps", "attention_stages", "loss", "seeds", "rivals", "tune"} == set(names())
    assert all(len(line.split()) > 5 for line in lines)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["ablations"], "no sweep 'ablations'; there are ablation"),
        (["wandb"], "no sweep 'wandb'"),
        (["seed=1"], "which sweep?"),
        (["nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_what_is_no_sweep_is_told(capsys, arguments, named):
    assert main(["sweep", *arguments]) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "named"), [("a: [", "cannot be read"), ("defaults: [train, _self_]\n", "no hydra.mode: MULTIRUN")]
)
def test_a_file_that_is_no_sweep_is_named(tmp_path, capsys, text, named):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert main(["sweep", str(path)]) == 2
    told = capsys.readouterr().err
    assert str(path) in told
    assert named in told


def test_loggers_are_told_of_what_belongs_together_and_what_differs(tmp_path):
    def shown(config, *jobs):
        folders = (tmp_path, tmp_path, "lite")
        composed = [Composed(overrides, {**config, "seed": seed}, *folders) for overrides, seed in jobs]
        return [dict(one.partition("=")[::2] for one in job.overrides) for job in shown_together(composed)]

    today = time.strftime("%Y-%m-%d")
    config = {"name": "arn_T0", "sweep": "rcl_steps"}
    first, second = shown(
        config, (("network.rcl.steps=0", "seed=1", "panels=0"), 1), (("network.rcl.steps=3", "seed=1", "panels=0"), 1)
    )
    assert first["sweep"] == second["sweep"] == f'"rcl_steps lite {today}"'
    assert (first["label"], second["label"]) == ('"arn_T0 steps=0 seed=1"', '"arn_T0 steps=3 seed=1"')
    (grid,) = shown({"name": "net", "sweep": None}, (("seed=1",), 1))
    assert re.fullmatch(rf'"grid lite {today} [\d-]+"', grid["sweep"])
    (own,) = shown(config, (("sweep=mine", "label=so"), 1))
    assert (own["sweep"], own["label"]) == ("mine", "so")
    Sweep(tmp_path).add_jobs({"a": ["seed=0", 'sweep="rcl_steps lite 2020-01-01"']})
    (later,) = shown(config, (("seed=2",), 2))
    assert later["sweep"] == '"rcl_steps lite 2020-01-01"'  # the day of its first start


def test_a_file_of_ones_own_and_one_job_of_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(jobs, "PROGRAM", STUB)
    path = tmp_path / "mine.yaml"
    path.write_text(
        "defaults: [train, _self_]\nnetwork: {input_size: 64}\nhydra:\n  mode: MULTIRUN\n"
        f"  sweep: {{dir: '{tmp_path}/s p a c e'}}\n  sweeper: {{params: {{seed: '4,5'}}}}\n"
    )
    assert main(["sweep", str(path), "loss=bce"]) == 0
    sweep = tmp_path / "s p a c e"
    calls = [json.loads(line) for line in (sweep / "calls.txt").read_text().splitlines()]
    assert [one["seed"] for one in calls] == ["4", "5"]
    given = json.loads((sweep / calls[0]["run"] / "config.yaml").read_text())
    assert given["loss"] == "bce"
    assert given["hydra.mode"] == "RUN"
    capsys.readouterr()
    assert main(["sweep", str(path), "--cfg", "job", "hydra.mode=RUN"]) == 0  # as its jobs compose it
    assert "input_size: 64" in capsys.readouterr().out
