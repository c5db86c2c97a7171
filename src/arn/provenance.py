"""What made a result: version and commit of ARN, versions of its packages, the machine."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from arn.files import digest


def provenance(packages: Sequence[str] = ("numpy", "numba", "opencv-python-headless", "scipy")) -> dict[str, Any]:
    """What made a result: version and git commit of ARN, versions of Python and of these packages."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    checkout, commit = Path(__file__).resolve().parents[2], ""
    git = shutil.which("git")
    if git is not None and (checkout / ".git").exists():
        command = [git, "-C", str(checkout), "rev-parse", "HEAD"]
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return {"arn": version("arn-saliency"), "commit": commit or None, "versions": versions}


def processor_name() -> str:
    """`AMD EPYC 9B14`, or the architecture where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name") and (name := line.partition(":")[2].strip()):
                return name
    return platform.processor() or platform.machine()


def cores() -> int:
    """How many processors this process may use: by its affinity, and by SLURM's word where that binds no processes."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    of_task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(count, int(of_task)) if of_task.isdigit() and int(of_task) else count


def processor() -> str:
    """This machine's processor and how many of it a process may use: `AMD EPYC 9B14, 2 cores`."""
    return f"{processor_name()}, {cores()} cores"


@cache
def code_version(*packages: str) -> bytes:
    """A hash of the source of these modules and packages of ARN: what they computed before a change is not reused."""
    root = Path(__file__).resolve().parent
    parts: list[str | bytes] = []
    for package in packages:
        place = root.joinpath(*package.split(".")[1:])
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        for file in files:
            parts += [file.relative_to(root).as_posix(), file.read_bytes()]
    return digest(*parts)
