"""`arn bench`: checkpoints and folders of maps, with strict coverage and the published figures as known answers."""

import csv
import shutil

import numpy as np
import pytest
import torch

from arn.cli import main
from arn.data.pairs import read_mask, write_map


def rows(run):
    with (run / "scores.csv").open() as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def maps(tiny_dataset, tmp_path):
    """Perfect maps of the tiny data set."""
    folder = tmp_path / "maps"
    folder.mkdir()
    for path in (tiny_dataset / "masks").iterdir():
        write_map(folder / path.name, read_mask(path))
    return folder


def bench(run, dataset, *arguments):
    return main(["bench", f"datasets=[{dataset}]", *arguments, f"hydra.run.dir={run}"])


def test_perfect_maps(tiny_dataset, maps, tmp_path):
    assert bench(tmp_path / "run", tiny_dataset, f"maps={{Perfect: {maps}}}") == 0
    (row,) = rows(tmp_path / "run")
    assert (float(row["max_f"]), float(row["mae"])) == (1.0, 0.0)
    assert row["protocol"] == "arn2018"
    table = (tmp_path / "run" / "table.md").read_text()
    assert "Perfect" in table
    assert "arn2018" in table


def test_checkpoint_beside_maps(tiny_dataset, maps, tmp_path, trained):
    methods = [f"maps={{Perfect: {maps}}}", f"checkpoints={{ARN: {trained}}}"]
    assert bench(tmp_path / "run", tiny_dataset, *methods) == 0
    assert [row["method"] for row in rows(tmp_path / "run")] == ["ARN", "Perfect"]


def test_bench_gives_the_scores_of_the_training(tiny_dataset, tmp_path, trained, tiny_overrides):
    """What `arn train` says of a test set and what `arn bench` says of its checkpoint are the same numbers."""
    import json

    run = tmp_path / "train"
    folder = ["experiment=folder", f"data.train=[{tiny_dataset}]", f"data.test=[{tiny_dataset}]", "data.val=2"]
    options = [o for o in tiny_overrides if not o.startswith(("data.val=", "data.test_limit="))]
    assert main(["train", *folder, *options, "data.train_limit=4", f"hydra.run.dir={run}"]) == 0
    assert bench(tmp_path / "run", tiny_dataset, f"checkpoints={{ARN: {run}}}") == 0
    told = json.loads((run / "metrics.json").read_text())["test"][str(tiny_dataset)]
    (row,) = rows(tmp_path / "run")
    assert float(row["max_f"]) == pytest.approx(told["max_f"], abs=1e-4)
    assert float(row["mae"]) == pytest.approx(told["mae"], abs=1e-4)


def test_missing_map_stops_the_run(tiny_dataset, maps, tmp_path, capsys):
    (maps / "0003.png").unlink()
    assert bench(tmp_path / "run", tiny_dataset, f"maps={{M: {maps}}}") == 2
    assert "0003" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert bench(tmp_path / "run", tiny_dataset, f"maps={{M: {maps}}}", "coverage=intersect") == 0
    assert "5 of 6" in (tmp_path / "run" / "table.md").read_text()


def test_extra_map_stops_the_run(tiny_dataset, maps, tmp_path, capsys):
    write_map(maps / "9999.png", np.zeros((4, 4), np.uint8))
    assert bench(tmp_path / "run", tiny_dataset, f"maps={{M: {maps}}}") == 2
    assert "9999" in capsys.readouterr().err


def test_map_of_another_size(tiny_dataset, maps, tmp_path, capsys):
    write_map(maps / "0001.png", np.zeros((10, 10), np.uint8))
    assert bench(tmp_path / "run", tiny_dataset, f"maps={{M: {maps}}}") == 2
    assert "0001" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("argument", "names"),
    [
        ("maps={M: nowhere}", "nowhere"),
        ("checkpoints={M: nowhere.ckpt}", "nowhere.ckpt"),
        ("protocol=mine", "mine"),
        ("methods=[gbvs]", "gbvs"),
        ("coverage=most", "most"),
        ("datasets=[NoSuchSet]", "NoSuchSet"),
        ("map={}", "map"),
    ],
)
def test_bad_arguments(tiny_dataset, maps, tmp_path, capsys, argument, names):
    given = [f"datasets=[{tiny_dataset}]", f"maps={{M: {maps}}}", argument]
    assert main(["bench", *given, f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    message = capsys.readouterr().err
    assert names in message
    assert "Traceback" not in message
    assert not (tmp_path / "run").exists()


def test_training_free_method_on_drawn_scenes(tmp_path, monkeypatch):
    from arn.data import scenes

    monkeypatch.setitem(scenes.COUNTS, "test", 6)
    assert main(["bench", "methods=[mb]", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    (row,) = rows(tmp_path / "run")
    assert (row["method"], row["dataset"], row["pictures"]) == ("mb", "scenes", "6")


def test_nothing_to_score(tiny_dataset, tmp_path, capsys):
    assert bench(tmp_path / "run", tiny_dataset) == 2
    assert "checkpoints=" in capsys.readouterr().err


def test_checkpoint_of_another_architecture(tiny_dataset, tmp_path, trained, capsys):
    path = tmp_path / "other.ckpt"
    state = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    state["arn_config"]["network"]["decoder"]["channels"] = [8, 8, 8]
    torch.save(state, path)
    assert bench(tmp_path / "run", tiny_dataset, f"checkpoints={{ARN: {path}}}") == 2
    message = capsys.readouterr().err
    assert "other.ckpt" in message
    assert "architecture" in message


def test_truncated_checkpoint(tiny_dataset, tmp_path, trained, capsys):
    path = tmp_path / "half.ckpt"
    whole = (trained / "checkpoints" / "best.ckpt").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert bench(tmp_path / "run", tiny_dataset, f"checkpoints={{ARN: {path}}}") == 2
    assert "half.ckpt" in capsys.readouterr().err


def test_checkpoint_that_carries_code_is_refused(tiny_dataset, tmp_path, capsys):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    path = tmp_path / "bomb.ckpt"
    path.write_bytes(pickle.dumps(Bomb()))
    assert bench(tmp_path / "run", tiny_dataset, f"checkpoints={{ARN: {path}}}") == 2
    assert "bomb.ckpt" in capsys.readouterr().err
    assert not (tmp_path / "exploded").exists()


@pytest.mark.real
def test_published_maps_give_the_published_figures(data_dir, tmp_path):
    maps = ", ".join(f"{name}: {data_dir / 'SOD' / 'maps' / name}" for name in ("Amulet", "DSS", "PiCANet"))
    assert main(["bench", "datasets=[SOD]", f"maps={{{maps}}}", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    told = {row["method"]: (float(row["max_f"]), float(row["mae"])) for row in rows(tmp_path / "run")}
    expected = {"Amulet": (0.8061, 0.1407), "DSS": (0.8439, 0.1213), "PiCANet": (0.8534, 0.1021)}
    for method, figures in expected.items():
        assert told[method] == pytest.approx(figures, abs=6e-5), method


@pytest.mark.real
def test_real_map_missing_is_named(data_dir, tmp_path, capsys):
    folder = tmp_path / "Amulet"
    shutil.copytree(data_dir / "SOD" / "maps" / "Amulet", folder)
    (folder / "100075.png").chmod(0o644)
    (folder / "100075.png").unlink()
    assert main(["bench", "datasets=[SOD]", f"maps={{Amulet: {folder}}}", f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    assert "100075" in capsys.readouterr().err
