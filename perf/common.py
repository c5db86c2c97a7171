"""What the suites share: the machine in words, repeated timing, the real pictures."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from arn.data.layout import Pair, find_dataset
from arn.errors import ArnError
from arn.provenance import processor_name

METHODS = ("Amulet", "DSS", "PiCANet")
OUTPUT = Path("outputs") / "perf"


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system; no names of hosts or folders."""
    found: dict[str, Any] = {
        "processor": processor_name(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
    }
    if hasattr(os, "sched_getaffinity"):
        found["cores_allowed"] = len(os.sched_getaffinity(0))
    if hasattr(os, "getloadavg"):
        found["load_before"] = round(os.getloadavg()[0], 2)
    found["threads"] = int(os.environ.get("OMP_NUM_THREADS") or found.get("cores_allowed") or 0)
    found["system"] = platform.system()
    return found


def versions(*packages: str) -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def spread(values: list[float]) -> dict[str, float]:
    """Median and extremes."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def take_turns(jobs: Mapping[str, Callable[[], object]], repeats: int, warm: bool = True) -> dict[str, list[float]]:
    """Seconds of each job in each turn. All jobs run once in every turn, so that disturbances fall on all of them."""
    if warm:
        for job in jobs.values():
            job()
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            taken[name].append(time.perf_counter() - start)
    return taken


def ratios(of: Sequence[float], to: Sequence[float]) -> dict[str, float]:
    """Median and extremes of the quotients, turn by turn."""
    return spread([a / b for a, b in zip(of, to, strict=True)])


def _status(field: str) -> float:
    return int(Path("/proc/self/status").read_text().partition(f"{field}:")[2].split()[0]) / 1024


def peak_memory(job: Callable[[], object]) -> float:
    """MB that the process needs at most while the job runs, beyond what it held before. Linux only.

    The kernel's high-water mark, as `ru_maxrss`, but set back first: that one starts from the parent's.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    job()
    return _status("VmHWM") - before


def in_process(module: str, *arguments: str, exact_memory: bool = False) -> Any:
    """What ``python -m perf.MODULE ARGUMENTS`` prints as its last line, which is JSON.

    ``exact_memory``: glibc hands back at once what is freed, so that nothing of an earlier step hides in a later one.
    """
    command = [sys.executable, "-m", f"perf.{module}", *arguments]
    limits = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"} if exact_memory else {}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | limits)
    if told.returncode:
        raise SystemExit(f"perf.{module} {' '.join(arguments)} failed:\n{told.stderr[-2000:]}")
    return json.loads(told.stdout.splitlines()[-1])


def write_json(name: str, content: dict[str, Any]) -> Path:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    path = OUTPUT / name
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def data_root() -> Path:
    return Path(os.environ.get("ARN_DATA_DIR") or "data")


def real_pairs(every: int = 1) -> list[tuple[str, Path, Path]]:
    """(name, map, mask): every n-th published map of the SOD data set, of three methods."""
    root = data_root() / "SOD"
    pairs = [
        (f"{method}/{path.stem}", path, root / "masks" / path.name)
        for method in METHODS
        for path in sorted((root / "maps" / method).glob("*.png"))[::every]
    ]
    if not pairs:
        raise SystemExit("No maps below SOD/maps: set ARN_DATA_DIR to the folder of the data sets.")
    return pairs


def ecssd(every: int = 1) -> list[Pair]:
    """Every n-th picture of ECSSD with its mask."""
    try:
        return find_dataset("ECSSD")[::every]
    except ArnError as error:
        raise SystemExit(str(error)) from error
