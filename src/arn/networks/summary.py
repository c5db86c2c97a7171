"""What a network is made of: shape and parameters, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from arn.errors import ArnError


@dataclass(frozen=True)
class StageRow:
    """One line of the table that `arn train` prints."""

    name: str
    kind: str
    shape: tuple[int, ...]  # C x H x W of the (first) output for one picture
    parameters: int


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def stage_table(network: nn.Module, side: int = 224) -> list[StageRow]:
    """Shapes, for a square picture of this side, and parameters of a network's children, in the order they run.

    Lists of modules are opened.
    """
    named: list[tuple[str, nn.Module]] = []
    for name, child in network.named_children():
        if isinstance(child, nn.ModuleList):
            for index, member in enumerate(child):
                named.append((f"{name}.{index}", member))
                named += [(f"{name}.{index}.{n}", m) for n, m in member.named_children()]
        else:
            named.append((name, child))
    shapes = _output_shapes(network, dict(named), side)
    return [
        StageRow(name, type(module).__name__, shapes[name], count_parameters(module))
        for name, module in named
        if name in shapes
    ]


def check_batch_norm(network: nn.Module, side: int, frozen_backbone: bool = False) -> None:
    """Raises ArnError where a BatchNorm layer gets a single value a channel from one picture of this side.

    Such a value has no variance. A backbone that is frozen keeps its statistics.
    """
    norms = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d) and not (frozen_backbone and name.startswith("backbone."))
    }
    for name, shape in _output_shapes(network, norms, side).items():
        if shape[1:] == (1, 1):
            raise ArnError(
                f"data.batch_size: of one picture at {side} px BatchNorm ({name}) gets a single value a channel; "
                "train on two or more at a time in each process, or on larger ones"
            )


def _output_shapes(network: nn.Module, named: Mapping[str, nn.Module], side: int) -> dict[str, tuple[int, ...]]:
    """C x H x W of the (first) output of each module that runs, in the order they run."""
    shapes: dict[str, tuple[int, ...]] = {}

    def record(name: str):  # type: ignore[no-untyped-def]
        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor | list[Tensor]) -> None:
            tensor = output if isinstance(output, Tensor) else output[-1]
            shapes.setdefault(name, tuple(tensor.shape[1:]))

        return hook

    handles = [module.register_forward_hook(record(name)) for name, module in named.items()]
    training = network.training
    parameter = next(network.parameters())
    try:
        network.eval()
        with torch.no_grad():
            network(torch.zeros(1, 3, side, side, device=parameter.device, dtype=parameter.dtype))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return shapes
