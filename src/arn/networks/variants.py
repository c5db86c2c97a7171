"""What a network's switches change, in the words of run names: known from its config alone, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def variant(config: Mapping[str, Any]) -> list[str]:
    """``no_rcl``, ``T5``, ``norm_none``, ``no_attention``, ``key_pool2``: how far a config is from the full ARN."""
    if config.get("_target_") != "arn.networks.ARN":
        return []
    rcl, attention = config.get("rcl") or {}, config.get("attention") or {}
    parts = []
    if rcl.get("enabled") is False:
        parts.append("no_rcl")
    elif rcl.get("steps", 3) != 3:
        parts.append(f"T{rcl['steps']}")
    if rcl.get("enabled", True) and rcl.get("norm", "lrn") != "lrn":
        parts.append(f"norm_{rcl['norm']}")
    if attention.get("enabled") is False:
        parts.append("no_attention")
    elif attention.get("key_pool", 1) != 1:
        parts.append(f"key_pool{attention['key_pool']}")
    return parts
