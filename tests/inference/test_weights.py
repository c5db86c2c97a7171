"""Exports are read strictly: another architecture, a damaged file or a config that names anything else is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import arn
from arn.config.upgrade import upgrade_network
from arn.data.scenes import draw_scene
from arn.errors import ArnError
from arn.inference import exports
from arn.inference.weights import load_network
from arn.networks import ARN
from arn.networks.rcl import RecurrentConv

NETWORK = {
    "_target_": "arn.networks.ARN",
    "backbone": "timm:test_resnet",
    "levels": [3, 4],
    "input_size": 64,
    "rcl": {"channels": 8},
    "decoder": {"channels": [8]},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    network = ARN(**{key: value for key, value in upgrade_network(NETWORK).items() if key != "_target_"})
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"format": 1, "name": "small", "network": NETWORK}))
    return folder


@pytest.fixture
def export(source, tmp_path):
    return shutil.copytree(source, tmp_path / "export")


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def test_export_loads(export):
    saliency = arn.load(export)
    assert (saliency.name, saliency.input_size) == ("small", 64)
    assert torch.equal(saliency.network.predict.weight, load_file(export / "model.safetensors")["predict.weight"])
    assert not saliency.network.training


def test_a_shipped_network_goes_by_its_name(export, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exports, "_PRETRAINED", tmp_path / "pretrained")
    assert exports.shipped() == {}
    with pytest.raises(ArnError, match="came with this installation"):
        arn.load()
    shutil.copytree(export, tmp_path / "pretrained" / "arn_lite")
    assert exports.shipped() == {"arn_lite": tmp_path / "pretrained" / "arn_lite"}
    assert arn.load().name == arn.load("arn_lite").name == "small"
    with pytest.raises(ArnError, match="of arn_lite they did"):
        arn.load("arn")
    shutil.copytree(export, tmp_path / "arn")
    edit(tmp_path / "arn", name="a folder's")
    assert arn.load("./arn").name == "a folder's"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file(export, name):
    (export / name).unlink()
    for path in (export, export / "model.safetensors"):
        with pytest.raises(ArnError, match=name):
            arn.load(path)


def test_truncated_safetensors(export):
    path = export / "model.safetensors"
    whole = path.read_bytes()
    for length in (0, 4, 200, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ArnError, match=r"model\.safetensors cannot be read"):
            arn.load(export)


def test_another_architecture(export):
    edit(export, network=NETWORK | {"decoder": {"channels": [9]}})
    with pytest.raises(ArnError, match="another architecture"):
        arn.load(export)


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_keys_are_strict(export, change):
    path = export / "model.safetensors"
    weights = load_file(path)
    if change == "missing":
        del weights["predict.bias"]
    else:
        weights["predict.extra"] = torch.zeros(1)
    path.unlink()
    save_file(weights, path)
    with pytest.raises(ArnError, match=f"1 (tensors )?{change}"):
        arn.load(export)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no JSON"),
        ("[]", "not written by `arn export`"),
        ('{"network": {}}', "not written by `arn export`"),
        ('{"format": 3, "network": {}}', "update ARN"),
        ('{"format": 1, "network": {}}', "names no network"),
        ('{"format": 1, "network": {"_target_": "arn.networks.Nothing"}}', "Nothing"),
    ],
)
def test_config_of_another_kind(export, text, told):
    (export / "config.json").write_text(text)
    with pytest.raises(ArnError, match=told):
        arn.load(export)


@pytest.mark.parametrize("target", ["arn.verbs.remove_if_empty", "arn.networks.backbones.Path.rmdir"])
def test_a_config_builds_networks_and_nothing_else(export, tmp_path, target):
    victim = tmp_path / "victim"
    victim.mkdir()
    argument = "run" if "verbs" in target else "_args_"
    edit(export, network={"_target_": target, argument: str(victim) if argument == "run" else [str(victim)]})
    with pytest.raises(ArnError, match="not allowed"):
        load_network(export)
    assert victim.exists()


def test_what_is_no_saliency_network_is_refused(export, monkeypatch):
    layer = RecurrentConv(3, 4)
    save_file(layer.state_dict(), export / "model.safetensors")
    edit(export, network={"_target_": "arn.networks.rcl.RecurrentConv", "in_channels": 3, "channels": 4})
    with pytest.raises(ArnError, match="RecurrentConv is not allowed"):
        load_network(export)
    monkeypatch.setattr("arn.config.instantiate._named", ["arn.networks"])  # as a package of one's own
    with pytest.raises(ArnError, match=r"RecurrentConv .*derive it from arn\.networks\.SaliencyNetwork"):
        load_network(export)


@pytest.mark.parametrize(
    ("stored", "asked", "tta"),
    [
        ({}, None, "none"),
        ({}, "flip", "flip"),
        ({"network": {**NETWORK, "mirror": True}}, None, "flip"),
        ({"network": {**NETWORK, "mirror": True}}, "none", "none"),
        ({"format": 2, "tta": "flip"}, None, "flip"),
    ],
)
def test_averaging_is_as_stored_unless_asked_for(export, stored, asked, tta):
    edit(export, **stored)
    network, config = load_network(export, asked)
    assert config["tta"] == tta
    assert config["network"] == {**{k: v for k, v in NETWORK.items() if k != "levels"}, "strides": [8, 16]}
    assert network.backbone.strides == (8, 16)
    picture = draw_scene(0, 0, (50, 70))[0]
    straight, averaged = (arn.load(export, tta=one).predict(picture) for one in ("none", "flip"))
    assert np.array_equal(arn.load(export, tta=asked).predict(picture), averaged if tta == "flip" else straight)
    assert np.array_equal(arn.load(export, mirror=True).predict(picture), averaged)
    assert not np.array_equal(straight, averaged)
