"""What ``arn predict`` is asked for: conf/predict.yaml, typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from arn.config.schema import AtLeast, OneOf, read
from arn.errors import ArnError


@dataclass
class PredictRequest:
    """The keys of conf/predict.yaml; ``kind`` is its ``as``, a word of Python's."""

    input: str
    output: str
    kind: Annotated[str, OneOf("map", "overlay", "cutout")] = "map"
    checkpoint: str | None = None
    onnx: str | None = None
    method: str | None = None
    batch_size: Annotated[int, AtLeast(1)] = 8
    tta: Annotated[str | None, OneOf("flip", "none")] = None
    device: str = "auto"
    precision: Annotated[str, OneOf("fp32", "bf16")] = "fp32"

    @classmethod
    def of(cls, config: Any) -> PredictRequest:
        """Raises ArnError naming the key for a wrong type or value, and for keys that exclude each other."""
        request = read(cls, config, renamed={"as": "kind"})
        if sum(name is not None for name in (request.checkpoint, request.onnx, request.method)) > 1:
            raise ArnError("give checkpoint=FILE, onnx=FILE or method=NAME, one of the three or none")
        if request.tta is not None and (request.onnx or request.method):
            raise ArnError("tta= is for checkpoints: an ONNX file has it or not, and training-free methods have none")
        return request
