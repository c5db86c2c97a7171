"""What of a sweep's report goes to a logger: told to a stand-in, as starting a real one takes longer."""

import pytest

from arn import loggers
from arn.loggers import RunLogger
from arn.report.dashboard import log_report


class Told(RunLogger):
    def __init__(self, lightning, place):
        super().__init__(lightning, place)
        self.tables, self.shown, self.files, self.values, self.closed = {}, {}, [], {}, None

    def config(self, values):
        self.asked = values

    def table(self, key, columns, rows):
        self.tables[key] = [dict(zip(columns, row, strict=True)) for row in rows]

    def images(self, key, images, step=None):
        self.shown[key] = images

    def artifact(self, name, kind, files, metadata=None):
        self.files += files

    def summary(self, values):
        self.values |= values

    def close(self, failed=False):
        self.closed = not failed


@pytest.fixture
def told(monkeypatch):
    made = []

    def adapter(lightning, place):
        made.append(Told(lightning, place))
        return made[-1]

    adapter.arguments = lambda place, entry: {}
    monkeypatch.setitem(loggers.ADAPTERS, "Stand", adapter)
    monkeypatch.setattr(loggers, "instantiate", lambda entry, place, **more: entry)
    return made


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
    log_report({"csv": {"_target_": "x.CSVLogger"}, "stand": {"_target_": "x.Stand"}}, content, tmp_path, "a sweep")
    (logger,) = told
    assert (logger.place.kind, logger.place.group, logger.place.folder) == ("report", "a sweep", tmp_path)
    assert logger.asked["reference"] == "net"
    rows = logger.tables["summary"]
    assert [(row["variant"], row["difference"], row["p_holm"], row["seeds"]) for row in rows] == [
        ("net", None, None, 2),
        ("less", 0.1, 0.03, 2),
    ]
    assert logger.values == {"TOY/net/mae": 0.1, "TOY/less/mae": 0.2}
    (figure,) = logger.shown["figures/variants_TOY"]
    assert figure.picture == tmp_path / "figures" / "variants_TOY.png"
    assert {path.name for path in logger.files} == {"report.json", "table.md", "index.html"}
    assert logger.closed
