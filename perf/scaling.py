"""Cost against the input's side and the batch, with fitted growth and a figure: python -m perf scaling

Inference of ARN in float32 and bfloat16 and of the literal program as far as its matrix stays below --most-gb; all
sides, then all batches, each in turns. Memory is the peak beyond weights, one process a program. Growth is the exponent
b of cost = a * positions ^ b, or pictures ^ b, fitted through the logarithms: of the literal program's memory 2 in the
positions, of ARN's 1. Writes outputs/perf/scaling.json and outputs/perf/scaling.png.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np
import torch

from perf.common import OUTPUT, in_process, machine, peak_memory, spread, take_turns, versions, write_json
from perf.networks import job, programs, wake

PROGRAMS = ("literal", "arn fp32", "arn bf16")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf scaling", description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[112, 160, 224, 320, 448], help="px, multiples of 16")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="pictures, at --side")
    parser.add_argument("--side", type=int, default=224, help="px of the batches (default 224)")
    parser.add_argument("--repeats", type=int, default=3, help="turns (default 3)")
    parser.add_argument("--most-gb", type=float, default=2.0, help="largest attention matrix of the literal program")
    chosen = parser.parse_args(arguments)
    cases = [(1, side) for side in chosen.sides] + [(batch, chosen.side) for batch in chosen.batches]
    content: dict[str, Any] = {
        "what": "inference: seconds of a batch, median, low and high of the turns; MB beyond weights",
        "machine": machine(),
        "versions": versions("torch"),
        "threads": torch.get_num_threads(),
        "turns": chosen.repeats,
        "points": measure(cases, chosen.repeats, chosen.most_gb),
    }
    content["growth"] = growth(content["points"], chosen.side)
    for name, fits in content["growth"].items():
        print(f"{name:10}" + "".join(f"  {what}: {value:.2f}" for what, value in fits.items()))
    path = write_json("scaling.json", content)
    draw(content, chosen.side)
    print(f"written: {path}, {path.with_suffix('.png')}")


def fits(name: str, batch: int, side: int, most_gb: float) -> bool:
    """Whether the literal program's largest matrix, float32 at half the side, stays below the bound."""
    return name != "literal" or 4 * batch * (side / 2) ** 4 <= most_gb * 2**30


def measure(cases: list[tuple[int, int]], repeats: int, most_gb: float) -> list[dict[str, Any]]:
    made = programs()
    points = []
    memory: dict[str, list[float]] = {}
    for name in PROGRAMS:
        wanted = [case for case in cases if fits(name, *case, most_gb)]
        memory[name] = in_process("scaling", "--alone", name, json.dumps(wanted), exact_memory=True) if wanted else []
    for batch, side in cases:
        names = [name for name in PROGRAMS if fits(name, batch, side, most_gb)]
        jobs = {name: job(name, made[name], "inference", batch, side) for name in names}
        for name, taken in take_turns(jobs, repeats).items():
            point = {"program": name, "batch": batch, "side": side, "seconds": spread(taken)}
            points.append({**point, "memory": memory[name].pop(0)})
            print(
                f"{name:10} batch {batch:3} side {side:4} {point['seconds']['median']:8.3f} s"  # type: ignore[index]
                f" {points[-1]['memory']:8.0f} MB",
                flush=True,
            )
    return points


def alone(name: str, cases: list[tuple[int, int]]) -> list[float]:
    """Peak memory of one program for each case, MB."""
    network = programs()[name]
    wake(name, network, "inference")
    return [peak_memory(job(name, network, "inference", batch, side)) for batch, side in cases]


def exponent(amounts: list[float], costs: list[float]) -> float:
    """b of cost = a * amount ^ b."""
    return float(np.polyfit(np.log(amounts), np.log(costs), 1)[0])


def series(points: list[dict[str, Any]], name: str, over: str, side: int) -> list[dict[str, Any]]:
    """One program's points over the sides (at batch 1) or the batches (at that side), ascending, none twice."""
    found = {
        point[over]: point
        for point in points
        if point["program"] == name and (point["batch"] == 1 if over == "side" else point["side"] == side)
    }
    return [found[key] for key in sorted(found)]


def growth(points: list[dict[str, Any]], side: int) -> dict[str, dict[str, float]]:
    """Of each program: exponents of seconds and memory over positions and over pictures."""
    found: dict[str, dict[str, float]] = {}
    for name in PROGRAMS:
        found[name] = {}
        for over, label in (("side", "positions"), ("batch", "pictures")):
            row = series(points, name, over, side)
            if len(row) < 3:
                continue
            amounts = [float(point[over]) ** (2 if over == "side" else 1) for point in row]
            found[name][f"seconds over {label}"] = exponent(amounts, [point["seconds"]["median"] for point in row])
            found[name][f"memory over {label}"] = exponent(amounts, [point["memory"] for point in row])
    return found


def draw(content: dict[str, Any], side: int) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
    for row, (cost, unit) in enumerate((("seconds", "seconds a batch"), ("memory", "MB beyond the weights"))):
        for column, (over, label) in enumerate((("side", "positions"), ("batch", "pictures"))):
            axis = axes[row][column]
            for name in PROGRAMS:
                points = series(content["points"], name, over, side)
                if not points:
                    continue
                values = [point[cost]["median"] if cost == "seconds" else point[cost] for point in points]
                fit = content["growth"][name].get(f"{cost} over {label}")
                told = f"{name}, grows as {label}^{fit:.2f}" if fit is not None else name
                axis.plot([point[over] for point in points], values, "o-", label=told)
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            ticks = sorted({point[over] for name in PROGRAMS for point in series(content["points"], name, over, side)})
            axis.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
            axis.minorticks_off()
            axis.set_xlabel("side of the input, px (batch 1)" if over == "side" else f"pictures a batch ({side} px)")
            axis.set_ylabel(unit)
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)
    figure.savefig(OUTPUT / "scaling.png", dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        print(json.dumps(alone(sys.argv[2], [(batch, side) for batch, side in json.loads(sys.argv[3])])))
    else:
        main(sys.argv[1:])
