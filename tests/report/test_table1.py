"""The paper's Table 1 beside what was measured."""

import pytest

from arn.cli import main
from arn.evaluation.results import printed
from arn.report.table1 import latex, markdown, rows_of, section


@pytest.fixture
def bench():
    def entry(method, max_f, mae):
        return {
            "method": method,
            "view": "ECSSD/arn2018",
            "values": {"max_f": max_f, "mae": mae},
            "intervals": {},
            "pictures": 1000,
            "seconds_per_picture": None,
            "device": None,
        }

    view = {"id": "ECSSD/arn2018", "dataset": "ECSSD", "label": "ECSSD", "protocol": "arn2018", "note": ""}
    return {
        "protocols": [{"name": "arn2018", "description": "arn2018: as it is", "source": "Table 1"}],
        "views": [view | {"pictures": 1000}],
        "scores": [
            entry("ARN", 0.9104, 0.0552),
            entry("mb_plus", 0.7, 0.2),
            entry("mb", 0.6, 0.2),
            entry("X|Y", 0.5, 0.3),
        ],
        "comparisons": [],
        "warnings": [],
        "printed": printed("table1"),
        "provenance": {"confidence": 0.95, "resamples": 0, "seed": 0},
    }


def test_every_printed_row_and_what_was_measured(bench):
    names = [row.method for row in rows_of(bench)]
    assert names == ["Amulet", "RBD", "KSR", "UCF", "MB (mb_plus)", "MB (mb)", "NLDF", "SRM", "ARN", "X|Y"]


def test_measured_printed_and_their_difference(bench):
    table = markdown(bench)
    assert "**Table 1, measured and as printed, protocol arn2018**" in table
    lines = table.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("| ARN |"))
    assert lines[at].endswith("| no data | 0.9104 | 0.0552 |")
    assert lines[at + 1].endswith("| *0.9133* | *0.0637* |")
    assert lines[at + 2].endswith("| -0.0029 | -0.0085 |")
    srm = next(number for number, line in enumerate(lines) if line.startswith("| SRM |"))
    assert lines[srm].endswith("| no weights | no weights |")
    assert not lines[srm + 2].startswith("|  | difference")
    assert "X\\|Y" in table


def test_latex_and_page(bench):
    tex = latex(bench)
    assert "\\label{tab:table1}" in tex
    assert "\\quad difference &  &  &  &  &  &  & -0.0029 & -0.0085 \\\\" in tex
    bench["scores"][-1]["method"] = "<script>"
    assert "&lt;script&gt;" in section(bench).html
    assert "<script>" not in section(bench).html


def test_the_command_without_its_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARN_DATA_DIR", str(tmp_path))
    assert main(["table1"]) == 2
    assert "none of DUT-OMRON, PASCAL-S, HKU-IS, ECSSD is there" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
