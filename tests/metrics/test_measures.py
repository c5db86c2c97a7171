"""A measure is one file: one that is dropped in is scored, averaged, resampled, printed and shown."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.evaluation.results import Sampling, comparisons, ranked, score_entry, view_id
from arn.evaluation.statistics import bootstrap, compare
from arn.evaluation.views import views
from arn.metrics import SaliencyMetrics, measures
from arn.metrics.functional import Rows, Totals, fields, score, score_row, width
from arn.metrics.measures import MEASURES, REGISTRY, check_measures, of_scores
from arn.metrics.protocols import get_protocol
from arn.report.browser import view_rows
from arn.report.latex import latex
from arn.report.page import write_page
from arn.report.tables import markdown, per_image_csv, scores_csv

TOY = """
from arn.metrics.measure import Column, Label, Measure, Score

LABEL = Label("toy error", "share of pixels on the wrong side of the middle", higher=False)


def of_picture(picture):
    counts = picture.at_thresholds
    wrong = (counts.fp + counts.fn) / picture.size
    return {"toy": float(wrong[127]), "toy_curve": wrong}


MEASURE = Measure(
    "toy",
    99,
    (Column("toy", label=LABEL), Column("toy_curve", 256, Label("T", "toy curve", higher=False))),
    of_picture,
    (
        Score("toy", LABEL, "toy"),
        Score("min_toy", Label("min toy", "smallest", higher=False), "toy_curve", "min"),
        Score("mean_toy", Label("mean toy", "mean", higher=False), "toy_curve", "mean", listed=False),
    ),
)
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, ...]]:
    """All measures, and one whose file lies in the package as theirs do."""
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(measures, "__path__", [*measures.__path__, str(tmp_path)])
    known = dict(REGISTRY)
    REGISTRY.update(measures.find())
    yield check_measures("all")
    REGISTRY.clear()
    REGISTRY.update(known)
    sys.modules.pop("arn.metrics.measures.toy", None)


