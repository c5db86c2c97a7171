"""From a request to the methods of a bench: networks, training-free methods, folders of published maps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from arn.classical import METHODS
from arn.config.requests import BenchRequest
from arn.errors import ArnError
from arn.evaluation.given_maps import map_folders
from arn.inference.methods import AnyMethod, Classical, Method
from arn.runs import Run

TRAININGS = Path("outputs/train")


def choose_methods(request: BenchRequest, say: Callable[[str], None]) -> list[AnyMethod]:
    """The methods that a request names, or where it names none, all that are at hand.

    Raises ArnError for a method that is not there or cannot be read, two of one name, or none at all.
    """
    checkpoints, classical = request.checkpoints, request.methods
    if not checkpoints and not request.onnx and not request.maps and classical is None:
        checkpoints, classical = at_hand("scenes" in request.datasets, say), list(METHODS)
    folders = map_folders(request.maps)
    datasets = [Path(name).name for name in request.datasets]
    for folder in folders:
        if not any(folder.has(name) for name in datasets):
            raise ArnError(f"maps.{folder.name} names folders for none of the data sets {', '.join(datasets)}")
    methods: list[AnyMethod] = [*_networks(request, checkpoints), *map(Classical, classical or ()), *folders]
    if not methods:
        raise ArnError(
            "nothing to score: give checkpoints={NAME: FILE}, onnx={NAME: FILE}, maps={NAME: FOLDER} or methods=[NAME]"
        )
    names = [method.name for method in methods]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ArnError(f"{', '.join(sorted(twice))}: two methods of one name; rename one")
    for name, trained in request.trained_on.items():
        if name not in names:
            raise ArnError(f"trained_on.{name}: there is no method of that name; there are {', '.join(names)}")
        sets = tuple(trained) if isinstance(trained, list) else tuple(str(trained).split("+"))
        methods[names.index(name)].trained_on = sets
    return methods


def _networks(request: BenchRequest, checkpoints: Mapping[str, str]) -> list[Method]:
    if not checkpoints and not request.onnx:
        return []  # without torch
    from arn.inference.loading import load
    from arn.inference.onnx import OnnxPredictor

    networks: list[Method] = []
    for name, path in checkpoints.items():
        if Path(path).suffix == ".onnx":
            raise ArnError(f"checkpoints.{name}={path} is an ONNX file: name it in onnx={{NAME: FILE}}")
        networks.append(load(path, request.device, runtime="torch"))
    networks += [OnnxPredictor(path) for path in request.onnx.values()]
    for name, network in zip((*checkpoints, *request.onnx), networks, strict=True):
        network.name, network.batch_size = name, request.batch_size
    return networks


def at_hand(scenes: bool, say: Callable[[str], None]) -> dict[str, str]:
    """What is scored when nothing is named: the networks that came with the package, and the last training here.

    On photographs that counts only if it was on photographs; for drawn scenes a short one is made if there is none.
    """
    from arn.inference.exports import SHIPPED, shipped
    from arn.inference.loading import load

    checkpoints = {SHIPPED[name]: name for name in shipped()}
    runs = [run for run in Run.below(TRAININGS) if run.finished and run.best.is_file()]
    if not scenes:
        runs = [run for run in runs if load(run.folder, runtime="torch").trained_on != ("scenes",)]
        if not runs:
            return checkpoints
    if runs:
        last = max(runs, key=lambda run: run.best.stat().st_mtime)
        say(f"no methods were named: the last training, {last}, is one of them")
    else:
        say("no methods were named and nothing was trained yet: a short training on drawn scenes comes first")
        last = Run(TRAININGS / "for_bench")
        short = ["data.train_limit=800", "trainer.max_epochs=2", "panels=0", f"hydra.run.dir={last}"]
        # In a process of its own, because Hydra runs one job at a time.
        if subprocess.run([sys.executable, "-P", "-m", "arn", "train", *short], check=False).returncode != 0:
            raise ArnError("the short training failed; name methods of your own: arn bench --help")
    return checkpoints | {"last training": str(last)}
