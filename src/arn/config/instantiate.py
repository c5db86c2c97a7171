"""The only way from a config to an object: by a list of what may be built."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from arn.errors import ArnError

ALLOWED_TARGETS = (
    "arn.",
    "torch.optim.",
    "pytorch_lightning.callbacks.",
    "pytorch_lightning.loggers.",
    "pytorch_lightning.profilers.",
    "pytorch_lightning.strategies.",
)
"""What a config may build. A config file is data from outside: it must not be able to name just any callable."""


def _check_targets(config: Any, place: str, allowed: tuple[str, ...]) -> None:
    if isinstance(config, Mapping):
        target = config.get("_target_")
        if target is not None and not _is_allowed(str(target), place, allowed):
            raise ArnError(f"{place}._target_={target} is not allowed: only {', '.join(allowed)} may be built")
        for key, value in config.items():
            _check_targets(value, f"{place}.{key}", allowed)
    elif isinstance(config, list | tuple):
        for index, value in enumerate(config):
            _check_targets(value, f"{place}[{index}]", allowed)


def _is_allowed(target: str, place: str, allowed: tuple[str, ...]) -> bool:
    """Whether the path and what it leads to are both of an allowed package: ``arn.files.os.remove`` is ``os``'s."""
    if not target.startswith(allowed):
        return False
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ArnError(f"{place}._target_={target}: there is no such thing ({error})") from error
    return f"{getattr(found, '__module__', '')}.".startswith(allowed)


def instantiate(
    config: DictConfig | Mapping[str, Any], place: str, allowed: tuple[str, ...] = ALLOWED_TARGETS, **extra: Any
) -> Any:
    """Build the object that ``_target_`` names, with plain containers for its arguments.

    Args:
        place: the config key, for messages.
        allowed: the packages, each with its closing dot, that targets may come from.

    Raises:
        ArnError: a target outside ``allowed``, or arguments that the object refuses.
    """
    import hydra.utils
    from hydra.errors import InstantiationException

    plain = to_plain(config)
    _check_targets(plain, place, allowed)
    try:
        return hydra.utils.instantiate(plain, _convert_="all", **extra)
    except InstantiationException as error:
        cause = error.__cause__
        while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, ArnError):
            raise cause from None
        if isinstance(cause, ValueError | TypeError):
            raise ArnError(f"{place}: {cause}") from error
        raise


def to_plain(config: Any) -> Any:
    """Dicts, lists, strings and numbers only, interpolations resolved."""
    if not OmegaConf.is_config(config):
        return config
    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ArnError(f"config: {str(error).splitlines()[0]}") from error
