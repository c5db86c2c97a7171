"""The resolvers that conf/ uses: ``arn.name``, ``arn.folder``, ``arn.tags`` and ``arn.wandb_offline``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from omegaconf import OmegaConf

from arn.config.identity import ASIDE, run_name


def run_folder(resume: str | None, fresh: str) -> str:
    return str(resume) if resume else fresh


def wandb_offline() -> bool:
    """W&B sends nothing unless a key is set or ``WANDB_MODE`` asks for it."""
    return os.environ.get("WANDB_MODE", "online" if os.environ.get("WANDB_API_KEY") else "offline") != "online"


def wandb_tags(tags: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """The tags asked for, and what was overridden. W&B takes 64 characters a tag; of longer ones only the key."""
    aside = (*ASIDE, "panels")
    told = [one for one in overrides if one.lstrip("+~").partition("=")[0].partition(".")[0] not in aside]
    return list(dict.fromkeys([*tags, *(one if len(one) <= 64 else one.partition("=")[0][:64] for one in told)]))


def register_resolvers() -> None:
    """``${arn.name:...}`` and ``${arn.folder:...}``, which conf/ uses."""
    resolvers: dict[str, Callable[..., Any]] = {
        "arn.name": run_name,
        "arn.folder": run_folder,
        "arn.wandb_offline": wandb_offline,
        "arn.tags": wandb_tags,
    }
    for name, resolver in resolvers.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
