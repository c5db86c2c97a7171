"""Kill a training at every moment, go on, and compare with one that nothing disturbed: `make faults`.

    python tests/faults/kills.py [--first N] [--second N] [--seed N] [--only NAME]

A tiny training is run once to its end, and its moments are counted: after every optimiser step, and before and after
every file that it puts in place. Then it is killed with SIGKILL at such a moment, gone on with, killed a second time
from whatever the first kill left, and gone on with to its end. Weights, optimiser, steps, validations, every picture's
scores and the record must be equal bit for bit, but for times. Exit status 1 where one is not.

Each training is a process of its own, forked from one that has imported everything, so that a kill is a real one and
costs no start.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import numpy as np
import torch

from arn.cli import main
from arn.runs import Run

BASE = (
    *("network.input_size=32", "pretrained=false", "data.cache=32", "data.train_limit=24", "data.test_limit=2"),
    *("data.val=3", "data.batch_size=4", "data.workers=0", "trainer.max_epochs=3", "panels=0", "checkpoint.minutes=0"),
    *("optimizer.lr=3e-3", "network=arn", "network.backbone=timm:test_efficientnet", "network.strides=[4,8,16,32]"),
    *("network.rcl.channels=[8,8,8]", "network.attention.strides=[16]", "network.decoder.channels=[16,16,8]"),
    *("network.decoder.convs=1",),
)
"""18 steps in three epochs of drawn scenes, written down after each."""

VARIANTS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "validated within epochs": ("trainer.val_check_interval=0.5",),
    "validated every second epoch": ("trainer.check_val_every_n_epoch=2",),
    "accumulated": ("trainer.accumulate_grad_batches=2",),
    "steps": ("trainer.max_steps=16",),
    "steps that end an epoch": ("trainer.max_steps=12",),
    "averaged": ("callbacks=ema",),
    "stopped early": ("callbacks=early_stopping", "callbacks.early_stopping.patience=1", "checkpoint.mode=max",
                      "checkpoint.monitor=val/max_f", "trainer.max_epochs=8", "trainer.val_check_interval=0.5"),
}  # fmt: skip
TIMES = {"training_seconds", "seconds_per_picture", "seconds_per_map", "total_seconds"}


class Started:
    """A command at work in a process of its own, forked from this one."""

    def __init__(self, arguments: list[str], kill_at: int | None = None) -> None:
        """With ``kill_at`` it ends itself by SIGKILL at that moment."""
        self._told, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._told)
            status = 1
            try:
                devnull = os.open(os.devnull, os.O_WRONLY)
                os.dup2(devnull, 1)
                if "FAULTS_SHOW" not in os.environ:
                    os.dup2(devnull, 2)
                count_moments(lambda number: os.write(writing, b".") if number != kill_at else suicide())
                status = main(arguments)
            finally:
                os._exit(status)
        os.close(writing)

    def wait(self, seconds: float | None = None) -> tuple[int, int]:
        """Its exit status and its moments; SIGKILL after so many seconds."""
        moments = 0
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._told], [], [], left)[0]:
                os.kill(self.pid, signal.SIGKILL)
                deadline = None
            elif seen := os.read(self._told, 4096):
                moments += len(seen)
            else:
                break
        os.close(self._told)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), moments


def train(arguments: list[str], kill_at: int | None = None) -> tuple[int, int]:
    """Run ``arn train`` in a process of its own; SIGKILL at that moment. Returns its exit status and its moments."""
    return Started(["train", *arguments], kill_at).wait()


def suicide() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def count_moments(tell: Callable[[int], object]) -> None:
    """Call with 0, 1, ... at every moment of this process's training."""
    numbers = itertools.count()
    from arn.training.callbacks import Throughput

    replace, end = os.replace, Throughput.on_train_batch_end

    def replaced(*arguments: Any, **options: Any) -> None:
        tell(next(numbers))
        replace(*arguments, **options)
        tell(next(numbers))

    def ended(*arguments: Any, **options: Any) -> None:
        end(*arguments, **options)
        tell(next(numbers))

    os.replace, Throughput.on_train_batch_end = replaced, ended  # type: ignore[assignment]


def go_on(folder: Path, arguments: list[str]) -> list[str]:
    """What a user types after a kill."""
    return [f'resume="{folder}"'] if Run(folder).begun else [*arguments, f'hydra.run.dir="{folder}"']


