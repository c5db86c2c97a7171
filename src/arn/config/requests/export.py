"""What ``arn export`` is asked for: conf/export.yaml, typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from arn.config.schema import AtLeast, OneOf, read


@dataclass
class ExportRequest:
    """The keys of conf/export.yaml."""

    checkpoint: str
    output: str
    half: bool = False
    float32_up_to: Annotated[int, AtLeast(0)] = 3000
    tta: Annotated[str | None, OneOf("flip", "none")] = None

    @classmethod
    def of(cls, config: Any) -> ExportRequest:
        """Raises ArnError naming the key for a wrong type, a value beyond its limits, and an unknown key."""
        return read(cls, config)
