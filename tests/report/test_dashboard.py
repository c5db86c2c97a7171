"""What of a sweep's report goes to W&B: told to a stand-in, as starting the real one takes longer than all of this."""

import sys
from types import SimpleNamespace

import pytest

from arn.report.dashboard import log_report


class Session:
    def __init__(self):
        self.id, self.summary, self.logged, self.artifacts, self.finished = "abc", {}, {}, [], False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.finished = True

    def log(self, what):
        self.logged |= what

    def log_artifact(self, artifact):
        self.artifacts.append(artifact)


class Table:
    def __init__(self, columns):
        self.columns, self.rows = columns, []

    def add_data(self, *row):
        assert len(row) == len(self.columns)
        self.rows.append(dict(zip(self.columns, row, strict=True)))


class Artifact:
    def __init__(self, name, type):
        self.name, self.type, self.files = name, type, []

    def add_file(self, path):
        self.files.append(path)


@pytest.fixture
def told(monkeypatch):
    found = SimpleNamespace(session=Session(), options=None)

    def init(**options):
        found.options = options
        return found.session

    fake = SimpleNamespace(init=init, Table=Table, Artifact=Artifact, Image=lambda path: ("image", path))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return found


def test_a_report_is_one_run_with_a_table_figures_and_its_files(told, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "variants_TOY.png").touch()
    variant = {"name": "net", "seeds": [0, 1], "parameters": 7, "training_seconds": 60.0, "seconds_per_map": 0.01}
    score = {"variant": "net", "dataset": "TOY", "score": "mae", "mean": 0.1, "sd": 0.01, "low": 0.09, "high": 0.11}
    content = {
        "provenance": {},
        "reference": "net",
        "protocols": [],
        "warnings": [],
        "variants": [variant, variant | {"name": "less"}],
        "scores": [
            score | {"difference": None},
            score | {"variant": "less", "mean": 0.2, "difference": {"estimate": 0.1, "p_holm": 0.03}},
        ],
    }
    chosen = {
        "_target_": "x.WandbLogger",
        "save_dir": "elsewhere",
        "offline": True,
        "project": "arn",
        "name": "report",
        "tags": [],
    }
    log_report(chosen, content, tmp_path)
    assert told.options["job_type"] == "report"
    assert told.options["mode"] == "offline"
    assert told.options["dir"] == str(tmp_path)
    assert told.options["project"] == "arn"
    rows = told.session.logged["summary"].rows
    assert [(row["variant"], row["difference"], row["p_holm"], row["seeds"]) for row in rows] == [
        ("net", None, None, 2),
        ("less", 0.1, 0.03, 2),
    ]
    assert told.session.summary == {"TOY/net/mae": 0.1, "TOY/less/mae": 0.2}
    assert told.session.logged["figures/variants_TOY"][0] == "image"
    (artifact,) = told.session.artifacts
    assert {path.rpartition("/")[2] for path in artifact.files} == {"report.json", "table.md", "index.html"}
    assert told.session.finished
