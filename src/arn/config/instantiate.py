"""The only way from a config to an object: by a list of what may be built, each with arguments that it takes."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

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

_named: list[str] = []


def allow_plugins(names: Iterable[str]) -> None:
    """Let configs build what these packages hold, too: networks, losses, loggers of one's own.

    A package is looked for in the working folder as well. That is for a person at the command line (``plugins=[NAME]``)
    or in a program to say, or for an installed package itself, by an entry point of the group ``arn.plugins``: no
    config file, checkpoint or export can.

    Raises:
        ArnError: there is no such package.
    """
    for name in names:
        if name not in _named:
            if not _importable(name):
                sys.path.insert(0, os.getcwd())
                importlib.invalidate_caches()
            if not _importable(name):
                raise ArnError(f"plugins={name}: there is no package of that name to import, here or installed")
            _named.append(name)


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


@functools.cache
def _installed() -> tuple[str, ...]:
    return tuple(point.module for point in importlib.metadata.entry_points(group="arn.plugins"))


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
    allowed += tuple(f"{name}." for name in (*_named, *_installed()))
    refused = ArnError(
        f"{place}._target_={target} is not allowed: only {', '.join(allowed)} may be built; "
        "of a package of your own say so, plugins=[PACKAGE]"
    )
    if not target.startswith(allowed):
        raise refused
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ArnError(f"{place}._target_={target}: there is no such thing ({error})") from error
    if not f"{getattr(found, '__module__', '')}.".startswith(allowed):
        raise refused
    return found


def fit_targets(config: DictConfig, overrides: Iterable[str]) -> None:
    """Where an override puts another class into a group, ``network._target_=mypkg.Net``, the group's own values that
    this class does not take go. What other overrides say stays, and is refused if it does not fit."""
    given = {override.partition("=")[0].lstrip("+") for override in overrides}
    for key in given:
        group, _, leaf = key.rpartition(".")
        node = OmegaConf.select(config, group) if leaf == "_target_" and group else None
        if not isinstance(node, DictConfig):
            continue
        target = _find_target(str(node._target_), group, ALLOWED_TARGETS)
        parameters = inspect.signature(target).parameters
        # torch's Module passes its arguments on to be refused: a class that leaves __init__ to it takes none.
        plain = getattr(target.__init__, "__qualname__", "") == "Module.__init__"
        if not plain and any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
            continue
        with open_dict(node):
            for name in [str(name) for name in node]:
                said = any(one == f"{group}.{name}" or one.startswith(f"{group}.{name}.") for one in given)
                if not name.startswith("_") and name not in parameters and not said:
                    del node[name]


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
