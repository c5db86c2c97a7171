"""Networks as ONNX files: writing them, and making maps with them in ONNX Runtime.

The packages come with ``pip install 'arn-saliency[onnx]'`` and are imported only when used.
"""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from arn.errors import ArnError
from arn.files import digest, file_digest, write_atomically
from arn.inference.methods import Kind
from arn.inference.predictor import SquarePredictor
from arn.inference.weights import check_format
from arn.networks.base import SaliencyNetwork
from arn.provenance import code_version

OPSET = 18
"""What the exporter translates to by itself, on every torch that ARN supports; nothing here needs a newer one."""


def require(package: str) -> Any:
    """The package, or an ArnError that says how to install it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ArnError(f"{package} is needed and not installed: pip install 'arn-saliency[onnx]'") from error


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
    onnx = require("onnx")
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
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    write_atomically(path, model.SerializeToString())


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


class OnnxPredictor(SquarePredictor):
    """An ONNX file of `arn export` on the CPU, through ONNX Runtime.

    Another file will do if it has one input, float32 B x 3 x S x S with S fixed and B open or 1, that takes RGB in
    0..1, and a first output B x 1 x h x w in 0..1.

    Raises ArnError where ONNX Runtime is not installed, or the file is missing, damaged or of another kind.
    """

    kind: Kind = "onnx"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        runtime = require("onnxruntime")
        self.path, self.source = Path(path), str(path)
        if not self.path.is_file():
            raise ArnError(f"no ONNX file at {self.path}")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()  # its own default counts cores that a container lacks
        options.log_severity_level = 3  # errors: they come as exceptions as well
        try:
            self.session = runtime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class but this
            raise ArnError(
                f"{self.path} cannot be read as an ONNX file: it is truncated, damaged or too new for this ONNX "
                f"Runtime ({type(error).__name__})"
            ) from error
        self.metadata: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        if "arn.format" in self.metadata:
            check_format(self.metadata["arn.format"], self.path)
        self.name = self.metadata.get("arn.name", self.path.stem)
        self.trained_on = tuple(filter(None, self.metadata.get("arn.trained_on", "").split(", "))) or None
        self.input, self.one_by_one, self.input_size = self._check_input()
        self.output = self.session.get_outputs()[0].name

    @property
    def device(self) -> str:
        return f"{super().device}, ONNX Runtime"

    @cached_property
    def fingerprint(self) -> bytes:
        code = code_version("arn.inference", "arn.data.transforms")
        return digest("onnx", version("onnxruntime"), code, file_digest(self.path))

    def _check_input(self) -> tuple[str, bool, int]:
        """Name of the input, whether its batch is fixed at one, and S."""
        inputs = self.session.get_inputs()
        shapes = ", ".join(f"{i.name}: {i.type} {' x '.join(str(side) for side in i.shape)}" for i in inputs)
        wanted = "one input is wanted, float32 pictures B x 3 x S x S with S fixed and B open or 1"
        if len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape) == 4:
            batch, channels, height, width = inputs[0].shape
            open_or_one = batch == 1 or not isinstance(batch, int)
            if open_or_one and channels == 3 and isinstance(height, int) and height == width:
                return inputs[0].name, batch == 1, height
        raise ArnError(f"{self.path} takes {shapes or 'nothing'}; {wanted}: `arn export` writes such files")

    def probabilities(self, squares: Tensor) -> Tensor:
        """As for every predictor. Raises ArnError if the output is of another shape, or not within 0..1."""
        parts = []
        for part in squares.split(1) if self.one_by_one else (squares,):
            (maps,) = self.session.run([self.output], {self.input: part.contiguous().numpy()})
            if maps.ndim != 4 or maps.shape[:2] != (len(part), 1):
                raise ArnError(f"{self.path}: its output {self.output} is {maps.shape}, not B x 1 x h x w")
            if not (maps.min() >= 0 and maps.max() <= 1):  # NaN fails this as well
                raise ArnError(
                    f"{self.path}: its output {self.output} is not within 0..1 but {maps.min():.3g}..{maps.max():.3g}; "
                    "a file that gives logits needs a sigmoid at its end"
                )
            parts.append(torch.from_numpy(maps))
        return torch.cat(parts)
