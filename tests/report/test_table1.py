"""The paper's Table 1 beside what was measured."""

import json

import cv2
import numpy as np
import pytest

from arn.cli import main
from arn.data.scenes import draw_scene
from arn.evaluation.results import printed
from arn.report.table1 import latex, markdown, rows_of, section

pytestmark = pytest.mark.slow


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


def test_graded_masks_and_held_out_pictures_have_their_columns(bench):
    """F and MAE of PASCAL-S from the readings that the protocol itself takes; a held-out part beside the whole."""
    for dataset, label, protocol, pictures in [
        ("PASCAL-S", "PASCAL-S (mask >= 0.1)", "arn2018@0.1", 850),
        ("PASCAL-S", "PASCAL-S (mask > 0.5)", "arn2018@0.5", 850),
        ("DUT-OMRON", "DUT-OMRON (all)", "arn2018", 5168),
        ("DUT-OMRON", "DUT-OMRON (held out, 1,668)", "arn2018", 1668),
        ("ECSSD", "ECSSD", "pysod", 1000),
    ]:
        view = {"id": f"{label}/{protocol}", "dataset": dataset, "label": label, "protocol": protocol, "note": ""}
        bench["views"].insert(0, view | {"pictures": pictures})
        values = {"max_f": round(0.8 + len(bench["views"]) / 100, 2), "mae": len(bench["views"]) / 100}
        bench["scores"].append(bench["scores"][0] | {"view": view["id"], "values": values})
    bench["protocols"].insert(0, bench["protocols"][0] | {"name": "arn2018@0.5"})
    (arn,) = [row.measured for row in rows_of(bench) if row.method == "ARN"]
    assert arn == {
        ("ECSSD", "max_f"): 0.9104,
        ("ECSSD", "mae"): 0.0552,
        ("PASCAL-S", "max_f"): 0.82,
        ("PASCAL-S", "mae"): 0.03,
        ("DUT-OMRON", "max_f"): 0.84,
        ("DUT-OMRON", "mae"): 0.04,
        ("DUT-OMRON (held out, 1,668)", "max_f"): 0.85,
        ("DUT-OMRON (held out, 1,668)", "mae"): 0.05,
    }
    table = markdown(bench)
    assert "protocol arn2018**" in table
    head = table.splitlines()[2]
    assert head.count("PASCAL-S") == 2
    assert head.count("DUT-OMRON (held out, 1,668)") == 2


def test_latex_and_page(bench):
    bench["warnings"] = ["ECSSD: half_done"]
    tex = latex(bench)
    assert "\\label{tab:table1}" in tex
    assert "\\quad difference &  &  &  &  &  &  & $-0.0029$ & $-0.0085$ \\\\" in tex
    assert "\\footnotesize ECSSD: half\\_done" in tex
    bench["scores"][-1]["method"] = "<script>"
    assert "&lt;script&gt;" in section(bench).html
    assert "<script>" not in section(bench).html


def test_the_command_without_its_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARN_DATA_DIR", str(tmp_path))
    assert main(["table1"]) == 2
    assert "none of DUT-OMRON, PASCAL-S, HKU-IS, ECSSD is there" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_command_on_graded_masks(tmp_path, monkeypatch):
    """All but the figures of a run: tables in three forms, with PASCAL-S where it belongs."""
    for name in ("ECSSD", "PASCAL-S"):
        for number in range(3):
            picture, mask = draw_scene(len(name), number, (48, 64))
            mask = np.minimum(mask, 255 * (4 + 4 * number) // 12).astype(np.uint8) if name == "PASCAL-S" else mask
            for kind, image, suffix in (("images", picture[..., ::-1], "jpg"), ("masks", mask, "png")):
                (tmp_path / name / kind).mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(tmp_path / name / kind / f"{number}.{suffix}"), image)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARN_DATA_DIR", str(tmp_path))
    given = "coverage=intersect resamples=20 timing=0 workers=1 figures=false methods=[mb] hydra.run.dir=run"
    assert main(["table1", *given.split(), "columns=[max_f,mae,biou]"]) == 0
    content = json.loads((tmp_path / "run/bench.json").read_text())
    at = {(one["method"], one["view"]): one["values"] for one in content["scores"]}
    table = (tmp_path / "run/table1.md").read_text().splitlines()
    head = [cell.strip() for cell in table[2].split("|")]
    line = next(row for row in table if row.startswith("| MB (mb) | measured |"))
    row = dict(zip(head, (cell.strip() for cell in line.split("|")), strict=True))
    assert row["PASCAL-S max F"] == f"{at['mb', 'PASCAL-S (mask >= 0.1)/arn2018@0.1']['max_f']:.4f}"
    assert row["PASCAL-S MAE"] == f"{at['mb', 'PASCAL-S (mask > 0.5)/arn2018@0.5']['mae']:.4f}"
    assert row["DUT-OMRON max F"] == row["HKU-IS MAE"] == "no data"
    assert "boundary IoU" in (tmp_path / "run/table.md").read_text()
    assert "boundary IoU, of the map above level 128" not in (tmp_path / "run/table.tex").read_text()
    assert "Table 1, measured and as printed" in (tmp_path / "run/index.html").read_text()
