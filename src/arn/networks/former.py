"""Former spellings of ARN's options, for the runs, exports and command lines that have them. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def upgrade(config: Mapping[str, Any]) -> dict[str, Any]:
    """ARN's options as they are spelled now; those that are already stay as they are.

    ``levels`` and ``attention.stages`` counted the halvings of a backbone's taps, from one for VGG16's first block and
    from zero for `timm`: they are strides now, 2^(level - 1) and 2^level. ``mirror`` is no option of the network any
    more but test-time augmentation: it is left out.
    """
    offset = 1 if config.get("backbone", "vgg16") == "vgg16" else 0

    def strides(levels: Any) -> Any:
        whole = isinstance(levels, list | tuple) and all(isinstance(level, int) for level in levels)
        return [2 ** (level - offset) for level in levels] if whole else levels

    options = {key: value for key, value in config.items() if key not in ("levels", "mirror")}
    if "levels" in config:
        options["strides"] = strides(config["levels"]) or options.get("strides")
    attention = config.get("attention")
    if isinstance(attention, Mapping) and "stages" in attention:
        kept = {key: value for key, value in attention.items() if key not in ("stages", "strides")}
        options["attention"] = {**kept, "strides": strides(attention["stages"])}
    return options
