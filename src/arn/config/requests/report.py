"""What ``arn report`` is asked for: conf/report.yaml, typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from arn.config.schema import AtLeast, Between, read


@dataclass
class ReportRequest:
    """The keys of conf/report.yaml."""

    runs: str
    output: str
    reference: str | None = None
    resamples: Annotated[int, AtLeast(0)] = 10_000
    confidence: Annotated[float, Between(0, 1)] = 0.95
    seed: Annotated[int, AtLeast(0)] = 0
    figures: bool = True
    name: str = "report"
    tags: list[str] = field(default_factory=list)
    logger: dict[str, Any] | None = None

    @classmethod
    def of(cls, config: Any) -> ReportRequest:
        """Raises ArnError naming the key for a wrong type, a value beyond its limits, and an unknown key."""
        return read(cls, config)
