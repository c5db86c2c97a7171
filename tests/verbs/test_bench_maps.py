"""`arn bench` of maps as researchers have them, made from published maps of SOD's: any format, name, size, nesting."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from arn.cli import main
from arn.data.images import read_map
from arn.data.layout import find_dataset

pytestmark = pytest.mark.slow

LEAST = ["measures=[mae,f,s]", "timing=0", "figures=false", "workers=1"]


@pytest.fixture
def some(data_dir, tmp_path, monkeypatch):
    """Eight pictures of SOD as a set of one's own below a data root, and DSS's maps of them by stem."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARN_DATA_DIR", str(tmp_path / "data"))
    for pair in find_dataset("SOD", data_dir)[::40]:
        for kind, path in (("images", pair.picture), ("masks", pair.mask)):
            (tmp_path / "data/Some-Set" / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "data/Some-Set" / kind)
    stems = [path.stem for path in sorted((tmp_path / "data/Some-Set/masks").iterdir())]
    return {stem: read_map(data_dir / f"SOD/maps/DSS/{stem}.png") for stem in stems}


def lay(folder, maps, name, store):
    folder.mkdir(parents=True)
    for stem, levels in maps.items():
        store(folder / name.format(stem), levels)


def write(path, levels):
    Image.fromarray(levels).save(path)


def as_mode(mode, **options):
    return lambda path, levels: Image.fromarray(levels).convert(mode).save(path, **options)


def wide(path, levels):
    cv2.imwrite(str(path), levels.astype(np.uint16) * 257)


def scores(run):
    with (run / "scores.csv").open() as lines:
        return {row["method"]: row for row in csv.DictReader(lines)}


FORMS = {
    "plain": ("{}.png", write),
    "upper": ("{}.PNG", write),
    "ending": ("{}_sal_fuse.png", write),
    "tiff": ("{}.tif", write),
    "rgb": ("{}.png", as_mode("RGB")),
    "palette": ("{}.png", as_mode("P")),
    "webp": ("{}.webp", as_mode("RGB", lossless=True)),
    "wide": ("{}.png", wide),
    "floats": ("{}.npy", lambda path, levels: np.save(path, levels.astype(np.float32) / 255)),
    "jpeg": ("{}.jpg", lambda path, levels: Image.fromarray(levels).save(path, quality=95)),
}


def test_every_form_gives_the_scores_of_the_plain_one(some, tmp_path):
    for method, (name, store) in FORMS.items():
        lay(tmp_path / "maps" / method / "some_set", some, name, store)
    run = tmp_path / "run"
    assert main(["bench", "maps=maps", *LEAST, "resamples=0", "browser=2", f"hydra.run.dir={run}"]) == 0
    told = scores(run)
    assert set(told) == set(FORMS)
    for method, row in told.items():
        for score in ("max_f", "mae", "s_measure", "adaptive_f"):
            near = 5e-3 if method == "jpeg" else 0
            assert float(row[score]) == pytest.approx(float(told["plain"][score]), abs=near), (method, score)
        assert (row["pictures"], row["resized"]) == ("8", "")
    described = {
        one["name"]: one["maps"]["Some-Set"] for one in json.loads((run / "bench.json").read_text())["methods"]
    }
    assert described["ending"]["ending"] == "_sal_fuse"
    assert described["floats"]["formats"] == {"NPY": 8}


