"""What a run is known by: the hash of what it computes, and its name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from arn.config.instantiate import to_plain
from arn.config.upgrade import upgrade_config
from arn.networks.variants import variant


def config_hash(config: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that two resolved configs share only if they are equal."""
    return hashlib.sha256(json.dumps(to_plain(config), sort_keys=True).encode()).hexdigest()[:12]


ASIDE = ("logger", "launcher", "profiler", "sweep", "tags", "resume", "tune")
"""Keys that say where a run is started, shown or listed, not what it computes."""


UNSEEN = ("panels", "trainer.log_every_n_steps", "checkpoint.minutes", "data.workers")
"""Keys of what is shown, kept or done at once, which no weight and no score depends on either."""


def run_hash(config: Mapping[str, Any]) -> str:
    """:func:`config_hash` of what a run computes: the same wherever it is started from, whoever watches it, and however
    its keys were spelled when it was."""

    def kept(node: Any, place: str = "") -> Any:
        if not isinstance(node, Mapping):
            return node
        return {key: kept(one, f"{place}{key}.") for key, one in node.items() if f"{place}{key}" not in ASIDE + UNSEEN}

    return config_hash(kept(upgrade_config(to_plain(config))))


def run_name(network: str, config: Mapping[str, Any]) -> str:
    """The network with the ablations that its keys switch on: ``arn``, ``arn_no_rcl``, ``arn_T5_key_pool2``.

    Args:
        network: name of the chosen network config; what it names already is not said again.
        config: the resolved network config.
    """
    return "_".join([network, *(part for part in variant(config) if part not in network)])
