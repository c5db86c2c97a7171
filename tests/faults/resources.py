"""What commands hold while they run and leave when they end: memory, descriptors, processes, shared segments.

    python tests/faults/resources.py [--pictures N]

Needs ARN_DATA_DIR and /proc. Predicts N pictures (copies of ECSSD's, over and over) and trains six epochs with loader
processes, each to its end, interrupted by Ctrl-C, and ended by SIGKILL, and prints a table. Memory is that of the
command and its processes together (proportional shares): of whole runs the median in the middle and towards the end, of
others the most. Exit status 1 where anything is left, or where memory or descriptors grow.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

SHARED = Path("/dev/shm")
EVERY = 0.5  # s
# Of a run: between these its memory may not grow, nor its descriptors. The loaders of a training's second validation
# are made before those of its first are gone, so descriptors are all there from the third epoch on.
WINDOWS = ((0.55, 0.65), (0.75, 0.85))
GROWTH = 0.1  # of memory, as a share
LAST = 20.0  # s that a killed command's processes may outlive it


@dataclass(frozen=True)
class Sample:
    """At a moment: MiB, open descriptors, processes."""

    memory: float
    descriptors: int
    processes: int


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def sample(pid: int) -> Sample:
    memory = descriptors = processes = 0
    for one in family(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            memory += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            descriptors += len(os.listdir(f"/proc/{one}/fd"))
        except (OSError, StopIteration):
            continue
        processes += 1
    return Sample(memory / 1024, descriptors, processes)


def segments() -> set[str]:
    """Those that no living process has in its memory are left by a dead one."""
    mapped = ""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            mapped += maps.read_text()
        except OSError:
            continue
    return {path.name for path in SHARED.iterdir() if path.name not in mapped}


def living(pids: set[int], session: int) -> list[int]:
    """Those of these processes that are still there, and are of the command's session."""
    alive = []
    for pid in pids:
        try:
            if os.getsid(pid) == session and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                alive.append(pid)
        except OSError:
            continue
    return alive


def measure(name: str, arguments: list[str], work: Path, number: int | None = None, after: float = 0.0) -> list[str]:
    """Run a command, send it a signal after so many seconds of work, print a line, and return what is wrong."""
    before, log = segments(), work / "log"
    with log.open("w") as output:
        command = [sys.executable, "-m", "arn", *arguments]
        running = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, cwd=work)
        begun, samples, pids = time.monotonic(), list[Sample](), set[int]()
        while running.poll() is None:
            pids.update(family(running.pid))
            samples.append(sample(running.pid))
            if number is not None and time.monotonic() - begun > after:
                # Ctrl-C goes to all that a terminal shows, a kill for want of memory to one process.
                os.killpg(running.pid, number) if number == signal.SIGINT else os.kill(running.pid, number)
                number = None
            time.sleep(EVERY)
        spent = time.monotonic() - begun
    ended = time.monotonic()
    while (left := living(pids, running.pid)) and time.monotonic() - ended < LAST:
        time.sleep(0.1)
    gone = time.monotonic() - ended
    made = segments() - before
    at_work = [one for one in samples if one.memory > 0] or [Sample(0, 0, 0)]
    early, late = (at_work[int(begin * len(at_work)) : int(end * len(at_work)) + 1] for begin, end in WINDOWS)
    memory, files = (
        [median(getattr(one, what) for one in part) for part in (early, late)] for what in ("memory", "descriptors")
    )
    late_ones = f" (for {gone:.1f} s)" if gone > 0.2 else ""
    cells: list[Any] = [name, running.returncode, f"{spent:.0f} s"]
    if after:
        cells += [f"{max(one.memory for one in at_work):,.0f} MiB", max(one.descriptors for one in at_work)]
    else:
        cells += [f"{memory[0]:,.0f} / {memory[1]:,.0f} MiB", f"{files[0]:.0f} / {files[1]:.0f}"]
    cells += [max(one.processes for one in at_work), f"{len(left)}{late_ones}", len(made)]
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
    wrong = [f"{name}: processes {left} live on"] if left else []
    wrong += [f"{name}: left {sorted(made)} in {SHARED}"] if made else []
    if number is None and after == 0.0:
        if running.returncode:
            wrong.append(f"{name}: exit status {running.returncode}: {log.read_text()[-300:]}")
        if memory[1] > memory[0] * (1 + GROWTH):
            wrong.append(f"{name}: memory grows from {memory[0]:,.0f} to {memory[1]:,.0f} MiB")
        if files[1] > files[0] + 8:
            wrong.append(f"{name}: descriptors grow from {files[0]} to {files[1]}")
    return wrong


def run(pictures: int) -> int:
    data = Path(os.environ["ARN_DATA_DIR"])
    wrong: list[str] = []
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # which a shell's background ignores, and its children with it
    print(
        "| what | exit | time | memory, middle / end | descriptors, middle / end | processes | left | segments left |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="arn-resources-") as place:
        work = Path(place)
        (work / "pictures").mkdir()
        files = sorted((data / "ECSSD" / "images").iterdir())
        for number in range(pictures):
            shutil.copy(files[number % len(files)], work / "pictures" / f"{number:05d}.jpg")
        predict = ["predict", "input=pictures"]
        train = [
            *("train", "experiment=duts", "data.test=[ECSSD]", "data.test_limit=20", "data.train_limit=240"),
            *("network=arn_lite", "pretrained=false", "network.input_size=64", "data.cache=64", "data.batch_size=8"),
            *("data.val=20", "data.workers=2", "trainer.max_epochs=6", "panels=0"),
        ]
        wrong += measure(f"predict, {pictures:,} pictures", [*predict, "output=whole"], work)
        for name, number in (("Ctrl-C", signal.SIGINT), ("SIGKILL", signal.SIGKILL)):
            wrong += measure(f"predict, {name}", [*predict, f"output={name}"], work, number, after=20.0)
        wrong += measure("train, 6 epochs, 2 loader processes", [*train, "hydra.run.dir=run"], work)
        for name, number in (("Ctrl-C", signal.SIGINT), ("SIGKILL", signal.SIGKILL)):
            wrong += measure(f"train, {name}", [*train, f"hydra.run.dir={name}"], work, number, after=40.0)
    for line in wrong:
        print(line)
    return len(wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=5000)
    sys.exit(1 if run(parser.parse_args().pictures) else 0)
