"""A bench beside the mere decoding of its files, and its memory: python -m perf bench [--methods 6 --pictures 400]

Maps are generated, like networks' and of a usual size; docs/performance.md tells of `--methods 30 --pictures 1000`. Two
processes decode every map with its mask; two score them by five measures into a cache, as `arn bench` does. Then one
process, part by part. Writes outputs/perf/bench.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from arn.data.images import read_mask
from arn.data.maps import MapFile
from arn.data.sources import PairSource, find_source
from arn.evaluation.cache import Cache
from arn.evaluation.scoring import CHUNK, Scorer
from arn.evaluation.work import Rules, Workers
from arn.inference.map_folder import MapFolder
from arn.metrics.functional import score_row
from arn.metrics.protocols import get_protocol
from perf.common import machine, versions, write_json
from perf.generated import like_a_network, png, write_dataset, write_maps

HEIGHT, WIDTH = 300, 400  # px
FIVE = ("mae", "f", "e", "s", "wf")
Pair = tuple[Path, Path]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf bench", description=__doc__)
    parser.add_argument("--methods", type=int, default=6)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    content: dict[str, Any] = {"machine": machine(), "versions": versions("numpy", "numba", "opencv-python-headless")}
    content |= vars(options) | {"size": [HEIGHT, WIDTH]}
    with tempfile.TemporaryDirectory(prefix="arn-perf-") as name, Workers(options.workers) as workers:
        folder = Path(name)
        masks = write_dataset(folder / "GENERATED", options.pictures, HEIGHT, WIDTH)
        random = np.random.default_rng(1)
        drawn = {stem: [png(like_a_network(mask, random)) for _ in range(3)] for stem, mask in masks.items()}
        methods = [MapFolder(f"M{number:02d}", folder / "maps" / f"M{number:02d}") for number in range(options.methods)]
        for method in methods:
            write_maps(Path(method.source), masks, drawn)
        source = find_source(str(folder / "GENERATED"))
        assert isinstance(source, PairSource)
        pairs = [(Path(one.source) / place.name, place) for one in methods for place in source.masks]
        content["kilobytes_a_map"] = round(float(np.mean([path.stat().st_size for path, _ in pairs])) / 1e3)
        list(workers.map(decode, chunks(pairs[: 8 * CHUNK]), len(pairs)))  # starts the processes, and compiles
        begun = time.perf_counter()
        list(workers.map(decode, chunks(pairs), len(pairs)))
        ceiling = len(pairs) / (time.perf_counter() - begun)
        rate, memory = score(methods, source, Cache(folder / "cache"), workers, len(pairs))
    with tempfile.TemporaryDirectory(prefix="arn-perf-") as name:
        parts = by_part(masks, drawn, Cache(name))
    content |= {"decoded_a_second": ceiling, "scored_a_second": rate, "share_of_ceiling": rate / ceiling}
    content |= {"memory_mb": memory, "milliseconds": parts}
    content["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    show(content)
    print(f"written: {write_json('bench.json', content)}")


def chunks(pairs: list[Pair]) -> Iterator[tuple[int, list[Pair]]]:
    for start in range(0, len(pairs), CHUNK):
        yield CHUNK, pairs[start : start + CHUNK]


def decode(pairs: list[Pair]) -> None:
    """In a worker."""
    for of_map, of_mask in pairs:
        MapFile(of_map).read(), read_mask(of_mask)
    if len(pairs) == CHUNK and "scored" not in _compiled:
        _compiled.add("scored")
        score_row(MapFile(pairs[0][0]).read(), read_mask(pairs[0][1]), get_protocol("arn2018"), FIVE)


_compiled: set[str] = set()


def score(
    methods: list[MapFolder], source: PairSource, cache: Cache, workers: Workers, total: int
) -> tuple[float, dict[str, dict[str, float]]]:
    """Maps scored a second, and memory in MB of this process and the largest worker at start, middle and end."""
    memory: dict[str, dict[str, float]] = {}
    done = 0

    def count(method: str, dataset: str, more: int, of: int) -> None:
        nonlocal done
        done += more
        for name, share in (("start", 0.05), ("middle", 0.5), ("end", 1.0)):
            if name not in memory and done >= share * total:
                memory[name] = {"bench": resident("self"), "worker": max(map(resident, children()), default=0.0)}

    scorer = Scorer(Rules((get_protocol("arn2018"),), FIVE), cache, workers, progress=count)
    for method in methods:
        method.find("GENERATED", source)
    begun = time.perf_counter()
    plans = scorer.plans(methods, "GENERATED", source, range(len(source.stems)))
    kept = [scorer.carry_out(plan) for plan in plans]
    seconds = time.perf_counter() - begun
    for (rows,) in kept:
        rows.compute()
    memory["summed up"] = {"bench": resident("self"), "worker": max(map(resident, children()), default=0.0)}
    return total / seconds, memory


def resident(process: str) -> float:
    """MB; of Linux."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


