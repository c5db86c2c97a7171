"""`arn export`: what it writes gives the checkpoint's maps, and a failure leaves nothing behind."""

import json
import shutil
import sys

import numpy as np
import onnx
import pytest
import torch

import arn
from arn.cli import main
from arn.config.instantiate import instantiate
from arn.data.images import read_map, read_picture
from arn.data.scenes import draw_scene
from arn.verbs import export as verb

pytestmark = pytest.mark.slow

FILES = {"config.json", "model.onnx", "model.safetensors"}


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """A run folder as `arn train` leaves it, of a network that exports in seconds and has its attention awake."""
    run = tmp_path_factory.mktemp("awake") / "run"
    (run / "checkpoints").mkdir(parents=True)
    state = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    config = state["arn_config"]["network"]
    config |= {"backbone": "timm:test_resnet", "strides": [8, 16]}
    config["rcl"]["channels"], config["decoder"]["channels"], config["attention"]["strides"] = 8, [8], [16]
    torch.manual_seed(0)
    network = instantiate(config, "network")
    torch.nn.init.constant_(network.deepest.gamma, 0.7)  # it starts at 0: no attention
    state["state_dict"] = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save(state, run / "checkpoints" / "best.ckpt")
    (run / "metrics.json").write_text(json.dumps({"commit": "0123abc"}))
    return run


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "new" / "folder"
    assert main(["export", f"checkpoint={run}", f"output={folder}"]) == 0
    return folder


@pytest.fixture
def ready_made(exported, monkeypatch):
    """The ONNX file is copied, not made: for tests of what is done with it."""
    monkeypatch.setattr(verb, "write_onnx", lambda network, path, metadata: shutil.copy(exported / path.name, path))


@pytest.fixture
def scene():
    return draw_scene(3, 0, (90, 61))[0]


def test_files(exported):
    assert {path.name for path in exported.iterdir()} == FILES
    assert [path.name for path in exported.parent.iterdir()] == ["folder"]
    config = json.loads((exported / "config.json").read_text())
    network = config.pop("network")
    assert network["_target_"] == "arn.networks.ARN"
    assert config == {
        "format": 1,
        "name": "arn_lite",
        "input_size": 64,
        "weights": "float32",
        "trained_on": ["scenes"],
        "commit": "0123abc",
        "arn": arn.__version__,
    }


def test_folder_and_safetensors_give_the_maps_of_the_checkpoint(exported, run, scene):
    expected = arn.load(run).predict(scene)
    assert expected.shape == (90, 61)
    for path in (exported, exported / "model.safetensors"):
        assert np.array_equal(arn.load(path).predict(scene), expected)