def outcome(folder: Path) -> dict[str, Any]:
    """All that a finished run holds, but for times."""
    run = Run(folder)
    record = run.record() or {}
    kept: dict[str, Any] = {key: value for key, value in record.items() if key not in TIMES}
    kept["command"] = str(kept.get("command")).replace(str(folder), "FOLDER")
    found: dict[str, Any] = {"record": kept, "validations": run.validations()}
    for path in (run.best, run.last):
        checkpoint = torch.load(path, weights_only=True)
        states = {key: value for key, value in checkpoint["callbacks"].items() if not key.startswith("Throughput")}
        found[path.name] = {
            **{key: checkpoint[key] for key in ("global_step", "epoch", "state_dict", "optimizer_states")},
            "lr_schedulers": [
                {key: value for key, value in one.items() if key != "_step_count"}
                for one in checkpoint["lr_schedulers"]
            ],
            "callbacks": states,
        }
    found["pictures"] = {name: rows.table for name, rows in run.rows().items()}
    return found


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two outcomes differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = dict.fromkeys([*one, *other])
        missing = [f"{place}/{key}: only in one" for key in keys if (key in one) != (key in other)]
        both = [key for key in keys if key in one and key in other]
        return missing + [line for key in both for line in differences(one[key], other[key], f"{place}/{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [f"{place}: {len(one)} against {len(other)}"]
        pairs = enumerate(zip(one, other, strict=True))
        return [line for number, (a, b) in pairs for line in differences(a, b, f"{place}/{number}")]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) else [f"{place}: tensors differ"]
    if isinstance(one, np.ndarray):
        return [] if np.array_equal(one, other, equal_nan=True) else [f"{place}: arrays differ"]
    return [] if one == other or (one != one and other != other) else [f"{place}: {one!r} against {other!r}"]


def warm_up() -> None:
    """A training in this very process: what it imports and compiles, each fork has."""
    torch.set_num_threads(1)  # a process with more threads cannot be forked
    with (
        tempfile.TemporaryDirectory(prefix="arn-faults-") as work,
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        status = main(["train", *BASE, "trainer.max_epochs=1", f'hydra.run.dir="{work}/run"'])
    if status:
        raise SystemExit(f"the first training ends with {status}")


class Trial:
    """One variant: its undisturbed run, and the comparing of disturbed ones with it."""

    def __init__(self, name: str, work: Path, arguments: tuple[str, ...] = ()) -> None:
        self.name, self.work = name, work
        self.arguments = [*BASE, *VARIANTS[name], *arguments]
        whole = work / "whole"
        status, self.moments = train(go_on(whole, self.arguments))
        if status:
            raise SystemExit(f"{name}: the undisturbed run ends with {status}")
        self.expected = outcome(whole)

    def kill(self, *moments: int) -> list[str]:
        """What differs after kills at these moments, each counted from where the one before left."""
        folder = self.work / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        for moment in moments:
            status, _ = train(go_on(folder, self.arguments), kill_at=moment)
            if status not in (0, -signal.SIGKILL):
                return [f"exit status {status} instead of a kill"]
        status, _ = train(go_on(folder, self.arguments))
        return [f"exit status {status} when it went on"] if status else differences(self.expected, outcome(folder))


def run(first: int, second: int, seed: int, only: str | None, tell: Callable[[str], None] = print) -> int:
    """Returns how many ended otherwise. Moments are drawn without repeats as long as there are any."""
    draw = random.Random(seed)
    warm_up()
    names = [name for name in VARIANTS if only in (None, name)]
    wrong = kills = begun = 0
    started = time.monotonic()
    for place, name in enumerate(names):
        with tempfile.TemporaryDirectory(prefix="arn-faults-") as work:
            trial = Trial(name, Path(work))
            share = [number // len(names) + (place < number % len(names)) for number in (first, second)]
            once = draw.sample(range(trial.moments), min(share[0], trial.moments))
            twice = [(draw.randrange(trial.moments), draw.randrange(trial.moments)) for _ in range(share[1])]
            for moments in [*((one,) for one in once), *twice]:
                begun += 1
                kills += len(moments)
                if lines := trial.kill(*moments):
                    wrong += 1
                    tell(f"{name}, killed at {moments} of {trial.moments}: {'; '.join(lines[:6])}")
            tell(f"{name}: {trial.moments} moments, {len(once)} killed once, {len(twice)} twice")
    tell(f"{begun} trainings, {kills} kills, {wrong} ended otherwise, {time.monotonic() - started:.0f} s")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=60, help="trainings that are killed once")
    parser.add_argument("--second", type=int, default=120, help="trainings that are killed twice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(VARIANTS))
    chosen = parser.parse_args()
    sys.exit(1 if run(chosen.first, chosen.second, chosen.seed, chosen.only) else 0)
