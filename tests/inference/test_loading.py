"""Which runtime, device, precision and batch a network gets, and that the choice changes no map."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import arn
from arn.cli import main
from arn.data.scenes import scene
from arn.errors import ArnError
from arn.inference import devices, predictor
from arn.inference.onnx import OnnxPredictor
from arn.inference.predictor import LARGEST_BATCH, Predictor

PICTURES = [scene("test", index)[0] for index in range(3)]


@pytest.fixture(scope="module")
def in_torch():
    return arn.load(runtime="torch")


def test_the_shipped_graph_is_the_shipped_network(in_torch):
    """Its weights are places in the same file: one batch of several and one picture alone."""
    graph = arn.load(runtime="onnx")
    for pictures in (PICTURES, PICTURES[:1]):
        for one, other in zip(graph.maps(pictures), in_torch.maps(pictures), strict=True):
            assert other.max() > 0.5
            assert np.abs(one - other).max() <= 1e-4
    assert (graph.name, graph.parameters, graph.trained_on, graph.input_size) == (
        in_torch.name,
        in_torch.parameters,
        in_torch.trained_on,
        in_torch.input_size,
    )
    assert graph.fingerprint != in_torch.fingerprint


def test_the_default_imports_no_torch_and_leaves_no_trace(tmp_path):
    program = """
import sys
import numpy, arn
from arn.cli import main
saliency = arn.load(device="auto")
saliency.predict(numpy.zeros((40, 50, 3), numpy.uint8))
assert "ONNX Runtime" in saliency.device, saliency.device
heavy = {"torch", "torchvision", "timm", "numba", "scipy", "pytorch_lightning"} & sys.modules.keys()
assert not heavy, heavy
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"} | {"HOME": str(home)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "runtime"),
    [
        ({}, OnnxPredictor),
        ({"device": "auto", "bf16": None}, OnnxPredictor),
        ({"tta": "none"}, OnnxPredictor),
        ({"tta": "flip"}, Predictor),
        ({"bf16": True}, Predictor),
        ({"runtime": "torch"}, Predictor),
    ],
)
def test_the_choice(options, runtime):
    assert type(arn.load(**options)) is runtime


def test_without_onnxruntime_torch_does_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert type(arn.load()) is Predictor
    with pytest.raises(ArnError, match=r"onnxruntime is needed.*pip install 'arn-saliency\[onnx\]'"):
        arn.load(runtime="onnx")


def test_what_onnx_runtime_cannot_do(tmp_path):
    for options in ({"bf16": True}, {"tta": "flip"}, {"device": "cuda"}):
        with pytest.raises(ArnError, match="runtime=onnx runs on the CPU"):
            arn.load(runtime="onnx", **options)
    with pytest.raises(ArnError, match=r"nowhere has no model\.onnx.*arn export"):
        arn.load(tmp_path / "nowhere", runtime="onnx")
    with pytest.raises(ArnError, match=r"runtime=torch: .*theirs\.onnx is an ONNX file"):
        arn.load(tmp_path / "theirs.onnx", runtime="torch")


def test_the_command_says_what_it_chose(tmp_path, capsys):
    source = tmp_path / "scene.png"
    arn.data.images.write_map(source, PICTURES[0][:, :, 0])
    for options, said in (
        (["runtime=onnx"], "ONNX Runtime, 8 pictures at once"),
        (["runtime=torch", "precision=bf16", "batch_size=1"], "bf16, 1 picture at once"),
    ):
        assert main(["predict", f"input={source}", f"output={tmp_path / 'out'}", "device=cpu", *options]) == 0
        assert said in capsys.readouterr().out


# --- A GPU, as torch would describe one ------------------------------------------------------------------------------


@pytest.fixture
def gpu(monkeypatch):
    """CUDA is there, multiplies bfloat16, and has 1 GB left; nothing can be computed on it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**9, 10**10))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 7_000_000)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, device=None, **rest: empty(*size, device="cpu", **rest))


def test_a_gpu_is_taken_with_bfloat16(gpu, monkeypatch):
    taken = {}

    class Recorded(Predictor):
        def __init__(self, network, config, device, bf16):
            super().__init__(network, config)
            taken.update(device=str(device), bf16=bf16)

    monkeypatch.setattr(predictor, "Predictor", Recorded)
    arn.load(device="auto", bf16=None)
    assert taken == {"device": "cuda", "bf16": True}
    assert arn.load(device="cpu").device.endswith("ONNX Runtime"), "a CPU that is asked for is taken"


@pytest.mark.parametrize(("each", "batch"), [(20_000_000, 25), (1_000, LARGEST_BATCH), (2 * 10**9, 1)])
def test_the_batch_of_a_gpu_is_what_half_its_free_memory_holds(gpu, monkeypatch, in_torch, each, batch):
    peak = 7_000_000
    one = object.__new__(Predictor)
    one.place, one.input_size = torch.device("cuda"), 32

    def maps(pictures):
        nonlocal peak
        peak = 7_000_000 + each * len(pictures)

    monkeypatch.setattr(one, "_maps", maps)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peak)
    assert one.fitting_batch() == batch
    assert in_torch.fitting_batch() == in_torch.batch_size == 8, "a CPU's is a fixed number"


def test_a_gpu_that_runs_out_of_memory_gets_half_as_many(gpu, monkeypatch):
    tried = []
    one = object.__new__(Predictor)
    one.place, one.batch_size = torch.device("cuda"), 8

    def maps(pictures, room=3):
        tried.append(len(pictures))
        if len(pictures) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [picture + 0 for picture in pictures]

    monkeypatch.setattr(one, "_maps", maps)
    assert one.maps([*range(11)]) == [*range(11)]
    assert tried == [8, 4, 2, 2, 2, 2, 2, 1]
    monkeypatch.setattr(one, "_maps", lambda pictures: maps(pictures, 0))
    with pytest.raises(ArnError, match="NVIDIA H100 is too small for one picture"):
        one.predict(0)


def test_no_gpu_no_torch(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(devices.platform, "system", lambda: "Linux")
    monkeypatch.setattr(devices, "Path", lambda place: tmp_path)
    assert not devices.may_have_gpu()
    (tmp_path / "nvidia0").touch()
    assert devices.may_have_gpu()
    assert "torch" not in sys.modules
