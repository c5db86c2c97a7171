"""`arn bench`: checkpoints and folders of maps, with strict coverage and the published figures as known answers."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from arn.cli import main
from arn.data import scenes
from arn.data.images import read_mask, write_map
from arn.evaluation.upkeep import contents
from arn.inference import exports, weights
from arn.inference.methods import Classical
from arn.verbs.export import describe

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """The default cache lies below the current folder."""
    monkeypatch.chdir(tmp_path)


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
    run = tmp_path / "train"
    folder = ["experiment=folder", f"data.train=[{tiny_dataset}]", f"data.test=[{tiny_dataset}]", "data.val=2"]
    options = [o for o in tiny_overrides if not o.startswith(("data.val=", "data.test_limit="))]
    assert (
        main(["train", *folder, *options, "data.train_limit=4", "trainer.precision=32-true", f"hydra.run.dir={run}"])
        == 0
    )
    assert bench(tmp_path / "run", tiny_dataset, f"checkpoints={{ARN: {run}}}") == 0
    told = json.loads((run / "metrics.json").read_text())["test"][str(tiny_dataset)]
    (row,) = rows(tmp_path / "run")
    assert float(row["max_f"]) == pytest.approx(told["max_f"], abs=1e-6)
    assert float(row["mae"]) == pytest.approx(told["mae"], abs=1e-6)


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
        ("shard=3/2", "shard=3/2"),
        ("measures=[mae,g]", "g"),
        ("columns=[max_g]", "max_g"),
        ("printed=table7", "table7"),
        ("workers=0", "workers=0"),
        ("trained_on={N: ECSSD}", "trained_on.N"),
        ("maps=[a]", "maps"),
        ("maps={M: {ECSSD: nowhere}}", "maps.M"),
    ],
)
def test_bad_arguments(tiny_dataset, maps, tmp_path, capsys, argument, names):
    given = [f"datasets=[{tiny_dataset}]", f"maps={{M: {maps}}}", argument]
    assert main(["bench", *given, f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    message = capsys.readouterr().err
    assert names in message
    assert "Traceback" not in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "argument",
    ["batch_size=0", "resamples=-1", "confidence=1", "timing=-1", "browser=-1", "workers=many", "cashe=null"],
)
def test_values_beyond_their_limits_are_named(tiny_dataset, tmp_path, capsys, argument):
    assert bench(tmp_path / "run", tiny_dataset, "methods=[mb]", argument.replace("cashe", "+cashe")) == 2
    assert argument.partition("=")[0] in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_one_name_needs_no_list(tiny_dataset, tmp_path):
    names = ["methods=mb", "protocol=pysod", "measures=mae", "columns=mae"]
    given = [f"datasets={tiny_dataset}", *names, "resamples=0", "timing=0", "figures=false", "browser=0"]
    assert main(["bench", *given, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    (row,) = rows(tmp_path / "run")
    assert (row["method"], row["dataset"], row["protocol"]) == ("mb", "TINY", "pysod")
    assert float(row["mae"]) > 0


def test_training_free_method_on_drawn_scenes(tmp_path, monkeypatch):
    monkeypatch.setitem(scenes.COUNTS, "test", 6)
    assert main(["bench", "methods=[mb]", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    (row,) = rows(tmp_path / "run")
    assert (row["method"], row["dataset"], row["pictures"]) == ("mb", "scenes", "6")


def test_nothing_to_score(tiny_dataset, tmp_path, capsys):
    assert bench(tmp_path / "run", tiny_dataset, "methods=[]") == 2
    assert "checkpoints=" in capsys.readouterr().err


def test_without_methods_all_at_hand_are_scored(tiny_dataset, tmp_path, trained, monkeypatch):
    """The shipped networks, the last training, the training-free; one trained on drawn scenes only on drawn scenes."""
    monkeypatch.setitem(scenes.COUNTS, "test", 2)
    monkeypatch.setattr(exports, "_PRETRAINED", tmp_path / "pretrained")
    monkeypatch.setattr(exports, "SHIPPED", {"small": "Small"})
    shutil.copytree(trained, tmp_path / "outputs" / "train" / "today" / "run")
    network, config = weights.load_network(trained)
    (tmp_path / "pretrained" / "small").mkdir(parents=True)
    save_file(network.state_dict(), tmp_path / "pretrained" / "small" / "model.safetensors")
    described = json.dumps(describe(network, config, trained / "checkpoints" / "best.ckpt", half=False))
    (tmp_path / "pretrained" / "small" / "config.json").write_text(described)
    least = ["timing=0", "figures=false", "browser=0", "measures=[mae,f]"]
    assert bench(tmp_path / "run", tiny_dataset, *least) == 0
    assert [row["method"] for row in rows(tmp_path / "run")][:2] == ["Small", "mb"]
    assert main(["bench", *least, f"hydra.run.dir={tmp_path / 'scenes'}"]) == 0
    assert [row["method"] for row in rows(tmp_path / "scenes")][:3] == ["Small", "last training", "mb"]


FILES = ["scores.csv", "per_image.csv", "table.md", "table.tex", "bench.json", "index.html"]


def test_everything_is_written(tiny_dataset, maps, tmp_path):
    other = tmp_path / "inverse"
    for path in maps.iterdir():
        write_map(other / path.name, 255 - read_mask(path))
    given = [f"maps={{Perfect: {maps}, Inverse: {other}}}", "methods=[mb]", "protocol=[arn2018,pysod]", "resamples=200"]
    assert bench(tmp_path / "run", tiny_dataset, *given) == 0
    run = tmp_path / "run"
    for name in FILES:
        assert (run / name).stat().st_size > 0
    names = {path.name for path in (run / "figures").iterdir()}
    assert {f"pr_TINY_{p}.{end}" for p in ("arn2018", "pysod") for end in ("png", "svg")} < names
    assert {"grid_TINY.png", "grid_TINY.svg"} < names
    assert [(row["method"], row["protocol"]) for row in rows(run)] == [
        (method, protocol) for protocol in ("arn2018", "pysod") for method in ("mb", "Perfect", "Inverse")
    ]
    with (run / "per_image.csv").open() as lines:
        images = list(csv.DictReader(lines))
    assert len(images) == 2 * 3 * 6
    assert all(float(row["mae"]) == 0 for row in images if row["method"] == "Perfect")
    told = json.loads((run / "bench.json").read_text())
    assert [one["kind"] for one in told["methods"]] == ["classical", "maps", "maps"]
    assert told["provenance"]["command"].startswith("arn bench 'datasets=")
    mb, perfect = told["scores"][0], told["scores"][1]
    assert mb["seconds_per_picture"] > 0
    assert mb["device"] == "CPU, 1 thread"
    assert perfect["seconds_per_picture"] is None
    low, high = mb["intervals"]["mae"]
    assert low < mb["values"]["mae"] < high
    table = (run / "table.md").read_text()
    assert table.count("| Perfect | **1.0000**") == 2
    assert "ms / picture" in table


def test_maps_of_one_set_beside_a_method_of_both(tiny_dataset, maps, tmp_path, monkeypatch):
    monkeypatch.setitem(scenes.COUNTS, "test", 4)
    given = [f"maps={{Perfect: {{TINY: {maps}}}}}", "methods=[mb]", "resamples=100", "timing=0"]
    assert main(["bench", f"datasets=[{tiny_dataset},scenes]", *given, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    told = [(row["method"], row["dataset"]) for row in rows(tmp_path / "run")]
    assert told == [("mb", "TINY"), ("Perfect", "TINY"), ("mb", "scenes")]
    (line,) = (
        line for line in (tmp_path / "run" / "table.md").read_text().splitlines() if line.startswith("| Perfect")
    )
    assert line.endswith("| - | - |")


def test_a_second_run_equals_the_first(tiny_dataset, maps, tmp_path):
    given = [f"maps={{Perfect: {maps}}}", "methods=[mb]", "resamples=100"]
    for name in ("one", "two"):
        assert bench(tmp_path / name, tiny_dataset, *given) == 0
    for name in ("scores.csv", "per_image.csv", "figures/pr_TINY.svg", "figures/grid_TINY.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_without_a_cache(tiny_dataset, maps, tmp_path):
    assert bench(tmp_path / "run", tiny_dataset, "methods=[mb]", "cache=null", "resamples=0", "timing=0") == 0
    assert not (tmp_path / "outputs").exists()


def test_shards_then_the_whole(tiny_dataset, tmp_path):
    given = ["methods=[mb]", "resamples=100", "timing=0"]
    assert bench(tmp_path / "whole", tiny_dataset, *given, "cache=one") == 0
    for number in (1, 2):
        assert bench(tmp_path / "part", tiny_dataset, *given, "cache=two", f"shard={number}/2") == 0
        assert not (tmp_path / "part").exists()
    assert bench(tmp_path / "merged", tiny_dataset, *given, "cache=two") == 0
    for name in ("scores.csv", "per_image.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "merged" / name).read_bytes()


LAUNCHERS = {
    "parallel": ["launcher=parallel"],
    "submitit": ["launcher=slurm", "launcher.cluster=local", "launcher.options.gpus_per_node=0"],
    "job array": ["launcher=slurm", "launcher.jobs=2"],
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_shards_as_jobs_of_a_launcher_end_in_the_tables_of_one_process(tiny_dataset, tmp_path, slurm, capsys, launcher):
    given = ["methods=[mb]", "resamples=100", "timing=0", "figures=false", "browser=0"]
    assert bench(tmp_path / "whole", tiny_dataset, *given, "cache=one") == 0
    split = [*given, "cache=two", *LAUNCHERS[launcher], "shards=2"]
    assert bench(tmp_path / "split", tiny_dataset, *split) == 0
    _, shard, after = capsys.readouterr().out.rpartition(": shard")
    assert shard
    assert "scored" not in after  # the tables found every score made
    for name in ("scores.csv", "per_image.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "split" / name).read_bytes()
    arrays = [script for script in slurm.submitted() if "#SBATCH --array=0-1%2" in script]
    assert len(arrays) == (launcher == "job array")


def test_a_multirun_of_all_shards_ends_in_the_tables(tiny_dataset, tmp_path):
    given = ["methods=[mb]", "resamples=100", "timing=0", "figures=false", "browser=0", f"datasets=[{tiny_dataset}]"]
    assert main(["bench", *given, "cache=one", f"hydra.run.dir={tmp_path / 'whole'}"]) == 0
    run = tmp_path / "split"
    assert main(["bench", "-m", "shard=1/2,2/2", *given, "cache=two", f"hydra.sweep.dir={run}"]) == 0
    assert (tmp_path / "whole" / "scores.csv").read_bytes() == (run / "scores.csv").read_bytes()


def test_a_multirun_of_anything_else_leaves_a_folder_each(tiny_dataset, tmp_path):
    given = ["methods=[mb]", "resamples=100", "timing=0", "figures=false", "browser=0", f"datasets=[{tiny_dataset}]"]
    run = tmp_path / "each"
    assert main(["bench", "-m", "protocol=arn2018,pysod", *given, f"hydra.sweep.dir={run}"]) == 0
    assert [rows(run / number)[0]["protocol"] for number in "12"] == ["arn2018", "pysod"]
    assert not (run / "scores.csv").exists()


def test_a_shard_that_fails_is_named_and_no_table_is_written(tiny_dataset, maps, tmp_path, capsys):
    next(maps.iterdir()).write_bytes(b"no map")
    given = [f"maps={{Broken: {maps}}}", "shards=2", "launcher=parallel"]
    assert bench(tmp_path / "run", tiny_dataset, *given) == 2
    told = capsys.readouterr().err
    assert "1 of 2 jobs failed: shard" in told
    assert "see" in told
    assert not (tmp_path / "run" / "scores.csv").exists()


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (["shards=0"], "shards=0"),
        (["shards=two"], "shards=two"),
        (["shards=2", "shard=1/2"], "shards="),
        (["shards=2", "cache=null"], "cache=PATH"),
    ],
)
def test_shards_that_cannot_be(tiny_dataset, tmp_path, capsys, given, key):
    assert bench(tmp_path / "run", tiny_dataset, "methods=[mb]", *given) == 2
    assert key in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_killed_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """kill -9 once some maps are scored: the second start scores the rest, and the figures are those of one run."""
    monkeypatch.setitem(scenes.COUNTS, "test", 200)
    given = ["bench", "methods=[mb]", "resamples=100", "timing=0", "figures=false", "browser=0", "measures=[mae,f]"]
    command = [sys.executable, "-m", "arn.cli", *given, "cache=killed", "hydra.run.dir=killed_run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)

    def kept():
        return {kind.name: kind.entries for kind in contents(tmp_path / "killed").kinds}

    while process.poll() is None and kept().get("row", 0) < 10:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 10 <= kept()["row"] <= kept()["map"] < 200
    scored = kept()["row"]
    assert not (tmp_path / "killed_run" / "scores.csv").exists()
    made = []
    original = Classical.maps
    monkeypatch.setattr(Classical, "maps", lambda self, pictures: made.append(1) or original(self, pictures))
    assert main([*given, "workers=1", "cache=killed", f"hydra.run.dir={tmp_path / 'second'}"]) == 0
    assert 0 < len(made) <= 200 - scored
    assert main([*given, "workers=1", "cache=fresh", f"hydra.run.dir={tmp_path / 'whole'}"]) == 0
    for name in ("scores.csv", "per_image.csv"):
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_cache_is_seen_and_pruned(tiny_dataset, maps, tmp_path, capsys):
    given = [f"maps={{M: {maps}}}", "methods=[mb]", "resamples=100", "timing=0", "cache=kept"]
    assert bench(tmp_path / "one", tiny_dataset, *given) == 0
    capsys.readouterr()

    def told(*arguments):
        assert main(["bench", "cache", *arguments, "cache=kept"]) == 0
        return capsys.readouterr().out

    held = contents(tmp_path / "kept")
    assert f"kept: {sum(kind.entries for kind in held.kinds):,} entries in {held.files}" in told()
    counted = {kind.name: kind.entries for kind in held.kinds}
    assert counted["row"] == 2 * counted["map"] > 0
    assert f"dropped {counted['thumbnail']} entries" in told("prune", "kind=[thumbnail]")
    assert "thumbnail" not in told()
    assert "dropped 0 entries" in told("prune", "older=1h", "limit=1GB")
    assert "0 entries in 0 files, 0 bytes" in told("prune", "kind=all")
    assert bench(tmp_path / "two", tiny_dataset, *given) == 0
    assert (tmp_path / "one" / "per_image.csv").read_bytes() == (tmp_path / "two" / "per_image.csv").read_bytes()
    drawn = [(tmp_path / run / "index.html").read_text().count("data:image") for run in ("one", "two")]
    assert drawn[0] == drawn[1] > 0
    capsys.readouterr()
    assert bench(tmp_path / "three", tiny_dataset, *given, "cache_limit=40KB") == 0
    assert "entries longest out of use were dropped" in capsys.readouterr().out
    assert contents(tmp_path / "kept").size <= 40_000


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["cache", "shrink"], "usage:"),
        (["cache", "prune"], "limit=5GB"),
        (["cache", "prune", "limit=lots"], "limit=lots: must be a size"),
        (["cache", "prune", "older=3"], "older=3: must be a time"),
        (["cache", "prune", "kind=nothing"], "kind=nothing: the cache holds"),
        (["cache", "limit=5GB"], "usage:"),
        (["methods=[mb]", "cache_limit=some"], "cache_limit=some: must be a size"),
    ],
)
def test_what_cannot_be_pruned_is_told(given, told, capsys):
    assert main(["bench", *given]) == 2
    assert told in capsys.readouterr().err
    assert main(["bench", "cache", "--help"]) == 0
    assert "arn bench cache prune limit=5GB" in capsys.readouterr().out


def test_a_corrupt_map_stops_the_run(tiny_dataset, maps, tmp_path, capsys):
    path = maps / "0002.png"
    path.write_bytes(path.read_bytes()[:-30])
    assert bench(tmp_path / "run", tiny_dataset, f"maps={{M: {maps}}}") == 2
    assert "0002.png" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_training_on_the_test_set_is_told(tiny_dataset, maps, tmp_path):
    given = [f"maps={{M: {maps}}}", f"trained_on={{M: {tiny_dataset.name}}}", "resamples=0"]
    assert bench(tmp_path / "run", tiny_dataset, *given) == 0
    assert "**M was trained on TINY and is tested on TINY" in (tmp_path / "run" / "table.md").read_text()


def test_wandb_gets_table_curves_figures_and_artifact(tiny_dataset, maps, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    given = [f"maps={{Perfect: {maps}}}", "methods=[mb]", "resamples=100", "timing=0", "logger=wandb"]
    assert bench(tmp_path / "run", tiny_dataset, *given) == 0
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    files = {path.name.rpartition("_")[0] or path.name for path in (folder / "files").rglob("*") if path.is_file()}
    assert any("grid_TINY" in name for name in files)
    assert any("scores" in name for name in files)
    import wandb

    assert wandb.run is None  # each bench ends its own


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
