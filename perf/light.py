"""A map by the light network in every runtime at hand, beside its backbone alone in the same: python -m perf light

Real pictures, resized beforehand, so that nothing but the network runs: one after the other with all threads, and side
by side with a thread each, which is how `arn predict` goes about a folder. torch eager, with BatchNorm folded into the
convolutions, and compiled; ONNX Runtime in float32 and with 8-bit weights and activations; OpenVINO where it is
installed, in float32 and as it chooses by itself. All take turns in one process; a ratio is taken within each turn.
With --scores the maps of 300 pictures of ECSSD are scored as 8-bit maps by protocol arn2018. Writes
outputs/perf/light.json.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from arn.data.images import read_mask, read_picture
from arn.inference.graph import OPSET
from arn.inference.loading import load
from arn.inference.onnx import require
from arn.inference.square import at_native_size
from arn.inference.weights import load_network
from arn.networks import ARN
from perf.common import ecssd, machine, ratios, spread, take_turns, versions, write_json
from perf.predict import NETWORK, quantised

Floats = NDArray[np.float32]
Program = Callable[[Floats], Any]
ALONE = "its backbone alone"
EAGER, BOUND, BOUND_OF_INT8 = "torch, eager", 0.0005, 0.001
NEAR = 1.3  # times the backbone's own time


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf light", description=__doc__)
    parser.add_argument("--pictures", type=int, default=40, help="a turn (default 40)")
    parser.add_argument("--repeats", type=int, default=5, help="turns (default 5)")
    parser.add_argument("--scores", action="store_true", help="score 300 maps of each program")
    chosen = parser.parse_args(arguments)
    predictor = load(NETWORK, runtime="torch")
    paths = [pair.picture for pair in ecssd()[: chosen.pictures]]
    squares = [predictor.squares([read_picture(path)]) for path in paths]
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        made = programs(Path(folder), threads)
        jobs = {name: partial(one_by_one, program, squares) for name, program in made.items()}
        taken = take_turns(jobs, chosen.repeats)
        single = programs(Path(folder), 1)
        torch.set_num_threads(1)
        with ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, 1)) as pool:
            jobs = {name: partial(side_by_side, pool, program, squares) for name, program in single.items()}
            beside = take_turns(jobs, chosen.repeats)
        torch.set_num_threads(threads)
        scores = score({name: one for name, one in made.items() if ALONE not in name}) if chosen.scores else {}
    packages = ["torch", "onnxruntime", *(["openvino"] if find_spec("openvino") else [])]
    content: dict[str, Any] = {
        "what": "milliseconds of a map, the network alone: median, low and high of the turns",
        "machine": machine(),
        "versions": versions(*packages),
        "threads": threads,
        "turns": chosen.repeats,
        "pictures": len(squares),
        "size": predictor.input_size,
        "scores": scores,
        "milliseconds": {},
        "times the backbone": {},
    }
    for how, seconds in (("one by one", taken), ("side by side", beside)):
        each = {name: [1000 * one / len(squares) for one in values] for name, values in seconds.items()}
        content["milliseconds"][how] = {name: spread(values) for name, values in each.items()}
        content["times the backbone"][how] = {
            name: ratios(values, each[f"{name}: {ALONE}"])
            for name, values in each.items()
            if f"{name}: {ALONE}" in each
        }
    content["goals"] = goals(content)
    show(content)
    print(f"written: {write_json('light.json', content)}")


class Maps(nn.Module):
    """Pictures in 0..1 to probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.network(pictures)[0].sigmoid()
        return found


