"""Tables of a bench: the figures, what is marked, what must stand below."""

import csv
import io

import pytest

from arn.report.latex import Form, latex
from arn.report.tables import markdown, scores_csv, to_csv


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
    assert "| B & C | 0.8439 ² [0.834, 0.854] | 0.1213 ² [0.111, 0.131] | 12.3 |" in table
    assert "| D | 0.8061 ³ [" in table
    assert "| E | 0.7000 [" in table


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
    assert "\\textbf{0.8534}$^{\\approx}$" in table
    assert "\\underline{0.8439}" in table
    assert "\\textit{0.8061}" in table
    assert "{0.7000}" not in table
    assert "color" not in table
    for word in ("\\toprule", "\\midrule", "\\bottomrule", "\\cmidrule"):
        assert word in table
    body = table.split("\\midrule")[1].split("\\bottomrule")[0]
    assert all(line.count(" & ") == 3 for line in body.strip().splitlines())


def test_a_name_at_the_start_of_a_row_is_no_argument(bench):
    bench["scores"][0]["method"] = "[ours]"
    bench["scores"][1]["method"] = "*|x"
    table = latex(bench)
    assert "\n{[}ours] &" in table
    assert "\n{*}\\textbar{}x &" in table


def test_latex_marks_in_colour_if_asked(bench):
    table = latex(bench, form=Form(marks="colour"))
    assert "\\textcolor{red}{\\textbf{0.8534}}$^{\\approx}$" in table
    assert "\\textcolor{blue}{\\underline{0.8439}}" in table
    assert "\\textcolor{arnthird}{\\textit{0.8061}}" in table
    assert "Best three: red and bold, blue and underlined, green and italic." in table


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


def two_protocols(bench):
    bench["protocols"].append({"name": "pysod", "description": "pysod: as it is", "source": "PySODMetrics"})
    bench["views"].append(bench["views"][0] | {"id": "SOD/pysod", "protocol": "pysod"})
    bench["scores"] += [one | {"view": "SOD/pysod"} for one in bench["scores"]]
    return bench


def test_every_table_says_its_protocol(bench):
    table, tex = markdown(two_protocols(bench)), latex(bench)
    assert "**max F and MAE on SOD, protocol arn2018**" in table
    assert "**max F and MAE on SOD, protocol pysod**" in table
    assert "\\label{tab:arn2018}" in tex
    assert "\\label{tab:pysod}" in tex


def test_captions_are_short_and_the_rest_is_not_lost(bench):
    tex = latex(two_protocols(bench))
    captions = [line for line in tex.splitlines() if line.startswith("\\caption")]
    assert len(captions) == 2
    assert all(len(caption) < 200 for caption in captions)
    assert "% Pictures: SOD 300." in tex
    assert "\\footnotesize A\\_net was trained on SOD" in tex


def test_siunitx_has_numbers_in_columns_of_their_own(bench):
    tex = latex(bench, form=Form("siunitx", "colour"))
    assert "{lS[table-format=1.4]@{\\,}lS[table-format=1.4]@{\\,}lr}" in tex
    assert "\\bfseries 0.8534 &" in latex(bench, form=Form("siunitx"))
    assert "\\color{red}\\bfseries 0.8534 & $^{\\approx}${\\scriptsize [0.843, 0.863]}" in tex
    body = tex.split("\\midrule")[1].split("\\bottomrule")[0]
    assert all(line.count(" & ") == 5 for line in body.strip().splitlines())


def test_names_cannot_break_a_table_or_be_formulas(bench):
    for one in bench["scores"]:
        if one["method"] == "D":
            one["method"] = "=1+1|x\nnew"
    rows = [line for line in markdown(bench).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "'=1+1" in scores_csv(bench)
    assert to_csv(["a"], [["+x"], ["-0.5"], [-0.5]]) == "a\n'+x\n-0.5\n-0.500000\n"


def test_a_spreadsheet_has_a_sheet_a_protocol_and_no_formula(bench):
    import zipfile

    from arn.report.xlsx import scores_xlsx

    bench = two_protocols(bench)
    bench["scores"][2]["method"] = '=HYPERLINK("x")'
    book = zipfile.ZipFile(io.BytesIO(scores_xlsx(bench)))
    sheets = [name for name in book.namelist() if name.startswith("xl/worksheets/sheet")]
    assert len(sheets) == 2
    texts = b"".join(book.read(name) for name in sheets)
    assert b"<f>" not in texts
    assert b"<v>0.8534</v>" in texts
    assert b"HYPERLINK" in book.read("xl/sharedStrings.xml")
