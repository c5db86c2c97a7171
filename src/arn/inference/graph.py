"""Networks as ONNX files: whole, as `arn export` writes them, or as a graph whose weights lie in a safetensors file.

    python -m arn.inference.graph src/arn/pretrained/arn_lite    # a shipped network's graph, made anew

That is wanted when the network's code or the layout of its weights changes; other weights of the same layout need none.
The packages come with ``pip install 'arn-saliency[onnx]'`` and are imported only when used.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from arn.errors import ArnError
from arn.files import write_atomically
from arn.inference.exports import EXPORT_FORMAT, GRAPH, WEIGHTS
from arn.inference.onnx import require
from arn.inference.weights import load_network
from arn.networks.base import SaliencyNetwork

OPSET = 18
"""What the exporter translates to by itself, on every torch that ARN supports; nothing here needs a newer one."""


class _Maps(nn.Module):
    """A network's final map as probabilities."""

    def __init__(self, network: SaliencyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.sigmoid(self.network(pictures)[0].float())


def write_onnx(network: SaliencyNetwork, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a network in evaluation mode, on the CPU, as one ONNX file (opset 18, float32) with ``metadata_props``.

    Its input ``pictures`` is RGB in 0..1, B x 3 x S x S with B open and S the network's input size; normalisation is
    inside. Its output ``maps`` is B x 1 x S x S in 0..1.
    """
    _finish(_translate(network, optimize=True).model_proto, path, metadata)


def write_linked(folder: Path) -> None:
    """Write model.onnx into an export's folder: the graph alone, each weight a place in model.safetensors beside it.

    Input and output are those of :func:`write_onnx`; float16 weights pass a Cast, and a BatchNorm stands as it is. A
    runtime does both once, when it loads the graph. Raises ArnError for an export with test-time augmentation.
    """
    require("onnx")
    network, config = load_network(folder)
    if config["tta"] != "none":
        raise ArnError(f"{folder}: with test-time augmentation no graph is linked; arn export writes it whole")
    optimizer = require("onnxscript.optimizer")
    program = _translate(network, optimize=False)  # the exporter's own passes change weights: BatchNorm goes into them
    optimizer.fold_constants(program.model)
    optimizer.remove_unused_nodes(program.model)
    model = program.model_proto
    _drop_zero_biases(model.graph)
    _link(model.graph, folder / WEIGHTS)
    told = {"name": config["name"], "format": EXPORT_FORMAT, "trained_on": ", ".join(config["trained_on"])}
    told |= {"weights": WEIGHTS, "parameters": sum(parameter.numel() for parameter in network.parameters())}
    _finish(model, folder / GRAPH, {f"arn.{key}": str(value) for key, value in told.items()})


def _translate(network: SaliencyNetwork, optimize: bool) -> Any:
    require("onnx")
    require("onnxscript")
    side = network.input_size
    with _quiet_export():
        program = torch.onnx.export(
            _Maps(network).eval(),
            (torch.zeros(2, 3, side, side),),  # two: the exporter takes a batch of one for a constant
            input_names=["pictures"],
            output_names=["maps"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            optimize=optimize,
        )
    assert program is not None
    return program


def _finish(model: Any, path: Path, metadata: Mapping[str, str]) -> None:
    onnx = require("onnx")
    _strip(model)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    data = model.SerializeToString()
    if "arn.weights" not in metadata:  # the checker looks for linked weights in the working folder
        onnx.checker.check_model(model)
    write_atomically(path, data)


def _drop_zero_biases(graph: Any) -> None:
    """A convolution without bias comes out with one of zeros, written at length."""
    numpy_helper = require("onnx.numpy_helper")
    zeros = {one.name for one in graph.initializer if len(one.dims) == 1 and not numpy_helper.to_array(one).any()}
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose") and len(node.input) == 3 and node.input[2] in zeros:
            del node.input[2]
    used = {name for node in graph.node for name in node.input}
    for one in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(one)


def _link(graph: Any, weights: Path) -> None:
    """Let initialisers with a tensor's name in a safetensors file point there, in its own precision."""
    onnx = require("onnx")
    kinds = {"F32": onnx.TensorProto.FLOAT, "F16": onnx.TensorProto.FLOAT16}
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        places = json.loads(file.read(length))
    casts = []
    for one in graph.initializer:
        place = places.get(one.name.removeprefix("network."))
        if place is None:
            continue
        start, stop = place["data_offsets"]
        given = one.name
        one.CopyFrom(onnx.TensorProto(name=given, dims=place["shape"], data_type=kinds[place["dtype"]]))
        one.data_location = onnx.TensorProto.EXTERNAL
        where = {"location": weights.name, "offset": 8 + length + start, "length": stop - start}
        for key, value in where.items():
            one.external_data.add(key=key, value=str(value))
        if place["dtype"] == "F16":
            one.name = f"{given}.half"
            casts.append(onnx.helper.make_node("Cast", [one.name], [given], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]  # in the order that they need one another
    del graph.node[:]
    graph.node.extend(nodes)


@contextmanager
def _quiet_export() -> Iterator[None]:
    """Without the exporter's remarks on operators that other packages would let it translate."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip(model: Any) -> None:
    """Remove the exporter's notes: stack traces with the paths of this machine, a third of a small file."""
    graph = model.graph
    for noted in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        noted.ClearField("metadata_props")
        noted.ClearField("doc_string")
    graph.ClearField("value_info")  # shapes in between, which every runtime infers


if __name__ == "__main__":
    for given in sys.argv[1:]:
        write_linked(Path(given))
        print(f"written: {Path(given) / GRAPH}")