def pictures(noise: float) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Maps of a disc under noise: the more, the worse."""
    y, x = np.mgrid[:24, :24]
    for number in range(8):
        generator = np.random.default_rng([7, number])
        mask = (y - generator.uniform(8, 16)) ** 2 + (x - generator.uniform(8, 16)) ** 2 < 40
        saliency = np.clip(200 * mask + 20 + noise * generator.normal(size=mask.shape), 0, 255)
        yield f"{number:02d}", saliency.astype(np.uint8), mask


def test_a_row_of_the_first_five_stays_as_it_was_stored() -> None:
    assert MEASURES[:5] == ("mae", "f", "e", "s", "wf")
    assert width(("mae", "f")) == 773
    stored = {"mae": 0, "adaptive_f": 3, "best_f": 4, "precision": 5, "recall": 261, "f_curve": 517, "adaptive_e": 773}
    stored |= {"best_e": 774, "e_curve": 775, "s_measure": 1031, "weighted_f": 1032}
    assert {name: fields()[name].start for name in stored} == stored
    assert check_measures(None) == check_measures("all") == MEASURES


def test_all_leaves_out_what_takes_long() -> None:
    assert MEASURES == ("mae", "f", "e", "s", "wf", "iou", "dice", "ber")
    assert check_measures(["biou", "all"]) == (*MEASURES, "biou")
    assert check_measures("mba") == ("mba",)
    assert of_scores(["max_biou", "mae", "mba"]) == ["mae", "biou", "mba"]


@pytest.mark.parametrize("name", REGISTRY)
def test_a_measure_fills_all_its_columns_and_scores_have_labels(name: str) -> None:
    _, saliency, mask = next(pictures(50))
    row = score_row(saliency, mask, get_protocol("arn2018"), (name,))
    assert np.isfinite(row).all()
    held = {column.name for column in REGISTRY[name].columns}
    for protocol in ("arn2018", "pysod"):
        curves = REGISTRY[name].curves(get_protocol(protocol))
        for one in REGISTRY[name].scores:
            assert one.label.text
            assert one.of in (held if one.take == "average" else curves)


@pytest.mark.parametrize("given", ["levels", "floats"])
def test_what_measures_share_is_computed_once(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    from arn.metrics import kernels

    calls: list[str] = []
    for name in ("joint_counts", "level_table", "adaptive_counts", "normalised", "value_counts"):
        compiled = getattr(kernels, name)
        monkeypatch.setattr(kernels, name, lambda *a, of=name, run=compiled: (calls.append(of), run(*a))[1])
    _, saliency, mask = next(pictures(50))
    protocol = get_protocol("salmetric")
    score_row(saliency if given == "levels" else saliency / 255, mask, protocol)
    expected = {"levels": ["adaptive_counts", "joint_counts", "level_table"], "floats": ["normalised", "value_counts"]}
    assert sorted(calls) == expected[given]


def test_a_file_dropped_in_is_scored_averaged_and_resampled(toy: tuple[str, ...]) -> None:
    assert toy == (*MEASURES, "toy")
    _, saliency, mask = next(pictures(50))
    curve = [np.mean((saliency / saliency.max() >= k / 255) != mask) for k in range(255, -1, -1)]
    found = score(saliency, mask, measures=("toy",))
    np.testing.assert_allclose(found["toy_curve"], curve, atol=1e-12)
    assert found["toy"] == found["toy_curve"][127]
    with pytest.raises(ArnError, match="mba, toy, not ssim"):
        check_measures(("ssim",))

    chosen = check_measures(("toy", "f"))
    protocol = get_protocol("arn2018")
    rows = {
        noise: Rows.of(protocol, chosen, [(stem, score_row(s, m, protocol, chosen)) for stem, s, m in pictures(noise)])
        for noise in (60, 120)
    }
    good, bad = rows.values()
    totals, metric = Totals(protocol, chosen), SaliencyMetrics(protocol, chosen)
    for row in good.table:
        totals.add(row)
    for _, saliency, mask in pictures(60):
        metric.update([saliency], [mask])
    average = good["toy_curve"].mean(axis=0)
    expected = {"toy": good["toy"].mean(), "min_toy": average.min(), "mean_toy": average.mean()}
    for scores in (good.compute(), totals.compute(), {**metric.compute(), **metric.curves()}):
        assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-12)
        np.testing.assert_allclose(scores["toy_curve"], average, atol=1e-12)

    sure = bootstrap(good, resamples=100)
    assert {name: sure[name].estimate for name in expected} == pytest.approx(expected, abs=1e-12)
    assert sure["toy"].low < sure["toy"].estimate < sure["toy"].high
    gap = compare(good, bad, ["min_toy"], resamples=400)["min_toy"]
    assert gap.difference.high < 0
    assert gap.p_sign_flip < 0.05


def test_a_file_dropped_in_is_printed_and_shown(toy: tuple[str, ...], tmp_path: Path) -> None:
    (view,) = views("TINY", "arn2018")
    cache = Cache(tmp_path / "cache")
    sampling = Sampling(resamples=50)
    protocol = get_protocol("arn2018")
    tables = {
        name: Rows.of(protocol, toy, [(stem, score_row(s, m, protocol, toy)) for stem, s, m in pictures(noise)])
        for name, noise in (("bad", 120), ("good", 20))
    }
    unscored = {"of": 8, "seconds_per_picture": None, "device": None}
    entries = [
        {"method": name, "view": view_id(view), **unscored, **score_entry(rows, cache, sampling)}
        for name, rows in tables.items()
    ]
    tested = comparisons(entries, {(name, view_id(view)): one for name, one in tables.items()}, cache, sampling)
    assert [one["method"] for one in ranked(entries, "min_toy")] == ["good", "bad"]
    assert {(one["first"], one["second"]) for one in tested if "toy" in one["score"]} == {("good", "bad")}
    assert len(entries[0]["curves"]["toy_curve"]) == 256
    bench = {
        "protocols": [{"name": "arn2018", "description": "d", "source": "s"}],
        "views": [{"id": view_id(view), "label": "TINY", "dataset": "TINY", "protocol": "arn2018"}],
        "methods": [{"name": name, "kind": "maps"} for name in tables],
        "scores": entries,
        "comparisons": tested,
        "warnings": [],
        "provenance": {"confidence": 0.95, "resamples": 50, "seed": 0, "machine": {}},
    }
    bench["views"][0] |= {"note": "", "pictures": 8}  # type: ignore[index]

    printed = markdown(bench, ["min_toy"])
    assert "| method | TINY min toy |" in printed
    best = entries[1]["values"]["min_toy"]
    assert re.search(rf"\| good \| \*\*{best:.4f}\*\*", printed)
    assert "min toy $\\downarrow$" in latex(bench, ["min_toy"])
    (line, _) = csv.DictReader(io.StringIO(scores_csv(bench)))
    assert float(line["min_toy_low"]) <= float(line["min_toy_high"])
    assert float(line["toy"]) == pytest.approx(entries[0]["values"]["toy"], abs=1e-6)
    assert "mean_toy" not in line
    line = next(csv.DictReader(io.StringIO(per_image_csv([("good", "TINY", "TINY", tables["good"])]))))
    assert float(line["toy"]) == pytest.approx(tables["good"]["toy"][0], abs=1e-6)

    write_page(tmp_path / "index.html", bench, {"view_rows": {view_id(view): view_rows(tables)}})
    page = (tmp_path / "index.html").read_text()
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    label = next(one for one in data["labels"] if one["name"] == "min_toy")
    assert (label["text"], label["higher"]) == ("min toy", False)
    assert {"toy", "mean_toy"} <= {one["name"] for one in data["labels"]}
    assert data["curves"][-1]["name"] == "toy_curve"
    assert data["browser"]["view_rows"][view_id(view)]["scores"]["good"]["toy"]
