"""A bench of many methods and pictures, twice: python -m perf cache [--methods 12 --pictures 1500]

Maps are generated, small, and each of its own content; what the cache holds of one does not depend on its size. The
real command scores them in a process of its own; then again; then with one map replaced; then the cache is pruned to
half. `--methods 100 --pictures 15000` is the size that the cache was made for (30 GB of disk below --folder). Writes
outputs/perf/cache.json.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from arn.config.units import size_told
from perf.common import machine, versions, write_json
from perf.generated import write_dataset, write_maps

SIDE = 48  # px


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf cache", description=__doc__)
    parser.add_argument("--methods", type=int, default=12)
    parser.add_argument("--pictures", type=int, default=1500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work (default: /tmp)")
    options = parser.parse_args(arguments)
    content: dict[str, Any] = {"machine": machine(), "versions": versions("numpy", "opencv-python-headless")}
    with tempfile.TemporaryDirectory(prefix="arn-perf-", dir=options.folder) as name:
        folder = Path(name)
        begun = time.perf_counter()
        masks = write_dataset(folder / "GENERATED", options.pictures, SIDE, SIDE)
        maps = {f"M{number:03d}": folder / "maps" / f"M{number:03d}" for number in range(options.methods)}
        for place in maps.values():
            write_maps(place, masks)
        print(
            f"{options.methods} methods x {options.pictures:,} pictures of {SIDE} x {SIDE}, generated in "
            f"{time.perf_counter() - begun:.0f} s"
        )
        time.sleep(11)  # files that have just changed are read again by every bench
        content |= {"methods": options.methods, "pictures": options.pictures, "workers": options.workers}
        content["runs"] = runs(folder, maps, options.workers)
        content["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    print(f"written: {write_json('cache.json', content)}")


def runs(folder: Path, maps: dict[str, Path], workers: int) -> dict[str, Any]:
    cache = folder / "cache"
    listed = ", ".join(f"{name}: {place}" for name, place in maps.items())
    bench = ["datasets=[GENERATED]", f"maps={{{listed}}}", "measures=[mae,f,e,s,wf]", "resamples=0", "figures=false"]
    bench += ["browser=0", f"cache={cache}", "cache_limit=null", f"workers={workers}", f"hydra.run.dir={folder}/run"]
    found: dict[str, Any] = {}

    def run(what: str, *command: str) -> None:
        seconds, spent, megabytes = timed(["bench", *command], folder)
        files = sum(1 for _ in cache.iterdir())
        size = sum(path.stat().st_size for path in cache.iterdir())
        found[what] = {"seconds": seconds, "processor_seconds": spent, "peak_mb": megabytes}
        found[what] |= {"files": files, "bytes": size}
        told = f"{what:24}{seconds:8.1f} s, {spent:.1f} of a processor, {megabytes:.0f} MB at most"
        print(f"{told}; cache: {files:,} files, {size_told(size)}")

    run("first", *bench)
    run("second", *bench)
    shutil.copy(next(next(iter(maps.values())).iterdir()), max(next(iter(maps.values())).iterdir()))
    run("one map replaced", *bench)
    run("cache", "cache", f"cache={cache}")
    run("prune to half", "cache", "prune", f"limit={found['second']['bytes'] // 2}B", f"cache={cache}")
    run("after that", *bench)
    return found


def timed(arguments: list[str], data: Path) -> tuple[float, float, float]:
    """Seconds of an `arn` command, those of a processor that it and its workers took, and its most memory, MB."""
    code = "import resource, sys; from arn.cli import main; code = main(sys.argv[1:]); "
    code += "own, workers = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)); "
    code += "print(sum(one.ru_utime + one.ru_stime for one in (own, workers)), own.ru_maxrss); sys.exit(code)"
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"ARN_DATA_DIR": str(data)},
    )
    if done.returncode:
        raise SystemExit(f"arn {' '.join(arguments)[:200]} failed:\n{done.stderr[-2000:]}")
    spent, kilobytes = done.stdout.split()[-2:]
    return time.perf_counter() - begun, float(spent), int(kilobytes) / 1024
