"""Kill predict, bench, export, report and sweep, go on, and compare with what nobody disturbed: `make faults`, too.

    python tests/faults/commands.py [--kills N] [--pairs N] [--seed N] [--only NAME]

Half of the kills of a command come before or after a file that it puts in place, half at a random moment; those of a
sweep, whose files are its jobs', all at a random moment. After each, what is there must be whole: a file as it will be
or as it was before. Then the command is run again, and all that it leaves must equal the undisturbed run's, byte for
byte, but for dates and durations. Pairs are two of the same command at once in one folder. Exit status 1 where one is
not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kills import BASE, Started, differences, outcome, warm_up

from arn.cli import main
from arn.multirun.jobs import Sweep
from arn.runs import Run

PICTURES = 12
SMALL = (*BASE, "trainer.max_epochs=1")
GIVEN_UP = 180.0  # s


def bytes_below(folder: Path) -> dict[str, bytes]:
    """Of every file that is not hidden, by path."""
    paths = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path): (folder / path).read_bytes()
        for path in paths
        if not str(path).startswith(".") and "/." not in str(path)
    }


def without_times(folder: Path) -> dict[str, Any]:
    """Of a bench or a report: files by path, but for who made them when, which the page holds as well."""
    found: dict[str, Any] = dict(bytes_below(folder))
    for name in ("bench.json", "report.json"):
        if name in found:
            content = json.loads(found[name])
            content["provenance"] = None
            found[name] = content
    found["index.html"] = "index.html" in found
    return found


def of_sweep(folder: Path) -> dict[str, Any]:
    runs = {name: outcome(Run(folder / "s" / name).folder) for name in Sweep(folder / "s").jobs()}
    for one in runs.values():
        one["record"].pop("command")  # says when the sweep began
    return runs


@dataclass(frozen=True)
class Command:
    """A command that writes below a folder.

    Attributes:
        result: all that it leaves there, but for times.
        earlier: what lies there before, if anything: a copy is put in place each time.
        atomic: all that it writes comes at once: what is there is all old or all new.
        may_refuse: a second one at the same time may say that the folder is in use.
        moments: it puts files in place itself.
    """

    arguments: Callable[[Path], list[str]]
    result: Callable[[Path], dict[str, Any]]
    earlier: Path | None = None
    atomic: bool = False
    may_refuse: bool = False
    moments: bool = True


class Materials:
    """What the commands work on, made when it is first asked for: 12 pictures of ECSSD (drawn ones where there is no
    ARN_DATA_DIR), and tiny trained networks."""

    def __init__(self, work: Path) -> None:
        self.work, self.runs = work, work / "runs"

    @cached_property
    def dataset(self) -> Path:
        return _dataset(self.work / "SMALL")

    @cached_property
    def network(self) -> Path:
        return self._trained(0)

    @cached_property
    def two_runs(self) -> Path:
        self._trained(1)
        return self.network.parent

    @cached_property
    def earlier_export(self) -> Path:
        """The folder that it lies in."""
        _must(["export", f"checkpoint={self.network}", "half=true", f"output={self.work / 'earlier' / 'export'}"])
        return self.work / "earlier"

    def _trained(self, seed: int) -> Path:
        run = self.runs / f"net_seed{seed}"
        _must(["train", *SMALL, f"seed={seed}", f"hydra.run.dir={run}"])
        return run


def predict(given: Materials) -> Command:
    command = ["predict", f"input={given.dataset / 'images'}", f"checkpoint={given.network}", "batch_size=2"]
    return Command(lambda at: [*command, f"output={at}/out"], lambda at: bytes_below(at / "out"))


def bench(given: Materials) -> Command:
    command = [
        "bench",
        f"datasets=[{given.dataset}]",
        f"checkpoints={{N: {given.network}}}",
        "methods=[mb]",
        "timing=0",
    ]
    return Command(
        lambda at: [*command, "resamples=200", "workers=1", f"cache={at}/cache", f"hydra.run.dir={at}/run"],
        lambda at: without_times(at / "run"),
    )


def export(given: Materials) -> Command:
    command = ["export", f"checkpoint={given.network}"]
    return Command(
        lambda at: [*command, f"output={at}/export"],
        lambda at: bytes_below(at / "export"),
        earlier=given.earlier_export,
        atomic=True,
    )


def report(given: Materials) -> Command:
    command = ["report", f"runs={given.two_runs}", "resamples=200"]
    return Command(lambda at: [*command, f"output={at}/report"], lambda at: without_times(at / "report"))


def sweep(given: Materials) -> Command:
    command = ["train", "-m", *SMALL, "seed=0,1"]
    return Command(lambda at: [*command, f"hydra.sweep.dir={at}/s"], of_sweep, may_refuse=True, moments=False)


COMMANDS = {one.__name__: one for one in (predict, bench, export, report, sweep)}


def _dataset(folder: Path) -> Path:
    from PIL import Image

    from arn.data.layout import find_dataset
    from arn.data.scenes import draw_scene

    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    if os.environ.get("ARN_DATA_DIR"):
        for pair in find_dataset("ECSSD")[:: 1000 // PICTURES][:PICTURES]:
            assert pair.mask is not None
            for name, path in (("images", pair.picture), ("masks", pair.mask)):
                with Image.open(path) as image:
                    image.resize((160, 120)).save(folder / name / f"{pair.stem}.png")
        return folder
    for number in range(PICTURES):
        for name, array in zip(("images", "masks"), draw_scene(0, number, (120, 160)), strict=True):
            Image.fromarray(array).save(folder / name / f"{number:04d}.png")
    return folder


def _must(arguments: list[str]) -> None:
    status, _ = Started(arguments).wait()
    if status:
        raise SystemExit(f"arn {' '.join(arguments)} ends with {status}")


class Trial:
    """A command, its undisturbed run, and the comparing of disturbed ones with it."""

    def __init__(self, command: Command, work: Path) -> None:
        self.command, self.work = command, work
        begun = time.monotonic()
        status, self.moments = Started(command.arguments(self._fresh())).wait(GIVEN_UP)
        self.seconds = time.monotonic() - begun
        if status:
            raise SystemExit(f"the undisturbed command ends with {status}: {command.arguments(work)}")
        self.expected = command.result(self.folder)
        self.before = {} if command.earlier is None else bytes_below(command.earlier)
        self.after = bytes_below(self.folder)

    @property
    def folder(self) -> Path:
        return self.work / "here"

    def _fresh(self) -> Path:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.command.earlier is None:
            self.folder.mkdir()
        else:
            shutil.copytree(self.command.earlier, self.folder)
        return self.folder

    def kill(self, draw: random.Random) -> tuple[str, list[str]]:
        """When it was killed, in words, and what is wrong then or after it went on."""
        arguments = self.command.arguments(self._fresh())
        if self.command.moments and draw.random() < 0.5:
            moment = draw.randrange(self.moments)
            when = f"at moment {moment} of {self.moments}"
            status, _ = Started(arguments, kill_at=moment).wait()
        else:
            seconds = draw.uniform(0, self.seconds)
            when = f"after {seconds:.2f} of {self.seconds:.2f} s"
            status, _ = Started(arguments).wait(seconds)
        if status not in (0, -signal.SIGKILL):
            return when, [f"exit status {status} instead of a kill"]
        if broken := self._broken():
            return when, broken
        status, _ = Started(arguments).wait(GIVEN_UP)
        if status:
            return when, [f"exit status {status} when it went on"]
        return when, differences(self.expected, self.command.result(self.folder))

    def _broken(self) -> list[str]:
        """Files that are neither as they were nor as they will be."""
        there = bytes_below(self.folder)
        if self.command.atomic:
            return [] if there in (self.before, self.after) else [f"neither old nor new: {sorted(there)}"]
        return [name for name, data in there.items() if not self._is_whole(name, data)]

    def _is_whole(self, name: str, data: bytes) -> bool:
        suffix = Path(name).suffix
        if suffix == ".json":  # holds times
            return bool(json.loads(data))
        timed = suffix == ".html" or name.startswith("cache/") or not self.command.moments
        return timed or data in (self.before.get(name), self.after.get(name))

    def pair(self) -> list[str]:
        """What is wrong after two at once."""
        arguments = self.command.arguments(self._fresh())
        both = [Started(arguments), Started(arguments)]
        statuses = sorted(one.wait(GIVEN_UP)[0] for one in both)
        if statuses != [0, 0] and not (self.command.may_refuse and statuses == [0, 2]):
            return [f"exit statuses {statuses}"]
        return differences(self.expected, self.command.result(self.folder))


def run(kills: int, pairs: int, seed: int, only: str | None, tell: Callable[[str], None] = print) -> int:
    """Returns how many ended otherwise; `kills` and `pairs` are of each command."""
    draw = random.Random(seed)
    wrong, killed = 0, 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="arn-faults-") as place:
        work = Path(place)
        warm_up()
        _import_all(work)
        given = Materials(work)
        for name in COMMANDS if only is None else [only]:
            trial = Trial(COMMANDS[name](given), work)
            for _ in range(kills):
                when, lines = trial.kill(draw)
                killed += 1
                if lines:
                    wrong += 1
                    tell(f"{name}, killed {when}: {'; '.join(lines[:6])}")
            for _ in range(pairs):
                if lines := trial.pair():
                    wrong += 1
                    tell(f"{name}, two at once: {'; '.join(lines[:6])}")
            tell(f"{name}: {trial.moments} moments, {trial.seconds:.1f} s, {kills} kills, {pairs} pairs")
    tell(f"{killed} kills of commands, {wrong} ended otherwise, {time.monotonic() - started:.0f} s")
    return wrong


def _import_all(work: Path) -> None:
    """What the commands import and compile, each fork has; nothing of it runs threads in this process."""
    import matplotlib.pyplot  # noqa: F401
    import onnxruntime  # noqa: F401
    import onnxscript  # noqa: F401
    import torch.onnx  # noqa: F401

    picture = work / "scene.png"
    from PIL import Image

    from arn.data.scenes import draw_scene

    Image.fromarray(draw_scene(0, 0, (40, 40))[0]).save(picture)
    if main(["predict", f"input={picture}", f"output={work}/warm", "method=mb"]):
        raise SystemExit("the first prediction fails")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=12, help="of each command")
    parser.add_argument("--pairs", type=int, default=2, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(COMMANDS))
    chosen = parser.parse_args()
    sys.exit(1 if run(chosen.kills, chosen.pairs, chosen.seed, chosen.only) else 0)
