"""What a run is known by: the hash of what it computes, its name, folder and tags; and the resolvers of conf/."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from arn.config.schema import to_plain
from arn.config.upgrade import upgrade_config
from arn.networks.variants import variant

ASIDE = ("logger", "launcher", "profiler", "sweep", "tags", "resume", "tune", "label", "watch", "plugins")
"""Keys that say where a run is started, shown or listed, not what it computes."""

UNSEEN = (
    "panels",
    "max_megapixels",
    "trainer.log_every_n_steps",
    "checkpoint.minutes",
    "data.workers",
    "data.start_method",
)
"""Keys of what is shown, kept or done at once, which no weight and no score depends on either."""


LATER = ("data.masks",)
"""Keys that came after runs were made: null, they are as if they were not there."""


def config_hash(config: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that two resolved configs share only if they are equal."""
    return hashlib.sha256(json.dumps(to_plain(config), sort_keys=True).encode()).hexdigest()[:12]


def run_hash(config: Mapping[str, Any]) -> str:
    """:func:`config_hash` of what a run computes, without `ASIDE` and `UNSEEN`, however its keys were spelled."""
    return config_hash(_computed(config))


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What two configs compute differently: ``{"optimizer.lr": [0.001, 0.0001]}``, None for a key that one lacks."""
    one, other = (_leaves(_computed(config)) for config in (before, after))
    keys = dict.fromkeys([*one, *other])
    return {key: [one.get(key), other.get(key)] for key in keys if one.get(key) != other.get(key)}


def _computed(config: Mapping[str, Any]) -> dict[str, Any]:
    def kept(node: Any, place: str = "") -> Any:
        if not isinstance(node, Mapping):
            return node
        places = {key: f"{place}{key}" for key in node}
        return {
            key: kept(one, f"{places[key]}.")
            for key, one in node.items()
            if places[key] not in ASIDE + UNSEEN and not (places[key] in LATER and one is None)
        }

    computed: dict[str, Any] = kept(upgrade_config(to_plain(config)))
    return computed


def _leaves(node: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(node, Mapping) or not node:
        return {place: node}
    return {
        leaf: value for key, one in node.items() for leaf, value in _leaves(one, f"{place}.{key}".lstrip(".")).items()
    }


def run_name(network: str, config: Mapping[str, Any]) -> str:
    """The network with the ablations that its keys switch on: ``arn``, ``arn_no_rcl``, ``arn_T5_key_pool2``.

    Args:
        network: name of the chosen network config; what it names already is not said again.
        config: the resolved network config.
    """
    target = str(config.get("_target_", ""))
    if target and not target.startswith("arn."):
        return target.rpartition(".")[2]  # of another package, whatever config it was put into
    return "_".join([network, *(part for part in variant(config) if part not in network)])


def wandb_offline() -> bool:
    """W&B sends nothing unless a key is set or ``WANDB_MODE`` asks for it."""
    return os.environ.get("WANDB_MODE", "online" if os.environ.get("WANDB_API_KEY") else "offline") != "online"


def wandb_tags(tags: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """The tags asked for, and what was overridden. W&B takes 64 characters a tag; of longer ones only the key."""
    aside = (*ASIDE, "panels")
    told = [one for one in overrides if one.lstrip("+~").partition("=")[0].partition(".")[0] not in aside]
    return list(dict.fromkeys([*tags, *(one if len(one) <= 64 else one.partition("=")[0][:64] for one in told)]))


def slurm_tasks(trainer: Mapping[str, Any] | None) -> int:
    """The ranks of a node: ``trainer.devices``, or one where that leaves the number to the node."""
    devices = (trainer or {}).get("devices", 1)
    if isinstance(devices, str):
        return max(1, int(devices)) if devices.isdigit() else 1
    return max(1, devices if isinstance(devices, int) else len(devices))


def slurm_gpus(trainer: Mapping[str, Any] | None) -> int:
    return 0 if (trainer or {}).get("accelerator") == "cpu" else slurm_tasks(trainer)


def register_resolvers() -> None:
    """``${arn.name:...}`` and the others that conf/ uses."""
    OmegaConf.register_new_resolver("arn.name", run_name, replace=True)
    OmegaConf.register_new_resolver("arn.folder", lambda resume, fresh: str(resume or fresh), replace=True)
    OmegaConf.register_new_resolver("arn.tags", wandb_tags, replace=True)
    OmegaConf.register_new_resolver("arn.wandb_offline", wandb_offline, replace=True)
    OmegaConf.register_new_resolver("arn.slurm_tasks", slurm_tasks, replace=True)
    OmegaConf.register_new_resolver("arn.slurm_gpus", slurm_gpus, replace=True)
