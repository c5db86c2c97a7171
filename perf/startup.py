"""`arn --help`, `arn predict` of one picture, `arn train` to its first step by part: python -m perf startup

Each of the --repeats turns (default 5) is a process of its own. `arn predict` is timed a second time with the files of
Python, the packages and ARN driven out of the system's cache, as after a reboot; what another process has mapped stays.
The parts are those of the run itself, timed from within: the interpreter and the command, the imports, the config, the
data sets, the network with its weights, and the first step (loader workers included). Writes outputs/perf/startup.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import arn
from arn.config import config_dir
from perf.common import ecssd, in_process, machine, spread, versions, write_json

PARTS = ("interpreter", "imports", "config", "data", "network", "first step")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf startup", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="turns (default 5)")
    parser.add_argument("overrides", nargs="*", help="of arn train, e.g. experiment=duts_lite")
    chosen = parser.parse_args(arguments)
    command = str(Path(sys.executable).with_name("arn"))
    picture = ecssd()[0].picture
    helps, predicts, colds, turns = [], [], [], []
    for _ in range(chosen.repeats):
        helps.append(timed(command, "--help"))
        with tempfile.TemporaryDirectory() as folder:
            predict = (command, "predict", f"input={picture}", f"output={folder}", "overwrite=true")
            predicts.append(timed(*predict))
            forget(Path(sys.prefix), Path(os.__file__).parent, Path(arn.__file__).parent, config_dir())
            colds.append(timed(*predict))
        turns.append(in_process("startup", "--alone", str(time.time()), *chosen.overrides))
    total = [sum(turn.values()) for turn in turns]
    content: dict[str, Any] = {
        "what": "seconds: median, low and high of the turns, files in the system's cache",
        "machine": machine(),
        "versions": versions("torch", "pytorch-lightning", "hydra-core"),
        "overrides": chosen.overrides,
        "turns": chosen.repeats,
        "arn --help": spread(helps),
        "arn predict": spread(predicts),
        "arn predict, cold": spread(colds),
        "arn train": {part: spread([turn[part] for turn in turns]) for part in PARTS} | {"all": spread(total)},
    }
    content["goals"] = [
        {
            "case": case,
            "what": "seconds",
            "found": (median := content[case]["median"]),
            "sense": "<=",
            "bound": bound,
            "holds": median <= bound,
        }
        for case, bound in (("arn --help", 0.3), ("arn predict, cold", 3.0))
    ]
    for name in ("arn --help", "arn predict", "arn predict, cold"):
        print(f"{name:22}{content[name]['median']:8.3f} s")
    for part, seconds in content["arn train"].items():
        print(f"arn train, {part:11}{seconds['median']:8.3f} s  ({seconds['low']:.3f} .. {seconds['high']:.3f})")
    print(f"written: {write_json('startup.json', content)}")


def forget(*folders: Path) -> None:
    """Drive the files below these folders out of Linux's cache, as far as no process has them mapped."""
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with contextlib.suppress(OSError), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def alone(begun: float, overrides: list[str]) -> dict[str, float]:
    """Seconds of each part of one `arn train` of a single step; `begun` is when this process was asked for."""
    marks = [begun, time.time()]

    def mark() -> None:
        marks.append(time.time())

    from arn.verbs import train as verb

    mark()
    import pytorch_lightning as pl

    from arn.data.datamodule import SaliencyDataModule

    class Reached(Exception):
        pass

    plain_train, setup, fit = verb.train, SaliencyDataModule.setup, pl.Trainer.fit
    step = verb.SaliencyTask.on_train_batch_end

    def train(*args: Any, **kwargs: Any) -> float:
        mark()  # the config is composed
        return plain_train(*args, **kwargs)

    def set_up(self: Any, stage: str | None = None) -> None:
        first = not hasattr(self, "training_source")
        setup(self, stage)
        if first:
            mark()

    def begin(self: Any, *args: Any, **kwargs: Any) -> None:
        mark()  # network, weights, trainer
        fit(self, *args, **kwargs)

    def done(self: Any, *args: Any, **kwargs: Any) -> None:
        step(self, *args, **kwargs)
        mark()
        raise Reached

    verb.train, SaliencyDataModule.setup, pl.Trainer.fit = train, set_up, begin  # type: ignore[assignment, method-assign]
    verb.SaliencyTask.on_train_batch_end = done  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Reached):
        verb.main([*overrides, f"hydra.run.dir={folder}/run"])
    return {part: after - before for part, before, after in zip(PARTS, marks[:-1], marks[1:], strict=True)}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        quiet = os.dup(1)
        os.dup2(2, 1)  # what the run says is not the answer
        found = alone(float(sys.argv[2]), sys.argv[3:])
        sys.stdout.flush()
        os.dup2(quiet, 1)
        print(json.dumps(found), flush=True)
        os._exit(0)
    else:
        main(sys.argv[1:])