class Features(nn.Module):
    """What the backbone alone computes of them, each feature by its mean, so that none is left out."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.stack([feature.mean() for feature in self.backbone(pictures)])


def programs(folder: Path, threads: int) -> dict[str, Program]:
    """By name, each of squares 1 x 3 x S x S; what is compiled is compiled."""
    network, _ = load_network(NETWORK, tta="none")
    assert isinstance(network, ARN)
    made: dict[str, Program] = {}
    for name, module in (("", Maps(network)), (f": {ALONE}", Features(network.backbone))):
        module.eval().to(memory_format=torch.channels_last)
        folded = fold(module)
        made[f"{EAGER}{name}"] = of_torch(module)
        made[f"torch, BatchNorm folded{name}"] = of_torch(folded)
        made[f"torch, compiled{name}"] = of_torch(torch.compile(folded, dynamic=False))
        path = folder / f"{'whole' if not name else 'backbone'}.onnx"
        if not path.is_file():
            write(module, network.input_size, path)
        made[f"ONNX Runtime, float32{name}"] = of_onnx(path, threads)
        if find_spec("openvino"):
            for precision in ("f32", None):
                label = "float32" if precision else "as it chooses"
                made[f"OpenVINO, {label}{name}"] = of_openvino(path, threads, precision)
    small = folder / "int8.onnx"
    if not small.is_file():
        quantised(small)
    made["ONNX Runtime, int8"] = of_onnx(small, threads)
    return made


def fold(module: nn.Module) -> nn.Module:
    """A copy whose BatchNorms have gone into the convolutions before them, and into nothing otherwise."""
    made = copy.deepcopy(module)
    for parent in made.modules():
        children = list(parent.named_children())
        for (name, conv), (after, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                fused = fuse_conv_bn_eval(conv, norm)
                fused.__class__ = type(conv)
                setattr(parent, name, fused)
                setattr(parent, after, nn.Identity())
    return made


def of_torch(module: Callable[[Tensor], Tensor]) -> Program:
    def run(squares: Floats) -> Any:
        with torch.inference_mode():
            given = torch.from_numpy(squares).contiguous(memory_format=torch.channels_last)
            return module(given).numpy()

    return run


def write(module: nn.Module, side: int, path: Path) -> None:
    require("onnxscript")
    pictures = torch.zeros(1, 3, side, side)
    torch.onnx.export(module, (pictures,), path, opset_version=OPSET, dynamo=True, verbose=False, external_data=False)


def of_onnx(path: Path, threads: int) -> Program:
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda squares: session.run(None, {name: squares})[0]


def of_openvino(path: Path, threads: int, precision: str | None) -> Program:
    import openvino  # type: ignore[import-not-found, unused-ignore]

    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    options |= {"INFERENCE_PRECISION_HINT": precision} if precision else {}
    model = openvino.Core().compile_model(str(path), "CPU", options)

    def run(squares: Floats) -> Any:
        # A request belongs to one thread at a time.
        return model.create_infer_request().infer({0: squares})[0]

    return run


def one_by_one(program: Program, squares: list[Floats]) -> None:
    for one in squares:
        program(one)


def side_by_side(pool: ThreadPoolExecutor, program: Program, squares: list[Floats]) -> None:
    for _ in pool.map(program, squares):
        pass


def score(made: dict[str, Program]) -> dict[str, dict[str, float]]:
    """Max F and MAE of 300 maps of each program, as they would lie on disk."""
    from arn.metrics import SaliencyMetrics

    pairs = ecssd()
    pairs = [pairs[index] for index in np.linspace(0, len(pairs) - 1, 300).round().astype(int)]
    predictor = load(NETWORK, runtime="torch")
    metrics = {name: SaliencyMetrics("arn2018", ("mae", "f")) for name in made}
    for pair in pairs:
        assert pair.mask is not None
        picture, mask = read_picture(pair.picture), read_mask(pair.mask)
        squares = predictor.squares([picture])
        for name, program in made.items():
            saliency = at_native_size(np.clip(program(squares)[0, 0], 0, 1), picture.shape[:2])
            metrics[name].update([np.rint(saliency * 255).astype(np.float32) / 255], [mask])
    computed = {name: metric.compute() for name, metric in metrics.items()}
    return {name: {key: float(one[key]) for key in ("max_f", "mae")} for name, one in computed.items()}


def goals(content: dict[str, Any]) -> list[dict[str, Any]]:
    chosen = "ONNX Runtime, float32"
    wanted = [
        (f"{chosen}, {how}", "times the time of its backbone", of[chosen]["median"], NEAR)
        for how, of in content["times the backbone"].items()
    ]
    if truth := content["scores"].get(EAGER):
        for name, found in content["scores"].items():
            bound = BOUND_OF_INT8 if "int8" in name else BOUND
            wanted += [(name, f"difference in {key} to {EAGER}", abs(found[key] - truth[key]), bound) for key in truth]
    return [
        {"case": case, "what": what, "found": found, "sense": "<=", "bound": bound, "holds": found <= bound}
        for case, what, found, bound in wanted
    ]


def show(content: dict[str, Any]) -> None:
    for how, each in content["milliseconds"].items():
        print(f"\n{how}")
        for name, taken in each.items():
            times = content["times the backbone"][how].get(name)
            print(
                f"{name:50}{taken['median']:8.1f} ms ({taken['low']:.1f} .. {taken['high']:.1f})"
                + (f"{times['median']:7.2f} times its backbone" if times else "")
            )
    for name, found in content["scores"].items():
        print(f"{name:50}max F {found['max_f']:.5f}  MAE {found['mae']:.5f}")
