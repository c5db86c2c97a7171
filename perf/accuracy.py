"""The fast program's maps scored beside the literal one's: python -m perf accuracy [--checkpoint PATH]

The same checkpoint on the same pictures of ECSSD, spread over the set: the literal program in float32, ARN in float32
and under bfloat16 autocast; max F and MAE of protocol arn2018 on 8-bit maps, as on disk. Each at every input side
named: kernels are chosen by size, so one side does not speak for another. A network with another backbone than VGG16
has no literal program of its own: there it is the network in float32 with the attention matrix written out.
Writes outputs/perf/accuracy.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arn.data.images import read_mask, read_picture
from arn.data.layout import Pair
from arn.errors import ArnError
from arn.inference.predictor import Predictor
from arn.inference.weights import load_network
from arn.metrics import SaliencyMetrics
from arn.networks import ARN, VGG16, attention
from perf.common import ecssd, machine, versions, write_json
from perf.literal import literal

BOUND = 0.0005
PROGRAMS = ("literal", "arn fp32", "arn bf16")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf accuracy", description=__doc__)
    parser.add_argument("--checkpoint", default="arn", help="a checkpoint, run or export (default: the shipped arn)")
    parser.add_argument("--pictures", type=int, default=300, help="of the 1000 (default 300)")
    parser.add_argument("--sides", type=int, nargs="+", help="input, px (default: the network's own and 224)")
    parser.add_argument("--batch", type=int, default=4, help="pictures at once (default 4)")
    chosen = parser.parse_args(arguments)
    try:
        network, config = load_network(chosen.checkpoint, tta="none")  # the literal program knows one pass
    except ArnError as error:
        print(f"not measured, name a --checkpoint: {error}")
        return
    assert isinstance(network, ARN)
    pairs = ecssd()
    pairs = [pairs[index] for index in np.linspace(0, len(pairs) - 1, chosen.pictures).round().astype(int)]
    sides = chosen.sides or sorted({network.input_size, 224})
    rows = [row for side in sides for row in scored(network, config, side, pairs, chosen.batch)]
    truth = {row["side"]: row for row in rows if row["program"] == "literal"}
    goals = [
        {
            "case": f"{row['program']}, {row['side']} px, {len(pairs)} pictures of ECSSD",
            "what": f"difference in {key} to the literal program",
            "found": (apart := abs(row[key] - truth[row["side"]][key])),
            "sense": "<=",
            "bound": BOUND,
            "holds": apart < BOUND,
        }
        for row in rows
        if row["program"] != "literal"
        for key in ("max_f", "mae")
    ]
    content = {
        "what": "max F and MAE, arn2018; furthest: the largest difference of a map to the literal program's, anywhere",
        "machine": machine(),
        "versions": versions("torch"),
        "network": str(config.get("name", "network")),
        "pictures": len(pairs),
        "scores": rows,
        "goals": goals,
    }
    print("holds" if all(goal["holds"] for goal in goals) else "MISSED", f"(bound {BOUND})")
    print(f"written: {write_json('accuracy.json', content)}")


def scored(
    network: ARN, config: dict[str, Any], side: int, pairs: Sequence[Pair], batch_size: int
) -> list[dict[str, Any]]:
    """A row a program: side, program, max F, MAE, and the map's largest distance from the literal program's."""
    network.input_size = side
    predictors = {name: predictor(name, network, config) for name in PROGRAMS}
    scores = {name: SaliencyMetrics("arn2018", ("mae", "f"), eight_bit=True) for name in PROGRAMS}
    furthest = dict.fromkeys(PROGRAMS, 0.0)
    for start in range(0, len(pairs), batch_size):
        batch = pairs[start : start + batch_size]
        pictures = [read_picture(pair.picture) for pair in batch]
        masks = [read_mask(pair.mask) for pair in batch if pair.mask is not None]
        found = {name: make(pictures) for name, make in predictors.items()}
        for name, maps in found.items():
            scores[name].update(maps, masks)
            apart = [float(np.abs(one - other).max()) for one, other in zip(maps, found["literal"], strict=True)]
            furthest[name] = max(furthest[name], *apart)
    rows = []
    for name, metric in scores.items():
        computed = metric.compute()
        row = {"side": side, "program": name, "max_f": float(computed["max_f"]), "mae": float(computed["mae"])}
        rows.append(row | {"furthest": furthest[name]})
        print(
            f"{side} px  {name:10} max F {row['max_f']:.5f}  MAE {row['mae']:.5f}  furthest {furthest[name]:.4f}",
            flush=True,
        )
    return rows


def predictor(name: str, network: ARN, config: dict[str, Any]) -> Callable[[list[Any]], list[Any]]:
    if name != "literal":
        return Predictor(network, config, bf16=name.endswith("bf16")).maps
    if isinstance(network.backbone, VGG16):
        plain = literal(network)
        plain.input_size = network.input_size
        return Predictor(plain, config).maps
    made = Predictor(network, config)

    def maps(pictures: list[Any]) -> list[Any]:
        with matrix_attention():
            return made.maps(pictures)

    return maps


@contextmanager
def matrix_attention() -> Iterator[None]:
    """Attention with its matrix written out, in float32, for as long as the block runs."""

    def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return value @ torch.softmax(query.transpose(1, 2) @ key, dim=2).transpose(1, 2)

    before = attention.position_attention
    attention.position_attention = plain
    try:
        yield
    finally:
        attention.position_attention = before


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
