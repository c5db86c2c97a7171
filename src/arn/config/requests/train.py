"""What ``arn train`` is asked for: conf/train.yaml, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from arn.config.arguments import check_arguments
from arn.config.instantiate import to_plain
from arn.config.schema import AtLeast, Between, Limit, OneOf, check_limits, read
from arn.errors import ArnError


@dataclass
class CheckpointOptions:
    """Which validation is the best, and how often ``last.ckpt`` is written inside an epoch, minutes."""

    monitor: str = "val/mae"
    mode: Annotated[str, OneOf("min", "max")] = "min"
    minutes: Annotated[float, AtLeast(0)] = 5.0


@dataclass
class ScheduleOptions:
    """conf/schedule: how the learning rate goes, see :class:`arn.training.task.Schedule`."""

    warmup: Annotated[float, Between(0, 1, closed=True)] = 0.0
    decay: Annotated[str, OneOf("none", "cosine", "poly", "step")] = "none"
    floor: Annotated[float, Between(0, 1, closed=True)] = 0.0
    every: Annotated[int, AtLeast(1)] | None = None


@dataclass
class TrainRequest:
    """The keys of conf/train.yaml.

    Groups are dicts, and not dataclasses registered as Hydra's schemas, because what stands in them is known to the
    class that their ``_target_`` names, also to one from outside this package: its signature is their schema, which
    :func:`arn.config.instantiate.instantiate` checks. An unknown key of the first level is refused here.
    """

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
        request = read(cls, config)
        read(ScheduleOptions, request.schedule, place="schedule.")
        check_trainer(request.trainer)
        return request


def _batches(value: Any) -> str | None:
    counts = value >= 1 if isinstance(value, int) else 0 < value <= 1
    return None if counts else "a count from 1 on, or a share above 0 and up to 1"


_TRAINER_LIMITS: dict[str, Limit] = {
    "limit_train_batches": _batches,
    "limit_val_batches": _batches,
    "limit_test_batches": _batches,
    "max_steps": AtLeast(-1),
    "max_epochs": AtLeast(0),
    "num_nodes": AtLeast(1),
    "accumulate_grad_batches": AtLeast(1),
    "check_val_every_n_epoch": AtLeast(1),
    "log_every_n_steps": AtLeast(0),
}

_TRAINER_OWN = ("logger", "callbacks", "profiler", "plugins", "default_root_dir", "use_distributed_sampler")
"""What ``arn train`` hands to the Trainer itself."""


def check_trainer(options: Mapping[str, Any]) -> None:
    """Check the keys of ``trainer`` against Lightning's own signature, and the ranges that it would trip over later.

    Raises:
        ArnError: naming the key, ``trainer.KEY``.
    """
    from pytorch_lightning import Trainer

    plain = to_plain(options)
    for key in _TRAINER_OWN:
        if key in plain:
            raise ArnError(f"trainer.{key}: arn train sets it; choose by {key}= where there is such a group")
    # `auto` is a precision of ours, which the device decides.
    check_arguments(
        Trainer, {key: value for key, value in plain.items() if (key, value) != ("precision", "auto")}, "trainer"
    )
    for key, limit in _TRAINER_LIMITS.items():
        check_limits(f"trainer.{key}", plain.get(key), [limit])
