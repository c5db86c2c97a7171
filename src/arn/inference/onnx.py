"""Maps by ONNX files in ONNX Runtime: `arn export`'s, others', and the shipped network's graph. Without torch.

The package comes with ``pip install 'arn-saliency[onnx]'`` and is imported only when used.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from arn.errors import ArnError
from arn.files import digest, file_digest
from arn.inference.exports import check_format
from arn.inference.methods import Kind, Map, Picture
from arn.inference.square import Floats, SquarePredictor, at_native_size
from arn.provenance import code_version, cores


def require(package: str) -> Any:
    """The package, or an ArnError that says how to install it."""
    if package == "onnxruntime":  # it sends events, and keeps a database of them below the user's cache, otherwise
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ArnError(f"{package} is needed and not installed: pip install 'arn-saliency[onnx]'") from error


def available(package: str) -> bool:
    """Whether the package can be imported; it is then."""
    try:
        require(package)
    except ArnError:
        return False
    return True


def threads() -> int:
    """How many threads ONNX Runtime is given: torch's number where torch was imported, else what it would be."""
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else cores()


class OnnxPredictor(SquarePredictor):
    """An ONNX file of `arn export` on the CPU, through ONNX Runtime.

    Its weights may lie in a safetensors file beside it (:func:`arn.inference.graph.write_linked`).

    Another file will do if it has one input, float32 B x 3 x S x S with S fixed and B open or 1, that takes RGB in
    0..1, and a first output B x 1 x h x w in 0..1.

    Raises ArnError where ONNX Runtime is not installed, or the file is missing, damaged or of another kind.
    """

    kind: Kind = "onnx"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        require("onnxruntime")
        self.path, self.source = Path(path), str(path)
        if not self.path.is_file():
            raise ArnError(f"no ONNX file at {self.path}")
        self.threads = threads()
        self.session = self._open(self.threads)  # its own default counts cores that a container lacks
        try:
            self.metadata: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        except UnicodeDecodeError as error:
            raise ArnError(f"{self.path} cannot be read as an ONNX file: it is damaged ({error.reason})") from error
        if "arn.format" in self.metadata:
            check_format(self.metadata["arn.format"], self.path)
        self.linked = self.metadata.get("arn.weights")  # the file beside it that holds its weights
        self.name = self.metadata.get("arn.name", self.path.stem)
        if "arn.parameters" in self.metadata:
            told = self.metadata["arn.parameters"]
            self.parameters = int(told) if told.isdecimal() and len(told) < 19 else None
        self.trained_on = tuple(filter(None, self.metadata.get("arn.trained_on", "").split(", "))) or None
        self.input, self.one_by_one, self.input_size = self._check_input()
        self.output = self.session.get_outputs()[0].name

    @property
    def device(self) -> str:
        return f"CPU, {self.threads} thread{'s' * (self.threads > 1)}, ONNX Runtime"

    @cached_property
    def fingerprint(self) -> bytes:
        code = code_version("arn.inference", "arn.data.transforms")
        files = [file_digest(self.path)]
        if self.linked:
            files.append(file_digest(self.path.with_name(self.linked)))
        return digest("onnx", version("onnxruntime"), code, *files)

    def _open(self, threads: int) -> Any:
        """A session on so many threads. Raises ArnError where the file is none that ONNX Runtime reads."""
        runtime = require("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that wait in a loop for work take the processor from those that decode and encode.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors: they come as exceptions as well
        try:
            return runtime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class but this
            raise ArnError(
                f"{self.path} cannot be read as an ONNX file: it is truncated, damaged or too new for this ONNX "
                f"Runtime ({type(error).__name__})"
            ) from error

    @cached_property
    def _side_by_side(self) -> tuple[Any, ThreadPoolExecutor]:
        return self._open(1), ThreadPoolExecutor(self.threads, "arn-onnx")

    def batch_maps(self, pictures: Sequence[Picture]) -> list[Map]:
        """Several pictures go side by side, a thread each: a quarter faster than all threads on one after the other."""
        if self.threads == 1 or len(pictures) == 1:
            return super().batch_maps(pictures)
        session, pool = self._side_by_side

        def made(some: Sequence[Picture]) -> list[Map]:
            small = self._run(session, self.squares(some))
            return [at_native_size(one[0], p.shape[:2]) for one, p in zip(small, some, strict=True)]

        size = min(2, -(-len(pictures) // self.threads))
        parts = pool.map(made, [pictures[start : start + size] for start in range(0, len(pictures), size)])
        return [one for part in parts for one in part]

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

    def probabilities(self, squares: Floats) -> Floats:
        """As for every predictor. Raises ArnError if the output is of another shape, or not within 0..1."""
        return self._run(self.session, squares)

    def _run(self, session: Any, squares: Floats) -> Floats:
        parts = []
        for part in np.split(squares, len(squares)) if self.one_by_one else (squares,):
            try:
                (maps,) = session.run([self.output], {self.input: np.ascontiguousarray(part)})
            except Exception as error:  # its exceptions share no base class but this
                raise ArnError(f"{self.path} cannot be run: {str(error).splitlines()[0]}") from error
            if maps.ndim != 4 or maps.shape[:2] != (len(part), 1):
                raise ArnError(f"{self.path}: its output {self.output} is {maps.shape}, not B x 1 x h x w")
            if not (maps.min() >= 0 and maps.max() <= 1):  # NaN fails this as well
                raise ArnError(
                    f"{self.path}: its output {self.output} is not within 0..1 but {maps.min():.3g}..{maps.max():.3g}; "
                    "a file that gives logits needs a sigmoid at its end"
                )
            parts.append(maps)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]
