"""What a run did before the session that finishes it: kept in its checkpoints, told in its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from arn.config.identity import differences
from arn.inference.weights import CONFIG_KEY

HISTORY_KEY = "arn_history"


@dataclass(frozen=True)
class History:
    """How a run began and what was changed on the way.

    Attributes:
        command: as it was typed at first.
        backbone_weights: where those came from that the network started with.
        changes: for each session that went on by other keys, ``{"step": 12, "optimizer.lr": [0.001, 0.0001]}``.
    """

    command: str
    backbone_weights: str
    changes: list[dict[str, Any]] = field(default_factory=list)
    changed: bool = False  # by the session that runs

    @classmethod
    def to_go_on(cls, checkpoint: Mapping[str, Any], config: Mapping[str, Any], command: str) -> History:
        """Of a run that goes on from a checkpoint by this config; ``command`` is for one of an older ARN."""
        kept = checkpoint.get(HISTORY_KEY)
        history = cls(**{**kept, "changed": False}) if kept else cls(command, "checkpoint")
        changed = differences(checkpoint.get(CONFIG_KEY, config), config)
        if not changed:
            return history
        return replace(
            history, changed=True, changes=[*history.changes, {"step": int(checkpoint["global_step"]), **changed}]
        )


def epochs_done(checkpoint: Mapping[str, Any]) -> int:
    """Whole epochs behind a checkpoint; 0 of a network that learned without steps."""
    loop = checkpoint.get("loops", {}).get("fit_loop", {})
    return int(loop.get("epoch_progress", {}).get("current", {}).get("processed", 0))


NO_HISTORY = History("", "random")
