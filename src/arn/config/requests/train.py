"""What ``arn train`` is asked for: conf/train.yaml, typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from arn.config.schema import AtLeast, OneOf, read


@dataclass
class CheckpointOptions:
    """Which validation is the best, and how often ``last.ckpt`` is written inside an epoch, minutes."""

    monitor: str = "val/mae"
    mode: Annotated[str, OneOf("min", "max")] = "min"
    minutes: Annotated[float, AtLeast(0)] = 5.0


@dataclass
class TrainRequest:
    """The keys of conf/train.yaml. Groups are dicts with a ``_target_``, built by :func:`arn.config.instantiate`."""

    name: str
    data: dict[str, Any]
    network: dict[str, Any]
    loss: dict[str, Any]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    trainer: dict[str, Any]
    logger: dict[str, Any] | None = None
    callbacks: dict[str, Any] | None = None
    profiler: dict[str, Any] | None = None
    launcher: dict[str, Any] | None = None
    tune: dict[str, Any] | None = None
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    seed: Annotated[int, AtLeast(0)] = 0
    resume: str | None = None
    pretrained: bool = True
    start_from: str | None = None
    backbone_lr: Annotated[float, AtLeast(0)] = 1.0
    freeze_backbone_norm: bool = False
    panels: Annotated[int, AtLeast(0)] = 8
    tags: list[str] = field(default_factory=list)
    sweep: str | None = None

    @classmethod
    def of(cls, config: Any) -> TrainRequest:
        """Raises ArnError naming the key for a wrong type, a value beyond its limits, and an unknown key."""
        return read(cls, config)