def test_onnx_gives_the_maps_of_the_checkpoint(exported, run, scene):
    others = [draw_scene(3, index, (40 + index, 70))[0] for index in range(1, 4)]
    expected = arn.load(run).maps([scene, *others])
    model = arn.load(exported / "model.onnx")
    for one, other in zip(expected, model.maps([scene, *others]), strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 1e-4
    assert np.ptp(expected[0]) > 1e-3


def test_onnx_says_what_it_is_and_nothing_of_this_machine(exported):
    model = arn.load(exported / "model.onnx")
    assert model.metadata == {
        "arn.format": "1",
        "arn.name": "arn_lite",
        "arn.input_size": "64",
        "arn.trained_on": "scenes",
        "arn.commit": "0123abc",
        "arn.arn": arn.__version__,
    }
    assert (model.input, model.output, model.input_size) == ("pictures", "maps", 64)
    told = (exported / "model.onnx").read_bytes()
    assert b".py" not in told
    assert b"stack_trace" not in told


@pytest.mark.parametrize("spelled", ["tta=flip", "mirror=true"])
def test_averaging_is_written_into_both_files(run, tmp_path, scene, capsys, spelled):
    folder = tmp_path / "mirrored"
    assert main(["export", f"checkpoint={run}", f"output={folder}", spelled]) == 0
    written = json.loads((folder / "config.json").read_text())
    assert (written["format"], written["tta"]) == (2, "flip")
    expected = arn.load(run, tta="flip").maps([scene, scene[:, ::-1], scene])
    assert np.abs(expected[0] - arn.load(run).predict(scene)).max() > 1e-3
    for path in (folder, folder / "model.onnx"):
        for one, other in zip(arn.load(path).maps([scene, scene[:, ::-1], scene]), expected, strict=True):
            assert np.abs(one - other).max() <= 1e-4
    assert np.array_equal(arn.load(folder, tta="none").predict(scene), arn.load(run).predict(scene))
    with pytest.raises(arn.errors.ArnError, match="fixed"):
        arn.load(folder / "model.onnx", mirror=True)
    assert main(["export", f"checkpoint={run}", f"output={folder}", "mirror=2"]) == 2
    assert "mirror" in capsys.readouterr().err


@pytest.mark.parametrize("kept", [-1, "few", True])
def test_what_stays_float32_is_a_number_of_values(run, tmp_path, capsys, kept):
    assert main(["export", f"checkpoint={run}", f"output={tmp_path / 'x'}", f"float32_up_to={kept}"]) == 2
    assert "float32_up_to" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_tensors_of_up_to_so_many_values_stay_float32():
    network = torch.nn.Sequential(torch.nn.Linear(10, 10), torch.nn.Linear(10, 11))
    for kept, halves in ((0, 4), (10, 3), (100, 1), (110, 0)):
        found = verb.stored(network, True, kept)
        assert sum(t.dtype == torch.float16 for t in found.values()) == halves
    assert all(t.dtype == torch.float32 for t in verb.stored(network, False, 0).values())


def test_half(exported, run, scene, tmp_path, capsys):
    assert main(["export", f"checkpoint={run}", f"output={tmp_path / 'half'}", "half=true"]) == 0
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (tmp_path / "half", exported)]
    assert sizes[0] < 0.52 * sizes[1]
    assert json.loads((tmp_path / "half" / "config.json").read_text())["weights"] == "float16"
    half = arn.load(tmp_path / "half")
    assert half.network.predict.weight.dtype == torch.float32
    assert 0 < np.abs(half.predict(scene) - arn.load(run).predict(scene)).max() <= 1e-2
    assert np.abs(half.predict(scene) - arn.load(tmp_path / "half" / "model.onnx").predict(scene)).max() <= 1e-4


def test_half_refuses_what_float16_cannot_hold(run, tmp_path, capsys):
    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    state["state_dict"]["network.deepest.h.weight"].fill_(1e5)
    torch.save(state, tmp_path / "large.ckpt")
    assert main(["export", f"checkpoint={tmp_path / 'large.ckpt'}", f"output={tmp_path / 'out'}", "half=true"]) == 2
    assert "deepest.h.weight" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"large.ckpt"}


