"""The report of a sweep, from runs made up on the spot whose truth is known."""

import csv as csv_module
import io
import json
import math
import statistics
from pathlib import Path

import numpy as np
import pytest

from arn.cli import main
from arn.errors import ArnError
from arn.files import write_atomically
from arn.metrics import SaliencyMetrics
from arn.multirun.jobs import Sweep
from arn.report.ablation import csv, latex, make_report, markdown
from arn.report.runs import numeric_key, read_runs, reference, variants, write_rows
from arn.runs import Run

PICTURES = 12
OPTIONS = {"resamples": 200, "confidence": 0.95, "seed": 0}


def rows(noise, seed, pictures=PICTURES):
    """Scores of maps that are the mask under so much noise."""
    drawn = np.random.default_rng(0)
    masks = [drawn.random((16, 16)) > 0.7 for _ in range(pictures)]
    disturb = np.random.default_rng([seed, round(noise * 1000)])
    metric = SaliencyMetrics(protocol="arn2018", measures=("mae", "f"), keep_rows=True)
    maps = [np.clip(mask + disturb.normal(0, noise, mask.shape), 0, 1).astype(np.float32) for mask in masks]
    metric.update(maps, masks, stems=[f"{index:03d}" for index in range(pictures)])
    return metric.rows()


def run(folder, name, seed, noise, network=None, datasets=("TOY",), pictures=PICTURES, **record):
    """A finished run: what `arn train` leaves that the report reads."""
    config = {"name": name, "seed": seed, "network": network or {}, "data": {"seed": seed, "test": list(datasets)}}
    tables = {dataset: rows(noise, seed + 10 * number, pictures) for number, dataset in enumerate(datasets)}
    run = Run(folder)
    run.begin(config)
    found = {
        "name": name,
        "seed": seed,
        "test": {
            dataset: {key: float(one.compute()[key]) for key in ("max_f", "mae")} for dataset, one in tables.items()
        },
        "parameters": 1000,
        "training_seconds": 60.0 * (seed + 1),
        "seconds_per_picture": 0.1,
        "seconds_per_map": 0.0123,
        "pictures_trained_on": 16,
        "backbone_weights": "random",
        "commit": "c",
        "processor": "p",
    }
    run.finish(found | record)
    write_rows(run, name, tables)
    return tables


FULL = {"rcl": {"enabled": True, "steps": 3}, "attention": {"enabled": True}}
NO_RCL = {"rcl": {"enabled": False, "steps": 3}, "attention": {"enabled": True}}


@pytest.fixture
def ablation(tmp_path):
    """The full model with little noise, without RCL with much; three seeds each, two test sets."""
    for seed in range(3):
        run(tmp_path / f"b{seed}", "net_no_rcl", seed, 0.5, NO_RCL, ("TOY", "OTHER"))
        run(tmp_path / f"z{seed}", "net", seed, 0.2, FULL, ("TOY", "OTHER"))
    return tmp_path


def report_of(folder, name=None):
    found = variants(read_runs(folder)[0])
    return make_report(found, reference(found, name), **OPTIONS)


def test_rows_come_back_as_they_were(tmp_path):
    kept = {"a/b": rows(0.3, 1), "TÖY": rows(0.4, 2)}
    run = Run(tmp_path)
    write_rows(run, "net", kept)
    found = run.rows()
    assert list(found) == list(kept)
    for name, table in kept.items():
        assert found[name].stems == table.stems
        assert found[name].protocol == table.protocol
        assert np.array_equal(found[name].table, table.table)
    lines = list(csv_module.DictReader(io.StringIO(run.rows_csv.read_text())))
    assert len(lines) == 2 * PICTURES
    assert lines[0]["stem"] == "000"


