"""Figures of a bench: there, repeatable, and their pictures chosen by rule."""

import numpy as np
import pytest
from PIL import Image

from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.report.figures import check_style, choose_rows, draw_all, draw_training, grid, use_style


@pytest.fixture
def bench():
    recall = np.linspace(0.1, 1, 256)
    curves = {"precision": (1 - recall**3).tolist(), "recall": recall.tolist(), "f_curve": recall.tolist()}
    curves["thresholds"] = list(range(255, -1, -1))
    values = {"max_f": 0.9, "adaptive_precision": 0.8, "adaptive_recall": 0.7, "adaptive_f": 0.75}
    scores = [{"method": name, "view": "SOD/arn2018", "values": values, "curves": curves} for name in ("A", "B")]
    view = {"id": "SOD/arn2018", "dataset": "SOD", "label": "SOD", "protocol": "arn2018"}
    return {"protocols": [{"name": "arn2018"}], "views": [view], "scores": scores}


def test_every_figure_in_both_formats_and_repeatable(bench, tmp_path):
    files = draw_all(bench, Cache(tmp_path / "a"))
    assert set(files) == {
        f"{kind}_SOD.{end}" for kind in ("pr", "f_threshold", "bars") for end in ("png", "svg", "csv")
    }
    assert all(data.startswith(b"\x89PNG") for name, data in files.items() if name.endswith("png"))
    assert b"<svg" in files["pr_SOD.svg"]
    assert files["bars_SOD.csv"].startswith(b"method,adaptive_precision,adaptive_recall,adaptive_f\nA,0.800000,")
    assert files["pr_SOD.csv"].splitlines()[:2] == [
        b"method,threshold,precision,recall",
        b"A,255.000000,0.999000,0.100000",
    ]
    assert files == draw_all(bench, Cache(tmp_path / "b"))


def test_figures_come_from_the_cache_until_a_number_changes(bench, tmp_path, monkeypatch):
    from arn.report import figures

    cache = Cache(tmp_path)
    files = draw_all(bench, cache)
    original, drawn = figures._written, []
    monkeypatch.setattr(figures, "_written", lambda draw: drawn.append(1) or original(draw))
    assert draw_all(bench, cache) == files
    assert not drawn
    bench["scores"][0]["values"] = {**bench["scores"][0]["values"], "adaptive_f": 0.1}
    draw_all(bench, cache)
    assert len(drawn) == 1  # the bars alone


def test_a_radar_from_three_scores_on(bench, tmp_path):
    for one in bench["scores"]:
        one["values"] = {**one["values"], "mae": 0.1, "s_measure": 0.8}
    files = draw_all(bench, Cache(tmp_path))
    assert files["radar_SOD.png"].startswith(b"\x89PNG")
    assert files["radar_SOD.csv"].splitlines()[0] == b"method,max_f,adaptive_f,s_measure,mae"


def test_a_style_of_matplotlibs_changes_fonts_and_colours(bench, tmp_path):
    file = tmp_path / "mine.mplstyle"
    file.write_text("font.family: serif\naxes.prop_cycle: cycler('color', ['123456'])\n")
    plain = draw_all(bench, Cache(tmp_path / "cache"))
    with use_style(str(file)):
        styled = draw_all(bench, Cache(tmp_path / "cache"))
    assert b"#123456" in styled["pr_SOD.svg"]
    assert b"#123456" not in plain["pr_SOD.svg"]
    assert draw_all(bench, Cache(tmp_path / "cache")) == plain
    check_style("grayscale")
    with pytest.raises(ArnError, match="style=nowhere: no such file"):
        check_style("nowhere")


def test_a_bench_without_curves_has_none(bench, tmp_path):
    for one in bench["scores"]:
        one["curves"] = {}
    assert draw_all(bench, Cache(tmp_path)) == {}


def test_a_name_is_no_formula_and_is_in_the_legend(bench, tmp_path):
    for one, name in zip(bench["scores"], (r"$\nothing$", "_mine"), strict=True):
        one["method"] = name
    drawn = draw_all(bench, Cache(tmp_path))
    assert rb"$\nothing$" in drawn["pr_SOD.svg"]
    assert b"_mine" in drawn["pr_SOD.svg"]
    assert b"_mine" in drawn["f_threshold_SOD.svg"]


def test_rows_are_chosen_by_rule():
    errors = np.array([[0.1, 0.2, 0.9, 0.3, 0.0, 0.9], [0.1, 0.2, 0.9, 0.3, 1.0, 0.8]])
    assert choose_rows(errors, each=1) == [(0, "easy"), (2, "hard"), (4, "disagree")]
    assert [why for _, why in choose_rows(errors)] == ["easy", "easy", "hard", "hard", "disagree", "disagree"]
    assert [why for _, why in choose_rows(errors[:1], each=1)] == ["easy", "hard"]
    assert choose_rows(errors[:, :1]) == [(0, "easy")]


def test_the_grid_shows_each_picture(tmp_path):
    images = [np.full((20, 30, 3), 90, np.uint8), *(np.full((20, 30), level, np.uint8) for level in (255, 40, 200))]
    rows = [("0001", "easy", images, [0.1, 0.2]), ("0002", "hard", images, [0.3, 0.4])]
    (kind, png), (_, svg) = grid("ECSSD", ["A", "B"], rows, Cache(tmp_path))
    assert kind == "png"
    file = tmp_path / "grid.png"
    file.write_bytes(png)
    assert {40, 90, 200, 255} <= set(np.unique(np.asarray(Image.open(file).convert("L"))))
    assert b"0002" in svg


def test_the_learning_curve_skips_what_a_step_did_not_log():
    logged = [
        {"step": "9", "train/loss_step": "2.0", "train/loss_epoch": "", "val/mae": "", "val/max_f": ""},
        {"step": "9", "train/loss_step": "", "train/loss_epoch": "", "val/mae": "0.2", "val/max_f": "0.7"},
        {"step": "9", "train/loss_step": "", "train/loss_epoch": "2.1", "val/mae": "", "val/max_f": ""},
    ]
    drawn = draw_training(logged)
    assert sorted(drawn) == ["training.png", "training.svg"]
    assert b"validation MAE" in drawn["training.svg"]
    assert draw_training(logged) == drawn
    assert draw_training(logged[:1]) != drawn