def test_an_export_can_be_exported_again_in_its_own_place(exported, tmp_path):
    output = tmp_path / "again"
    for source in (exported, output):
        assert main(["export", f"checkpoint={source}", f"output={output}"]) == 0
        assert {path.name for path in output.iterdir()} == FILES
        for name in FILES:
            assert (output / name).read_bytes() == (exported / name).read_bytes(), name
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_checked_on_drawn_scenes_where_there_are_no_pictures(exported, ready_made, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ARN_DATA_DIR", str(tmp_path))
    assert main(["export", f"checkpoint={exported}", f"output={tmp_path / 'out'}"]) == 0
    assert "8 pictures of drawn scenes" in capsys.readouterr().out


def test_checked_on_real_pictures(data_dir, exported, ready_made, tmp_path, capsys):
    assert main(["export", f"checkpoint={exported}", f"output={tmp_path / 'out'}"]) == 0
    told = capsys.readouterr().out
    assert "8 pictures of " in told
    assert "drawn" not in told


def test_checked_on_the_test_set_of_the_run(tiny_dataset, monkeypatch, tmp_path):
    monkeypatch.setenv("ARN_DATA_DIR", str(tmp_path / "nothing"))
    sample = verb.sample_pictures({"data": {"test": ["Nowhere", f"{tiny_dataset}@rest"]}})
    assert sample.origin == str(tiny_dataset)
    assert np.array_equal(sample.pictures[-1], read_picture(tiny_dataset / "images" / "0005.png"))
    assert len(sample.pictures) == 6


def test_failed_check_leaves_everything_as_it_was(exported, tmp_path, capsys, monkeypatch):
    def wrong(network, path, metadata):
        model = onnx.load_model(exported / "model.onnx")
        (weight,) = (one for one in model.graph.initializer if one.name.endswith(".predict.weight"))
        weight.CopyFrom(onnx.numpy_helper.from_array(1.1 * onnx.numpy_helper.to_array(weight), weight.name))
        onnx.save_model(model, path)

    monkeypatch.setattr(verb, "write_onnx", wrong)
    earlier = {path.name: path.read_bytes() for path in exported.iterdir()}
    for output in (tmp_path / "a" / "b", exported):
        assert main(["export", f"checkpoint={exported}", f"output={output}"]) == 2
        assert "model.onnx gives other maps" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == earlier
    assert [path.name for path in exported.parent.iterdir()] == ["folder"]


def test_a_defect_leaves_nothing_either(exported, tmp_path, monkeypatch):
    def fails(network, path, metadata):
        raise RuntimeError("reached")

    monkeypatch.setattr(verb, "write_onnx", fails)
    with pytest.raises(RuntimeError, match="reached"):
        main(["export", f"checkpoint={exported}", f"output={tmp_path / 'a' / 'b'}"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_things_is_not_replaced(exported, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert main(["export", f"checkpoint={exported}", f"output={tmp_path}"]) == 2
    assert "thesis.tex" in capsys.readouterr().err
    assert main(["export", f"checkpoint={exported}", f"output={tmp_path / 'thesis.tex'}"]) == 2
    assert "is a file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["checkpoint=nowhere.ckpt"], "nowhere.ckpt"),
        (["checkpoint=."], "neither a run folder"),
        (["checkpoint=nowhere.ckpt", "half=perhaps"], "half"),
        ([], "checkpoint"),
    ],
)
def test_bad_arguments(tmp_path, capsys, monkeypatch, arguments, names):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "output=out", *arguments]) == 2
    assert names in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_package_is_named(exported, tmp_path, capsys, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", f"checkpoint={exported}", f"output={tmp_path / 'out'}"]) == 2
    told = capsys.readouterr().err
    assert f"{package} is needed" in told
    assert "pip install 'arn-saliency[onnx]'" in told
    assert list(tmp_path.iterdir()) == []


def test_predict_with_onnx(exported, run, tmp_path, tiny_dataset):
    given = {"onnx": exported / "model.onnx", "checkpoint": run}
    for key, path in given.items():
        output = tmp_path / key
        assert main(["predict", f"input={tiny_dataset / 'images'}", f"output={output}", f"{key}={path}"]) == 0
    for path in (tmp_path / "onnx").iterdir():
        one, other = (read_map(tmp_path / key / path.name).astype(int) for key in given)
        assert np.abs(one - other).max() <= 1
    assert len(list((tmp_path / "onnx").iterdir())) == 6


def test_bench_with_onnx(exported, run, tmp_path, tiny_dataset):
    import csv

    models = [f"checkpoints={{ARN: {run}, Export: {exported}}}", f"onnx={{Runtime: {exported / 'model.onnx'}}}"]
    assert main(["bench", f"datasets=[{tiny_dataset}]", *models, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    with (tmp_path / "run" / "scores.csv").open() as lines:
        scores = {row["method"]: (float(row["max_f"]), float(row["mae"])) for row in csv.DictReader(lines)}
    assert scores["Export"] == scores["ARN"]
    assert scores["Runtime"] == pytest.approx(scores["ARN"], abs=1e-3)