def children() -> list[str]:
    place = Path(f"/proc/self/task/{os.getpid()}/children")
    return place.read_text().split() if place.exists() else []


def by_part(masks: dict[str, Any], drawn: dict[str, list[bytes]], cache: Cache) -> dict[str, float]:
    """Milliseconds of processor time a map, in one process."""
    protocol = get_protocol("arn2018")
    with tempfile.TemporaryDirectory(prefix="arn-perf-") as name:
        some = {stem: masks[stem] for stem in list(masks)[:100]}
        write_maps(Path(name) / "maps", some, {stem: drawn[stem] for stem in some})
        (Path(name) / "masks").mkdir()
        for stem, mask in some.items():
            (Path(name) / "masks" / f"{stem}.png").write_bytes(png(mask, 1))
        pairs = [(Path(name) / "maps" / f"{stem}.png", Path(name) / "masks" / f"{stem}.png") for stem in some]
        read = [(MapFile(a).read(), read_mask(b)) for a, b in pairs]
        rows = [score_row(one, mask, protocol, FIVE) for one, mask in read]
        parts: dict[str, Callable[[], object]] = {
            "decode the map": lambda: [MapFile(path).read() for path, _ in pairs],
            "decode the mask": lambda: [read_mask(path) for _, path in pairs],
            "MAE, F, E and S": lambda: [score_row(one, mask, protocol, FIVE[:4]) for one, mask in read],
            "all five": lambda: [score_row(one, mask, protocol, FIVE) for one, mask in read],
            "put into the cache": lambda: [cache.put(os.urandom(20), row.tobytes(), "row") for row in rows],
        }
        return {what: milliseconds(part) / len(pairs) for what, part in parts.items()}


def milliseconds(part: Callable[[], object]) -> float:
    """Of five, the least: whatever else the machine does only adds to it."""
    taken = []
    for _ in range(5):
        begun = time.process_time()
        part()
        taken.append(time.process_time() - begun)
    return 1000 * min(taken)


def show(content: dict[str, Any]) -> None:
    maps = content["methods"] * content["pictures"]
    print(f"{maps:,} maps of {WIDTH} x {HEIGHT}, {content['kilobytes_a_map']} KB each, {content['workers']} processes")
    decoded, scored = content["decoded_a_second"], content["scored_a_second"]
    print(f"decoded {decoded:,.0f} a second with their masks, scored {scored:,.0f}: {scored / decoded:.0%} of that")
    parts = content["milliseconds"]
    for what, taken in parts.items():
        print(f"{what:24}{taken:8.3f} ms of processor time a map")
    decoding = parts["decode the map"] + parts["decode the mask"]
    whole = decoding + parts["all five"] + parts["put into the cache"]
    print(
        f"decoding is {decoding / whole:.0%} of that, scoring {parts['all five'] / whole:.0%}: "
        f"weighted F alone {(parts['all five'] - parts['MAE, F, E and S']) / whole:.0%}"
    )
    for when, of in content["memory_mb"].items():
        print(f"memory, {when:12}{of['bench']:8.0f} MB, and a worker's {of['worker']:.0f} MB")
