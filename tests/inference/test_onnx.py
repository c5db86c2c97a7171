"""ONNX files: every network goes through, and files made elsewhere are taken or refused for what they are."""

import sys

import numpy as np
import pytest
import torch
from onnx import TensorProto, checker, helper, load_model, numpy_helper, save_model

import arn
from arn.config.instantiate import instantiate
from arn.errors import ArnError
from arn.inference.graph import OPSET, write_onnx
from arn.inference.onnx import OnnxPredictor
from arn.inference.predictor import Predictor
from arn.networks import attention

pytestmark = pytest.mark.slow


def network_of(name, **overrides):
    from hydra import compose, initialize_config_dir

    from arn.config import config_dir
    from arn.config.identity import register_resolvers

    register_resolvers()
    with initialize_config_dir(str(config_dir()), version_base=None):
        config = compose("train", [f"network={name}", "network.input_size=64"])
    torch.manual_seed(0)
    network = instantiate(config.network, "network").eval()
    with torch.no_grad():
        for parameter in (p for n, p in network.named_parameters() if n.endswith("gamma")):
            parameter.fill_(0.5)
        # Random weights, as they are, make maps of 0 and 1 and attention to one position: they hide small differences
        # or blow them up. These keep features and logits near 1.
        network.backbone.std.fill_(0.5)
        network.predict.weight.mul_(0.2)
        for parameter in (p for n, p in network.named_parameters() if n.endswith("attention.f.weight")):
            parameter.mul_(0.2)
    return network


@pytest.mark.parametrize("name", ["arn", "arn_lite", "arn_no_rcl", "arn_no_attention"])
def test_every_network_goes_through(name, tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "EXPORTED_BLOCK", 2**18)  # several blocks, as at full size
    network = network_of(name)
    write_onnx(network, tmp_path / "model.onnx", {"arn.name": name})
    one, other = OnnxPredictor(tmp_path / "model.onnx"), Predictor(network, {})
    assert one.name == name
    generator = torch.Generator().manual_seed(1)
    for batch in (1, 3):
        squares = torch.rand(batch, 3, 64, 64, generator=generator).numpy()
        expected = other.probabilities(squares)
        assert expected.std() > 0.01
        assert np.abs(one.probabilities(squares) - expected).max() <= 1e-4
    model = load_model(tmp_path / "model.onnx")
    checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    softmaxes = sum(node.op_type == "Softmax" for node in model.graph.node)
    assert (softmaxes > 4) == (name in ("arn", "arn_no_rcl"))


def foreign(path, shape=("N", 3, 32, 32), *, inputs=1, kind=TensorProto.FLOAT, gain=1.0, rank=4, name="input.1"):
    """A file of somebody else's: the map is the mean colour times ``gain``, at half the size."""
    pool = helper.make_node("AveragePool", [name], ["small"], kernel_shape=[2, 2], strides=[2, 2])
    weights = numpy_helper.from_array(np.full((1, 3, 1, 1), gain / 3, np.float32), "weights")
    nodes = [pool, helper.make_node("Conv", ["small", "weights"], ["out"])]
    if rank == 3:
        axes = numpy_helper.from_array(np.array([1]), "axes")
        nodes.append(helper.make_node("Squeeze", ["out", "axes"], ["flat"]))
    taken = [helper.make_tensor_value_info(name, kind, shape)]
    taken += [helper.make_tensor_value_info(f"more{i}", TensorProto.FLOAT, [1]) for i in range(1, inputs)]
    given = helper.make_tensor_value_info("flat" if rank == 3 else "out", TensorProto.FLOAT, [None] * rank)
    constants = [weights, axes] if rank == 3 else [weights]
    graph = helper.make_graph(nodes, "foreign", taken, [given], constants)
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize("batch", ["N", None, 1])
def test_a_file_of_somebody_else_will_do(tmp_path, batch):
    model = arn.load(foreign(tmp_path / "theirs.onnx", (batch, 3, 32, 32)))
    assert (model.name, model.input, model.input_size) == ("theirs", "input.1", 32)
    pictures = [np.full((20, 50, 3), 51, np.uint8), np.full((32, 32, 3), 204, np.uint8)]
    for value, (picture, found) in zip((0.2, 0.8), zip(pictures, model.maps(pictures), strict=True), strict=True):
        assert found.shape == picture.shape[:2]
        assert found == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"shape": (4, 3, 32, 32)}, "input.1: tensor.float. 4 x 3 x 32 x 32"),
        ({"shape": ("N", 3, "H", "W")}, "S fixed"),
        ({"shape": ("N", 3, 32, 48)}, "S fixed"),
        ({"inputs": 2}, "more1"),
    ],
)
def test_input_of_another_kind(tmp_path, options, told):
    with pytest.raises(ArnError, match=rf"theirs\.onnx takes .*{told}"):
        OnnxPredictor(foreign(tmp_path / "theirs.onnx", **options))


@pytest.mark.parametrize(
    ("options", "told"), [({"gain": 2.0}, r"not within 0\.\.1.*sigmoid"), ({"rank": 3}, "not B x 1 x h x w")]
)
def test_output_of_another_kind(tmp_path, options, told):
    model = OnnxPredictor(foreign(tmp_path / "theirs.onnx", **options))
    with pytest.raises(ArnError, match=told):
        model.predict(np.full((32, 32, 3), 255, np.uint8))


def test_newer_format(tmp_path):
    model = load_model(foreign(tmp_path / "newer.onnx"))
    model.metadata_props.add(key="arn.format", value="3")
    save_model(model, tmp_path / "newer.onnx")
    with pytest.raises(ArnError, match=r"newer\.onnx is of export format 3.*update"):
        OnnxPredictor(tmp_path / "newer.onnx")


def test_missing_and_damaged(tmp_path):
    with pytest.raises(ArnError, match=r"no ONNX file at .*nowhere\.onnx"):
        arn.load(tmp_path / "nowhere.onnx")
    path = foreign(tmp_path / "half.onnx")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArnError, match=r"half\.onnx cannot be read"):
        OnnxPredictor(path)
    path.write_text("no ONNX at all")
    with pytest.raises(ArnError, match=r"half\.onnx cannot be read"):
        OnnxPredictor(path)


def test_without_onnxruntime(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ArnError, match=r"onnxruntime is needed.*pip install 'arn-saliency\[onnx\]'"):
        OnnxPredictor(tmp_path / "any.onnx")