def test_mean_spread_and_difference(ablation):
    report = report_of(ablation)
    assert report["reference"] == "net"
    assert {one["name"]: one["seeds"] for one in report["variants"]} == {"net": [0, 1, 2], "net_no_rcl": [0, 1, 2]}
    assert all(
        one["settings"] in ({"network.rcl.enabled": True}, {"network.rcl.enabled": False}) for one in report["variants"]
    )
    for one in report["scores"]:
        noise, shift = {"net": 0.2, "net_no_rcl": 0.5}[one["variant"]], {"TOY": 0, "OTHER": 10}[one["dataset"]]
        values = [float(rows(noise, seed + shift).compute()[one["score"]]) for seed in range(3)]
        assert one["mean"] == pytest.approx(statistics.fmean(values))
        assert one["sd"] == pytest.approx(statistics.stdev(values))
        assert one["low"] < one["mean"] < one["high"]
    gaps = {(one["dataset"], one["score"]): one["difference"] for one in report["scores"] if one["difference"]}
    assert len(gaps) == 4
    means = {(one["variant"], one["dataset"], one["score"]): one["mean"] for one in report["scores"]}
    for (dataset, score), gap in gaps.items():
        truth = means["net_no_rcl", dataset, score] - means["net", dataset, score]
        assert gap["estimate"] == pytest.approx(truth)
        assert statistics.fmean(gap["by_seed"].values()) == pytest.approx(truth)
        assert (gap["estimate"] < 0) == (score == "max_f")
        assert gap["same_sign"]
        assert gap["significant"]
        assert gap["p"] <= gap["p_holm"] <= 4 * gap["p"] + 1e-9


def test_a_variant_that_does_the_same_is_not_significantly_different(tmp_path):
    for seed in range(2):
        run(tmp_path / f"a{seed}", "net", seed, 0.3, FULL)
        run(tmp_path / f"b{seed}", "net_x", seed, 0.3, NO_RCL)
    gaps = [one["difference"] for one in report_of(tmp_path)["scores"] if one["difference"]]
    assert [gap["estimate"] for gap in gaps] == [0, 0]
    assert [gap["significant"] for gap in gaps] == [False, False]


def test_tables_hold_the_figures(ablation):
    report = report_of(ablation) | {"warnings": []}
    scores = {(one["variant"], one["dataset"], one["score"]): one for one in report["scores"]}
    full, bare = scores["net", "TOY", "max_f"], scores["net_no_rcl", "TOY", "max_f"]
    table = markdown(report)
    assert f"{full['mean']:.4f} ± {full['sd']:.4f}" in table
    assert f"{bare['difference']['estimate']:+.4f}" in table
    assert "| net (reference) | 3 |" in table
    assert "1,000 | 2.0 | 12.3" in table
    tex = latex(report)
    assert "net\\_no\\_rcl" in tex
    assert f"{full['mean']:.4f} $\\pm$ {full['sd']:.4f}" in tex
    assert tex.count("\\toprule") == tex.count("\\bottomrule") == 2
    lines = list(csv_module.DictReader(io.StringIO(csv(report))))
    assert len(lines) == 2 * 2 * 2
    first = next(
        one for one in lines if (one["variant"], one["dataset"], one["score"]) == ("net_no_rcl", "TOY", "max_f")
    )
    assert float(first["mean"]) == pytest.approx(bare["mean"], abs=1e-6)
    assert first["network.rcl.enabled"] == "False"
    assert first["seeds"] == "0 1 2"


def test_the_command_writes_tables_figures_and_a_page(ablation, capsys):
    Run(ablation / "begun").begin({"name": "net"})
    assert main(["report", f"runs={ablation}", "resamples=100"]) == 0
    output = ablation / "report"
    told = capsys.readouterr().out
    assert "net_no_rcl" in told
    content = json.loads((output / "report.json").read_text())
    assert content["warnings"] == ["1 runs of the sweep are begun and not finished: they are missing here."]
    assert content["provenance"]["command"].startswith("arn report runs=")
    for name in ("table.md", "table.tex", "report.csv", "figures/variants_TOY.png", "figures/variants_OTHER.svg"):
        assert (output / name).stat().st_size > 100, name
    page = (output / "index.html").read_text()
    assert "Differences from net" in page
    assert page.count("<svg") >= 2
    assert "begun and not finished" in page
    first = (output / "figures" / "variants_TOY.png").read_bytes()
    assert main(["report", f"runs={ablation}", "resamples=100", f"output={ablation}/again"]) == 0  # not its own report
    assert (ablation / "again" / "figures" / "variants_TOY.png").read_bytes() == first


def test_a_report_that_was_killed_while_it_wrote_goes_on(ablation, monkeypatch):
    written = []

    def killed(path, data):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write_atomically(path, data)

    command = ["report", f"runs={ablation}", "resamples=0", "figures=false", f"output={ablation}/killed"]
    with monkeypatch.context() as context:
        context.setattr("arn.verbs.report.write_atomically", killed)
        assert main(command) == 130
    assert len(list((ablation / "killed").iterdir())) == 1
    assert main(command) == 0


