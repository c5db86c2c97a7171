"""Tables of a bench: the figures, what is marked, what must stand below."""

import csv
import io

import pytest

from arn.report.tables import latex, markdown, scores_csv


def entry(method, view, max_f, mae, **more):
    values = {"max_f": max_f, "mae": mae}
    given = {"intervals": {"max_f": [max_f - 0.01, max_f + 0.01], "mae": [mae - 0.01, mae + 0.01]}}
    given |= {"pictures": 300, "of": 300, "seconds_per_picture": None, "device": None}
    return {"method": method, "view": view, "values": values, **given, **more}


@pytest.fixture
def bench():
    entries = [
        entry("A_net", "SOD/arn2018", 0.8534, 0.1021),
        entry("B & C", "SOD/arn2018", 0.8439, 0.1213, seconds_per_picture=0.0123, device="CPU, 2 threads"),
        entry("D", "SOD/arn2018", 0.8061, 0.1407),
        entry("E", "SOD/arn2018", 0.7, 0.2),
    ]
    gap = {"view": "SOD/arn2018", "first": "A_net", "second": "B & C", "p": 0.2, "p_holm": 0.2}
    return {
        "methods": [],
        "protocols": [{"name": "arn2018", "description": "arn2018: as it is > 5", "source": "Table 1"}],
        "views": [
            {"id": "SOD/arn2018", "dataset": "SOD", "label": "SOD", "protocol": "arn2018", "note": "", "pictures": 300}
        ],
        "scores": entries,
        "comparisons": [
            {**gap, "score": "max_f", "significant": False},
            {**gap, "score": "mae", "significant": True},
        ],
        "warnings": ["A_net was trained on SOD"],
        "printed": None,
        "provenance": {"confidence": 0.95, "resamples": 1000, "seed": 0, "machine": {"processor": "P"}},
    }


def test_markdown_marks_the_best_and_what_may_be_chance(bench):
    table = markdown(bench)
    assert "| method | SOD max F | SOD MAE | ms / picture |" in table
    assert "| A_net | **0.8534** ≈ [0.843, 0.863] | **0.1021** [0.092, 0.112] |  |" in table
    assert "| B & C | 0.8439 [0.834, 0.854] | 0.1213 [0.111, 0.131] | 12.3 |" in table


def test_what_stands_below(bench):
    table = markdown(bench)
    for words in (
        "**A_net was trained on SOD**",
        "as it is > 5",
        "SOD 300",
        "95% bootstrap",
        "Holm over 2",
        "2 threads",
    ):
        assert words in table


def test_one_method_is_not_marked(bench):
    bench["scores"], bench["comparisons"] = bench["scores"][:1], []
    assert "**0.8534**" not in markdown(bench)


def test_equal_figures_are_both_best(bench):
    bench["scores"][1]["values"]["max_f"] = 0.85341
    assert markdown(bench).count("**0.8534**") == 2


def test_partial_coverage_is_told(bench):
    for one in bench["scores"]:
        one["pictures"] = 299
    assert "SOD 299 of 300" in markdown(bench)


def test_latex_is_escaped_and_marks_three(bench):
    table = latex(bench)
    assert "A\\_net" in table
    assert "B \\& C" in table
    assert "\\textcolor{red}{\\textbf{0.8534}}$^{\\approx}$" in table
    assert "\\textcolor{blue}{\\underline{0.8439}}" in table
    assert "\\textcolor{arnthird}{\\textit{0.8061}}" in table
    assert "{0.7000}" not in table
    for word in ("\\toprule", "\\midrule", "\\bottomrule", "\\cmidrule"):
        assert word in table
    body = table.split("\\midrule")[1].split("\\bottomrule")[0]
    assert all(line.count(" & ") == 3 for line in body.strip().splitlines())


def test_printed_figures_are_labelled(bench):
    from arn.evaluation.results import printed

    bench["views"][0] |= {"dataset": "ECSSD", "label": "ECSSD"}
    bench["printed"] = printed("table1")
    assert "| ARN (printed) |" in markdown(bench)
    assert "not measured here" in markdown(bench)
    assert "as printed, not measured" in latex(bench)
    assert "0.9133" in latex(bench)


def test_csv_has_every_score_and_interval(bench):
    rows = list(csv.DictReader(io.StringIO(scores_csv(bench))))
    assert [row["method"] for row in rows] == ["A_net", "B & C", "D", "E"]
    assert float(rows[0]["max_f"]) == 0.8534
    assert float(rows[0]["max_f_low"]) == pytest.approx(0.8434)
    assert (rows[1]["seconds_per_picture"], rows[1]["device"]) == ("0.012300", "CPU, 2 threads")
    assert (rows[0]["dataset"], rows[0]["protocol"], rows[0]["of"]) == ("SOD", "arn2018", "300")
