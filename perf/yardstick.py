"""ARN beside the program that any engineer would write, and what each part of ours gains: python -m perf yardstick

"torch + SDPA" is the same network by torch's own layers in channels_last: its convolutions, its local response norm,
and `scaled_dot_product_attention` with query and key padded to the value's width, without which torch builds the whole
matrix. Each part of ours is put into it alone, then all of them together, and VGG16 alone stands beside as the floor.
All run the same weights on the same pictures in one process, taking turns; ratios are taken turn by turn. Writes
outputs/perf/yardstick.json.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from arn.networks import ARN, SelfAttention, attention, attention_blocks
from arn.networks.rcl import LocalResponseNorm
from perf.common import machine, ratios, spread, take_turns, versions, write_json
from perf.networks import Job, job, programs

PLAIN = "torch + SDPA"
OURS = "all of ours"
PARTS = {
    PLAIN: frozenset(),
    "with LRN as a convolution": frozenset({"lrn"}),
    "with attention in blocks of torch's operations": frozenset({"blocks"}),
    "with attention in blocks, compiled": frozenset({"blocks", "compiled"}),
    OURS: frozenset({"lrn", "blocks", "compiled"}),
}
FLOOR = "VGG16 alone"
WORTH = 1.2  # times the speed of the plain program: what gains less is not worth its lines
NEVER = 2**62


class StreamedAttention(SelfAttention):
    """By torch's fused kernel."""

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2) for layer in (self.g, self.f, self.h))
        o = attention._streamed_attention(query, key, value)
        return self.gamma * o.reshape(x.shape) + x


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf yardstick", description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[192, 224], help="px of inference (default 192 224)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="pictures at once (default 1 4)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of inference, and half as many of training")
    parser.add_argument("--no-training", action="store_true")
    chosen = parser.parse_args(arguments)
    cases = [("inference", batch, side) for side in chosen.sides for batch in chosen.batches]
    cases += [] if chosen.no_training else [("training", max(chosen.batches), max(chosen.sides))]
    content: dict[str, Any] = {
        "what": "seconds of a batch: median, low and high of the turns",
        "machine": machine(),
        "versions": versions("torch", "numba"),
        "turns": chosen.repeats,
        "cases": [],
    }
    made = variants()
    for mode, batch, side in cases:
        for precision in ("fp32", "bf16"):
            jobs = {name: with_parts(PARTS.get(name), job(precision, network, mode, batch, side))
                    for name, network in made.items()}  # fmt: skip
            taken = take_turns(jobs, chosen.repeats if mode == "inference" else max(chosen.repeats // 2, 1))
            row = {
                "case": f"{mode}, {side} px, batch {batch}, {precision}",
                "seconds": {name: spread(values) for name, values in taken.items()},
                f"times {PLAIN}": {name: ratios(taken[PLAIN], taken[name]) for name in PARTS},
                f"times {FLOOR}": {name: ratios(taken[name], taken[FLOOR]) for name in PARTS},
            }
            content["cases"].append(row)
            show(row)
    content["goals"] = [
        {
            "case": row["case"],
            "what": f"all of ours, times the speed of {PLAIN}",
            "found": (found := row[f"times {PLAIN}"][OURS]["median"]),
            "sense": ">=",
            "bound": WORTH,
            "holds": found >= WORTH,
        }
        for row in content["cases"]
    ]
    print(f"written: {write_json('yardstick.json', content)}")


def variants() -> dict[str, nn.Module]:
    """Each set of parts as a network, and the floor, with the same weights."""
    made = programs()
    network = made["arn fp32"]
    assert isinstance(network, ARN)
    return {name: variant(network, parts) for name, parts in PARTS.items()} | {FLOOR: made["VGG16 fp32"]}


def variant(network: ARN, parts: frozenset[str]) -> ARN:
    """A copy that has these parts of ours, and torch's own layers for the others."""
    made = copy.deepcopy(network)
    for module in list(made.modules()):
        if isinstance(module, SelfAttention) and "blocks" not in parts:
            module.__class__ = StreamedAttention
        for name, child in list(module.named_children()):
            if isinstance(child, LocalResponseNorm) and "lrn" not in parts:
                setattr(module, name, nn.LocalResponseNorm(child.window, child.alpha, child.beta, k=1.0))
    return made.to(memory_format=torch.channels_last)


def with_parts(parts: frozenset[str] | None, work: Job) -> Callable[[], None]:
    """The job with the compiled kernel at its usual sizes, or never."""
    usual = attention_blocks.COMPILED

    def run() -> None:
        attention_blocks.COMPILED = NEVER if parts is not None and "compiled" not in parts else usual
        try:
            work()
        finally:
            attention_blocks.COMPILED = usual

    return run


def show(row: dict[str, Any]) -> None:
    print(f"\n{row['case']}")
    for name, seconds in row["seconds"].items():
        faster = row[f"times {PLAIN}"].get(name)
        print(
            f"{name:50}{seconds['median']:8.3f} s ({seconds['low']:.3f} .. {seconds['high']:.3f})"
            + (f"{faster['median']:7.2f} times" if faster else ""),
            flush=True,
        )
