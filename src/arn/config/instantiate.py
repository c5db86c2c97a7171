"""The only way from a config to an object: by a list of what may be built, each with arguments that it takes."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from arn.config.schema import check_arguments, to_plain
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
        if config.get("_target_") is not None:
            arguments = {key: value for key, value in config.items() if not str(key).startswith("_")}
            check_arguments(_find_target(str(config["_target_"]), place, allowed), arguments, place)
        for key, value in config.items():
            _check_targets(value, f"{place}.{key}", allowed)
    elif isinstance(config, list | tuple):
        for index, value in enumerate(config):
            _check_targets(value, f"{place}[{index}]", allowed)


def _find_target(target: str, place: str, allowed: tuple[str, ...]) -> Any:
    """What a path names, if it and what it leads to are of an allowed package: ``arn.files.os.remove`` is ``os``'s."""
    refused = ArnError(f"{place}._target_={target} is not allowed: only {', '.join(allowed)} may be built")
    if not target.startswith(allowed):
        raise refused
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ArnError(f"{place}._target_={target}: there is no such thing ({error})") from error
    if not f"{getattr(found, '__module__', '')}.".startswith(allowed):
        raise refused
    return found


def instantiate(
    config: DictConfig | Mapping[str, Any], place: str, allowed: tuple[str, ...] = ALLOWED_TARGETS, **extra: Any
) -> Any:
    """Build the object that ``_target_`` names, with plain containers for its arguments.

    Args:
        place: the config key, for messages.
        allowed: the packages, each with its closing dot, that targets may come from.

    Raises:
        ArnError: a target outside ``allowed``; naming the key, an argument that it does not take or of another type
            (:func:`~arn.config.schema.check_arguments`), or what the object itself refuses.
    """
    import hydra.utils
    from hydra.errors import InstantiationException

    plain = to_plain(config)
    _check_targets(plain, place, allowed)
    try:
        return hydra.utils.instantiate(plain, _convert_="all", **extra)
    except InstantiationException as error:
        cause: BaseException | None = error
        while isinstance(cause, InstantiationException):
            cause = cause.__cause__
        if isinstance(cause, ArnError):
            raise cause from None
        if isinstance(cause, ValueError | TypeError):
            raise ArnError(f"{place}: {cause}") from error
        raise


def instantiate_optimizer(config: DictConfig | Mapping[str, Any]) -> Any:
    """The optimiser's class with all arguments but the parameters, tried on one parameter.

    Raises ArnError also for what torch refuses, naming the key, ``optimizer.lr=-1``.
    """
    import torch

    given = to_plain(config)
    make = instantiate(given, "optimizer")

    def refusal(optimizer: Any) -> Exception | None:
        try:
            optimizer([torch.nn.Parameter(torch.zeros(1))])
        except (TypeError, ValueError, LookupError, RuntimeError) as error:
            return error
        return None

    error = refusal(make)
    if error is None:
        return make
    for key in given:  # the one without which there is nothing to refuse
        rest = {name: value for name, value in given.items() if name != key}
        if not str(key).startswith("_") and refusal(instantiate(rest, "optimizer")) is None:
            raise ArnError(f"optimizer.{key}={given[key]}: {error}") from error
    raise ArnError(f"optimizer: {error}") from error
