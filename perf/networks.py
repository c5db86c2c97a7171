"""ARN beside the literal program and VGG16 alone, seconds and memory: python -m perf networks [--repeats 5]

All programs run the same weights on the same pictures in one process, taking turns; ratios are taken turn by turn.
Memory is measured in a process of its own for each program. Writes outputs/perf/networks.json. At the default size,
about five minutes on two cores, and 12 GB for the literal program's training step.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arn.networks import ARN, VGG16, SelfAttention, attention_blocks
from perf.common import in_process, machine, peak_memory, ratios, spread, take_turns, versions, write_json
from perf.literal import Floor, literal

PROGRAMS = ("literal", "arn fp32", "arn bf16", "VGG16 fp32", "VGG16 bf16")
Job = Callable[[], object]

# What is to hold on two cores at 224 px: (label, what, mode, batch, quotient of, to, bound, at least or at most).
GOALS: tuple[tuple[str, str, str, int, str, str, float, str], ...] = (
    *(
        goal
        for batch in (1, 4)
        for goal in (
            (
                "times the literal program's speed, fp32",
                "seconds",
                "inference",
                batch,
                "literal",
                "arn fp32",
                2.5,
                ">=",
            ),
            (
                "times the literal program's speed, bf16",
                "seconds",
                "inference",
                batch,
                "literal",
                "arn bf16",
                4.0,
                ">=",
            ),
            ("times VGG16's own time, fp32", "seconds", "inference", batch, "arn fp32", "VGG16 fp32", 4.0, "<="),
            ("times VGG16's own time, bf16", "seconds", "inference", batch, "arn bf16", "VGG16 bf16", 4.0, "<="),
        )
    ),
    ("of the literal program's memory, fp32", "memory", "inference", 4, "arn fp32", "literal", 0.15, "<="),
    ("of the literal program's memory, bf16", "memory", "inference", 4, "arn bf16", "literal", 0.15, "<="),
    ("times the literal program's speed, bf16", "seconds", "training", 4, "literal", "arn bf16", 3.0, ">="),
    ("of the literal program's memory, bf16", "memory", "training", 4, "arn bf16", "literal", 0.35, "<="),
)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf networks", description=__doc__)
    parser.add_argument("--side", type=int, default=224, help="px (default 224)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of inference, and half as many of training")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="pictures at once (default 1 4)")
    parser.add_argument("--no-training", action="store_true")
    chosen = parser.parse_args(arguments)
    cases = [("inference", batch) for batch in chosen.batches]
    cases += [] if chosen.no_training else [("training", max(chosen.batches))]
    content: dict[str, Any] = {
        "what": "seconds of a batch and MB beyond what was held before: median, low and high of the turns",
        "machine": machine(),
        "versions": versions("torch"),
        "threads": torch.get_num_threads(),
        "side": chosen.side,
        "turns": chosen.repeats,
        "cases": [],
    }
    made = programs()
    for mode, batch in cases:
        turns = chosen.repeats if mode == "inference" else max(chosen.repeats // 2, 1)
        jobs = {name: job(name, network, mode, batch, chosen.side) for name, network in made.items()}
        taken = take_turns(jobs, turns)
        memory = {
            name: in_process("networks", "--alone", name, mode, str(batch), str(chosen.side), exact_memory=True)
            for name in jobs
        }
        row = {
            "mode": mode,
            "batch": batch,
            "seconds": {name: spread(values) for name, values in taken.items()},
            "memory": memory,
            "times the literal": {name: ratios(taken["literal"], taken[name]) for name in PROGRAMS[1:3]},
            "times VGG16": {name: ratios(taken[name], taken[name.replace("arn", "VGG16")]) for name in PROGRAMS[1:3]},
            "share of the literal's memory": {name: memory[name] / memory["literal"] for name in PROGRAMS[1:3]},
        }
        content["cases"].append(row)
        show(row)
    content["goals"] = judge(content["cases"]) if chosen.side == 224 else []  # what must hold is said of that size
    for goal in content["goals"]:
        print(
            f"{'holds' if goal['holds'] else 'MISSED':7} {goal['case']}: {goal['found']:.3g} {goal['what']}"
            f" ({goal['sense']} {goal['bound']:g})"
        )
    print(f"written: {write_json('networks.json', content)}")


def programs() -> dict[str, nn.Module]:
    """The five, with the same weights. Logits are of the size that trained ones have; time does not depend on more."""
    torch.manual_seed(0)
    network = ARN()
    for module in network.modules():
        if isinstance(module, SelfAttention):
            nn.init.constant_(module.gamma, 0.5)
            for layer in (module.f, module.g):
                nn.init.normal_(layer.weight, std=1e-4)
    plain = literal(network)
    network = network.to(memory_format=torch.channels_last)
    assert isinstance(network.backbone, VGG16)
    floor = Floor(network.backbone)
    return dict(zip(PROGRAMS, (plain, network, network, floor, floor), strict=True))


def job(name: str, network: nn.Module, mode: str, batch: int, side: int) -> Job:
    """One forward pass, or one training step: forwards, loss, backwards, SGD."""
    pictures = torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0))
    if name != "literal":
        pictures = pictures.contiguous(memory_format=torch.channels_last)
    half = name.endswith("bf16")

    def infer() -> Tensor:
        network.eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            found: Tensor = network(pictures)[0]
            return found

    optimizer = torch.optim.SGD(network.parameters(), lr=1e-12)
    masks = (torch.rand(batch, 1, side, side, generator=torch.Generator().manual_seed(1)) > 0.5).float()

    def train() -> None:
        network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = network(pictures)[0]
        logits = logits.float()
        loss = F.binary_cross_entropy_with_logits(logits, masks) if logits.shape == masks.shape else logits.mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return infer if mode == "inference" else train


def wake(name: str, network: nn.Module, mode: str) -> None:
    """Small steps by all that a large one needs, libraries and compiled code included."""
    usual = attention_blocks.COMPILED
    for side, attention_blocks.COMPILED in ((32, usual), (128, 0)):
        job(name, network, mode, 1, side)()
    attention_blocks.COMPILED = usual


def alone(name: str, mode: str, batch: int, side: int) -> float:
    """Peak memory of one program's step, MB, beyond weights and libraries; a small step first wakes these up."""
    network = programs()[name]
    wake(name, network, mode)
    return peak_memory(job(name, network, mode, batch, side))