def test_another_size_is_resized_where_that_is_asked_for_and_told(some, tmp_path, capsys):
    """What bilinear resizing to 224 x 224 and back costs stays within a hundredth."""
    lay(tmp_path / "whole", some, "{}.png", write)
    lay(tmp_path / "small", some, "{}_s.png", lambda path, levels: write(path, cv2.resize(levels, (224, 224))))
    given = ["bench", "datasets=Some-Set", *LEAST, "resamples=100", "browser=2"]
    assert main([*given, "maps={Whole: whole, Small: small}", "hydra.run.dir=refused"]) == 2
    message = capsys.readouterr().err
    first = next(iter(some))
    height, width = some[first].shape
    for words in (
        "Small on Some-Set: 8 maps are not of their mask's size",
        f"{first}: 224 x 224 for {width} x {height}",
        f"small/{first}_s.png",
        "maps={Small: {folder: small, resize: bilinear}}",
    ):
        assert words in message
    assert not (tmp_path / "refused").exists()
    asked = "maps={Whole: whole, Small: {folder: small, suffix: _s.png, resize: bilinear}}"
    assert main([*given, asked, "hydra.run.dir=run"]) == 0
    assert "Small on Some-Set: 8 PNG, 224 x 224, resized from 224 x 224 (bilinear)" in capsys.readouterr().out
    run = tmp_path / "run"
    told = scores(run)
    for score in ("max_f", "mae", "s_measure"):
        assert float(told["Small"][score]) == pytest.approx(float(told["Whole"][score]), abs=0.01)
        assert told["Small"][score] != told["Whole"][score]
    resized = "resized from 224 x 224 (bilinear)"
    assert (told["Small"]["resized"], told["Whole"]["resized"]) == (resized, "")
    for name in ("table.md", "table.tex"):
        assert f"Small: maps {resized}." in (run / name).read_text()
    for name in ("bench.json", "index.html"):
        assert resized in (run / name).read_text()


def test_what_a_scan_writes_is_scored_as_it_is(some, tmp_path, capsys):
    lay(tmp_path / "maps/Some-Set/DSS", some, "{}.png", write)
    lay(tmp_path / "maps/Some-Set/Half", some, "{}.jpg", lambda path, levels: write(path, levels[::2, ::2]))
    lay(tmp_path / "maps/notes", {"a": some[next(iter(some))]}, "{}.png", write)
    assert main(["bench", "scan", "maps", "-o", "methods.yaml"]) == 0
    assert "written: methods.yaml" in capsys.readouterr().out
    text = (tmp_path / "methods.yaml").read_text()
    for words in ("8 of 8 pictures: 8 PNG", "8 JPG", "resize: bilinear", "# passed over: maps/notes"):
        assert words in text
    assert main(["bench", "from=methods.yaml", *LEAST, "resamples=0", "browser=0", "hydra.run.dir=run"]) == 0
    told = scores(tmp_path / "run")
    assert list(told) == ["DSS", "Half"]
    assert told["Half"]["resized"]
    assert main(["bench", "scan", "maps", "-o", "methods.yaml"]) == 2  # what may have been edited stays
    assert "methods.yaml is there already" in capsys.readouterr().err
    assert (tmp_path / "methods.yaml").read_text() == text


@pytest.mark.parametrize("given", [[], ["a", "b"], ["a", "-o"], ["--all"]])
def test_a_scan_of_nothing_says_how_it_is_called(given, capsys):
    assert main(["bench", "scan", *given]) == 2
    assert "usage: arn bench scan DIR" in capsys.readouterr().err


def test_a_bad_map_is_one_error_that_names_it(some, tmp_path, capsys):
    lay(tmp_path / "maps", some, "{}.npy", lambda path, levels: np.save(path, levels / 255))
    np.save(tmp_path / "maps" / f"{list(some)[3]}.npy", np.full(some[list(some)[3]].shape, np.nan))
    given = ["bench", "datasets=Some-Set", "maps={M: maps}", *LEAST, "resamples=0", "hydra.run.dir=run"]
    assert main(given) == 2
    told = capsys.readouterr().err
    assert f"{list(some)[3]}.npy" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_training_takes_one_test_set_by_its_name(tmp_path, tiny_overrides, tiny_dataset):
    """Not as a list of letters, and recorded as a list."""
    options = [one for one in tiny_overrides if not one.startswith("data.test_limit=")]
    run = tmp_path / "run"
    assert main(["train", f"data.test={tiny_dataset}", *options, "data.test_limit=2", f"hydra.run.dir={run}"]) == 0
    assert list(json.loads((run / "metrics.json").read_text())["test"]) == [str(tiny_dataset)]
    assert f"test:\n  - {tiny_dataset}" in (run / "config.yaml").read_text()