def test_steps_lie_along_an_axis_and_three_is_the_full_model(tmp_path):
    for place, steps in enumerate((3, 0, 1)):
        network = {"rcl": {"enabled": True, "steps": steps}, "attention": {"enabled": True}}
        run(tmp_path / f"r{place}", "net" if steps == 3 else f"net_T{steps}", 0, 0.5 - 0.1 * steps, network)
    found = variants(read_runs(tmp_path)[0])
    assert numeric_key(found) == "network.rcl.steps"
    assert [one.settings["network.rcl.steps"] for one in found] == [0, 1, 3]
    assert reference(found, None).name == "net"
    assert main(["report", f"runs={tmp_path}", "resamples=0"]) == 0
    drawn = sorted(path.name for path in (tmp_path / "report" / "figures").iterdir())
    assert drawn == [f"against_network.rcl.steps_TOY.{end}" for end in ("csv", "png", "svg")]
    assert "One seed each" in (tmp_path / "report" / "table.md").read_text()


def test_variants_of_one_name_are_told_apart_by_their_keys_and_the_first_job_is_the_reference(tmp_path):
    for job, (number, rate) in enumerate((("b", 0.1), ("a", 0.2))):
        run(tmp_path / number, "net", 0, 0.2 + rate, FULL | {"decoder": {"convs": job}})
    Sweep(tmp_path).add_jobs({"b": [], "a": []})
    found = variants(read_runs(tmp_path)[0])
    assert [one.name for one in found] == ["net (network.decoder.convs=0)", "net (network.decoder.convs=1)"]
    assert reference(found, None) is found[0]
    assert reference(found, found[1].name) is found[1]


def test_seeds_that_only_one_variant_has_are_left_out_of_differences(tmp_path):
    for seed in range(3):
        run(tmp_path / f"a{seed}", "net", seed, 0.2, FULL)
    run(tmp_path / "b1", "net_no_rcl", 1, 0.5, NO_RCL)
    (gap,) = (one["difference"] for one in report_of(tmp_path)["scores"] if one["difference"] and one["score"] == "mae")
    assert list(gap["by_seed"]) == [1]
    assert gap["estimate"] == pytest.approx(float(rows(0.5, 1).compute()["mae"] - rows(0.2, 1).compute()["mae"]))
    assert gap["sd"] is None


def spoil_rows(folder: Path) -> None:
    rows = Run(folder / "a").rows_file
    rows.write_bytes(rows.read_bytes()[:100])


def spoil_record(folder: Path) -> None:
    Run(folder / "a").record_file.write_text('{"name": ')


def other_pictures(folder: Path) -> None:
    run(folder / "b", "other", 0, 0.2, NO_RCL, pictures=5)


def same_seed(folder: Path) -> None:
    run(folder / "b", "net", 0, 0.3, FULL)


def other_sets(folder: Path) -> None:
    run(folder / "b", "other", 0, 0.3, NO_RCL, datasets=("ELSE",))


def only_begun(folder: Path) -> None:
    Run(folder / "a").record_file.unlink()


@pytest.mark.parametrize(
    ("spoil", "options", "named"),
    [
        (spoil_rows, [], "per_image.npz"),
        (spoil_record, [], "a is no run"),
        (other_pictures, [], "same pictures"),
        (same_seed, [], "the same training twice"),
        (other_sets, [], "different sets"),
        (only_begun, [], "no finished run"),
        (lambda folder: None, ["reference=nobody"], "reference=nobody"),
        (lambda folder: None, ["confidence=2"], "confidence"),
    ],
)
def test_runs_that_cannot_be_reported_are_named_and_nothing_is_written(tmp_path, capsys, spoil, options, named):
    run(tmp_path / "a", "net", 0, 0.2, FULL)
    spoil(tmp_path)
    assert main(["report", f"runs={tmp_path}", "resamples=50", *options]) == 2
    told = capsys.readouterr().err
    assert named in told
    assert "Traceback" not in told
    assert not (tmp_path / "report").exists()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ArnError, match="not a folder"):
        read_runs(tmp_path / "nothing")


def test_report_json_has_no_nan(ablation):
    def finite(node):
        if isinstance(node, dict):
            return all(map(finite, node.values()))
        if isinstance(node, list):
            return all(map(finite, node))
        return not isinstance(node, float) or math.isfinite(node)

    assert finite(report_of(ablation))
