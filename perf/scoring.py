"""Pictures scored per second, beside PySODMetrics, on real maps: python -m perf scoring [--every 6] [--repeats 5]

Both programs score the same decoded pictures in the same process, in turns, so that whatever else the machine does
falls on both. Ours is timed the way `arn bench` calls it: checked input, per-picture row, exact sum. A ratio is taken
within each turn; its median and extremes are what is reported. Writes outputs/perf/scoring.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
import warnings
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from arn.data.images import read_map, read_mask
from arn.metrics.functional import Rows, Totals, score_row
from arn.metrics.protocols import get_protocol
from perf.common import machine, real_pairs, spread, versions, write_json

Pictures = list[tuple[np.ndarray, np.ndarray]]

FIVE = ("mae", "f", "e", "s", "wf")

SETS: dict[str, tuple[str, ...]] = {
    "mae": ("mae",),
    "f": ("f",),
    "e": ("e",),
    "s": ("s",),
    "wf": ("wf",),
    "mae+f": ("mae", "f"),
    "all five": FIVE,
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf scoring", description=__doc__)
    parser.add_argument("--every", type=int, default=6, help="take every so-manieth of the 900 maps (default 6)")
    parser.add_argument("--repeats", type=int, default=5, help="turns (default 5)")
    chosen = parser.parse_args(arguments)
    pairs = real_pairs(chosen.every)
    pictures = [(read_map(path), read_mask(mask)) for _, path, mask in pairs]
    pixels = float(np.mean([one.size for one, _ in pictures]))
    print(f"{len(pictures)} maps of the SOD data set, {pixels:,.0f} pixels on average; {chosen.repeats} turns")

    content: dict[str, Any] = {
        "what": "pictures per second: median, low and high of the turns",
        "machine": machine(),
        "versions": versions("numpy", "numba", "scipy", "pysodmetrics", "opencv-python-headless", "pillow", "torch"),
        "pictures": len(pictures),
        "pixels": pixels,
        "turns": chosen.repeats,
        "protocol": "pysod",
        "one process": one_process(pictures, chosen.repeats),
    }
    content["SaliencyMetrics.update, all five"] = spread(rates(pictures, update_of(FIVE), chosen.repeats))
    content["processes"] = processes([(str(a), str(b)) for _, a, b in real_pairs()], chosen.repeats)
    content["bootstrap"] = bootstrap_seconds(chosen.repeats)
    path = write_json("scoring.json", content)
    show(content)
    print(f"written: {path}")


# ---------------------------------------------------------------------------------------------------------- one process


def ours_of(measures: tuple[str, ...], protocol: str = "pysod") -> Callable[[Pictures], None]:
    chosen = get_protocol(protocol)

    def run(pictures: Pictures) -> None:
        totals = Totals(chosen, measures)
        for one, mask in pictures:
            totals.add(score_row(one, mask, chosen, measures))
        totals.compute()

    return run


def update_of(measures: tuple[str, ...]) -> Callable[[Pictures], None]:
    from arn.metrics import SaliencyMetrics

    def run(pictures: Pictures) -> None:
        metrics = SaliencyMetrics("pysod", measures)
        for one, mask in pictures:
            metrics.update([one], [mask])
        metrics.compute()

    return run


def theirs_of(measures: tuple[str, ...]) -> Callable[[Pictures], None]:
    import py_sod_metrics

    classes = {
        "mae": py_sod_metrics.MAE,
        "f": py_sod_metrics.Fmeasure,
        "e": py_sod_metrics.Emeasure,
        "s": py_sod_metrics.Smeasure,
        "wf": py_sod_metrics.WeightedFmeasure,
    }

    def run(pictures: Pictures) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            steps = [classes[measure]() for measure in measures]
        for one, mask in pictures:
            for step in steps:
                step.step(one, mask)
        for step in steps:
            step.get_results()

    return run


def seconds(run: Callable[[Pictures], None], pictures: Pictures) -> float:
    start = time.perf_counter()
    run(pictures)
    return time.perf_counter() - start


def rates(pictures: Pictures, run: Callable[[Pictures], None], repeats: int) -> list[float]:
    run(pictures[:2])
    return [len(pictures) / seconds(run, pictures) for _ in range(repeats)]


def one_process(pictures: Pictures, repeats: int) -> dict[str, Any]:
    found = {}
    for name, measures in SETS.items():
        ours, theirs = ours_of(measures), theirs_of(measures)
        ours(pictures[:2])  # compiles
        theirs(pictures[:2])
        fast: list[float] = []
        slow: list[float] = []
        for _ in range(repeats):
            # Ours takes milliseconds: several rounds around theirs, so that both see the same disturbances.
            before = [seconds(ours, pictures) for _ in range(2)]
            slow.append(len(pictures) / seconds(theirs, pictures))
            after = [seconds(ours, pictures) for _ in range(2)]
            fast.append(4 * len(pictures) / sum(before + after))
        ratios = [a / b for a, b in zip(fast, slow, strict=True)]
        found[name] = {"arn": spread(fast), "pysodmetrics": spread(slow), "ratio": spread(ratios)}
    return found


# ------------------------------------------------------------------------------------------------------------ processes


# Arithmetic in registers is what the machine itself allows two processes: where its processors are two threads of one
# core, that is far from twice as much.
KINDS = ("arithmetic", "scoring", "decoding", "decoding and scoring")


@njit
def _arithmetic(turns: int) -> Any:
    state = np.uint64(88172645463325252)
    for _ in range(turns):
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
    return state


def _work(paths: list[tuple[str, str]], barrier: Barrier, repeats: int, results: Any) -> None:
    """One process: every kind of work, `repeats` times, each from the moment that all of its group and the parent are
    at the barrier."""
    files = [(Path(a), Path(b)) for a, b in paths]
    kept = [(read_map(a), read_mask(b)) for a, b in files]
    score_kept = ours_of(FIVE)
    score_kept(kept[:20])
    _arithmetic(1)

    def decode() -> None:
        for a, b in files:
            read_map(a), read_mask(b)

    def decode_and_score() -> None:
        chosen = get_protocol("pysod")
        totals = Totals(chosen)
        for a, b in files:
            totals.add(score_row(read_map(a), read_mask(b), chosen))
        totals.compute()

    def arithmetic() -> None:
        for _ in files:
            _arithmetic(2_000_000)

    work = {
        "arithmetic": arithmetic,
        "scoring": lambda: score_kept(kept),
        "decoding": decode,
        "decoding and scoring": decode_and_score,
    }
    for kind in KINDS:
        for _ in range(repeats):
            barrier.wait()
            start = time.perf_counter()
            work[kind]()
            results.put((start, time.perf_counter()))


def processes(paths: list[tuple[str, str]], repeats: int) -> dict[str, Any]:
    """Scoring from memory, decoding alone, and both, by one process and by two that share the pictures out.

    One and two take turns; the wall time of a turn runs from the first start to the last end. All maps, not a sample:
    two processes want some work.
    """
    context = multiprocessing.get_context("spawn")
    groups = {}
    for number in (1, 2):
        barrier, results = context.Barrier(number + 1), context.Queue()
        workers = [
            context.Process(target=_work, args=(paths[rank::number], barrier, repeats, results))
            for rank in range(number)
        ]
        for worker in workers:
            worker.start()
        groups[number] = (barrier, results, workers)
    found: dict[str, Any] = {}
    for kind in KINDS:
        turns: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(repeats):
            for number, (barrier, results, _) in groups.items():
                barrier.wait()
                marks = [results.get() for _ in range(number)]
                taken = max(end for _, end in marks) - min(start for start, _ in marks)
                turns[number].append(len(paths) / taken)
        found[kind] = {
            "one": spread(turns[1]),
            "two": spread(turns[2]),
            "two / one": spread([b / a for a, b in zip(turns[1], turns[2], strict=True)]),
        }
    for _, _, workers in groups.values():
        for worker in workers:
            worker.join()
    one = {kind: rates["one"]["median"] for kind, rates in found.items()}
    machine = found["arithmetic"]["two / one"]["median"]
    found["two / one, as a share of arithmetic's"] = found["scoring"]["two / one"]["median"] / machine
    found["share of the decoding ceiling reached, one process"] = one["decoding and scoring"] / one["decoding"]
    return found


def bootstrap_seconds(repeats: int) -> dict[str, Any]:
    """10,000 resamples of 1,000 pictures: max F alone, every aggregate, and a paired comparison of max F and MAE."""
    from arn.evaluation.statistics import bootstrap, compare
    from arn.metrics.functional import width

    rng = np.random.default_rng(0)
    stems = tuple(map(str, range(1_000)))
    first, second = (Rows(get_protocol("arn2018"), FIVE, stems, rng.random((1_000, width(FIVE)))) for _ in range(2))
    jobs: dict[str, Callable[[], Any]] = {
        "max F": lambda: bootstrap(first, ["max_f"]),
        "every aggregate": lambda: bootstrap(first),
        "comparison, max F and MAE": lambda: compare(first, second, ["max_f", "mae"]),
    }
    found: dict[str, Any] = {"what": "seconds for 10,000 resamples of 1,000 pictures"}
    for name, job in jobs.items():
        taken = []
        for _ in range(min(repeats, 3)):
            start = time.perf_counter()
            job()
            taken.append(time.perf_counter() - start)
        found[name] = spread(taken)
    return found


def show(content: dict[str, Any]) -> None:
    print(f"\n{'one process':22}{'arn':>10}{'PySODMetrics':>14}{'ratio':>8}   (low .. high)")
    for name, row in content["one process"].items():
        ratio = row["ratio"]
        print(
            f"{name:22}{row['arn']['median']:10,.0f}{row['pysodmetrics']['median']:14,.0f}{ratio['median']:8.1f}"
            f"   ({ratio['low']:.1f} .. {ratio['high']:.1f})"
        )
    print(f"{'SaliencyMetrics.update':22}{content['SaliencyMetrics.update, all five']['median']:10,.0f}")
    print(f"\n{'all five measures':22}{'one':>10}{'two':>14}{'two/one':>8}")
    for name, row in content["processes"].items():
        if isinstance(row, dict):
            print(
                f"{name:22}{row['one']['median']:10,.0f}{row['two']['median']:14,.0f}{row['two / one']['median']:8.2f}"
            )
        else:
            print(f"{name}: {row:.2f}")
    print("\nbootstrap, 10,000 x 1,000")
    for name, row in content["bootstrap"].items():
        if isinstance(row, dict):
            print(f"{name:28}{row['median']:6.2f} s")