def judge(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every goal that the cases measured, with what was found: of speed the median of the quotients."""
    found = []
    for label, what, mode, batch, of, to, bound, sense in GOALS:
        for row in cases:
            if (row["mode"], row["batch"]) != (mode, batch):
                continue
            if what == "memory":
                value = row["memory"][of] / row["memory"][to]
            elif of == "literal":
                value = row["times the literal"][to]["median"]
            else:
                value = row["times VGG16"][of]["median"]
            holds = value >= bound if sense == ">=" else value <= bound
            case = f"{mode}, batch {batch}"
            found.append(
                {"case": case, "what": label, "found": value, "sense": sense, "bound": bound, "holds": bool(holds)}
            )
    return found


def show(row: dict[str, Any]) -> None:
    print(f"\n{row['mode']}, batch {row['batch']}")
    print(f"{'program':12}{'s a batch':>10}{'low':>8}{'high':>8}{'MB':>8}{'x literal':>11}{'x VGG16':>9}")
    for name, seconds in row["seconds"].items():
        faster, floor = row["times the literal"].get(name), row["times VGG16"].get(name)
        print(
            f"{name:12}{seconds['median']:10.3f}{seconds['low']:8.3f}{seconds['high']:8.3f}{row['memory'][name]:8.0f}"
            + (f"{faster['median']:11.2f}" if faster else "")
            + (f"{floor['median']:9.2f}" if floor else ""),
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        print(json.dumps(alone(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))))
    else:
        main(sys.argv[1:])
