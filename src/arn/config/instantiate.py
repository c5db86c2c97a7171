"""The only way from a config to an object: by a list of what may be built, each with arguments that it takes."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from arn.config.schema import check_arguments, to_plain
from arn.config.targets import CLOSED, PARTS, TARGETS
from arn.errors import ArnError

_named: list[str] = []
_PART_NAMES = tuple(name for names in PARTS.values() for name in names)


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


def _of_plugins(target: str) -> bool:
    return target.startswith(tuple(f"{name}." for name in (*_named, *_installed())))


def _check_targets(config: Mapping[str, Any], place: str, allowed: Sequence[str], partial: bool) -> None:
    """Of an object and of all that is built inside it; raises ArnError before any of it is imported."""
    target = str(config["_target_"])
    found = _find_target(target, place, allowed)
    special = {"_target_", "_partial_"} if partial else {"_target_"}
    if partial and config.get("_partial_") is not True:
        raise ArnError(f"{place}._partial_: must be true, as parameters are given to it later")
    arguments = {key: value for key, value in config.items() if key not in special}
    for key in ("_args_", "_partial_", *CLOSED.get(target, ())):
        if key in arguments:
            raise ArnError(f"{place}.{key}: not from a config")
    foreign = _of_plugins(target)
    if foreign:  # what Hydra makes of them is the package's own concern
        arguments = {key: value for key, value in arguments.items() if key not in ("_recursive_", "_convert_")}
    check_arguments(found, arguments, place)
    for key, value in arguments.items():
        inner = (*allowed, *_PART_NAMES) if foreign else PARTS.get((target, str(key)), ())
        _check_parts(value, f"{place}.{key}", inner)


def _check_parts(value: Any, place: str, allowed: Sequence[str]) -> None:
    """Of an argument: objects in it, of the names allowed there."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            if not allowed:
                raise ArnError(f"{place}._target_={value['_target_']} is not allowed: a value belongs there, no object")
            _check_targets(value, place, allowed, partial=False)
        else:
            for key, part in value.items():
                _check_parts(part, f"{place}.{key}", allowed)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            _check_parts(part, f"{place}[{index}]", allowed)


def _find_target(target: str, place: str, allowed: Sequence[str]) -> Any:
    """What a path names, if it is on the list, or is of a package that a person named and leads nowhere else:
    ``mypkg.os.remove`` is ``os``'s."""
    refused = ArnError(
        f"{place}._target_={target} is not allowed: only {', '.join(allowed)} may be built; "
        "of a package of your own say so, plugins=[PACKAGE]"
    )
    if target not in allowed and not _of_plugins(target):
        raise refused
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ArnError(f"{place}._target_={target}: there is no such thing ({error})") from error
    if target not in allowed and not _of_plugins(f"{getattr(found, '__module__', '')}."):
        raise refused
    return found


def _group(place: str) -> str:
    """Of conf/, that a config key belongs to; ArnError where nothing is built of it."""
    group = place.partition(".")[0]
    if group not in TARGETS:
        raise ArnError(f"{place}._target_ is not allowed: a value belongs there, no object")
    return group


def fit_targets(config: DictConfig, overrides: Iterable[str]) -> None:
    """Where an override puts another class into a group, ``network._target_=mypkg.Net``, the group's own values that
    this class does not take go. What other overrides say stays, and is refused if it does not fit."""
    given = {override.partition("=")[0].lstrip("+") for override in overrides}
    for key in given:
        group, _, leaf = key.rpartition(".")
        node = OmegaConf.select(config, group) if leaf == "_target_" and group else None
        if not isinstance(node, DictConfig):
            continue
        allowed = TARGETS[_group(group)] + (_PART_NAMES if group not in TARGETS else ())
        target = _find_target(str(node._target_), group, allowed)
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


def check(plain: Any, place: str, group: str | None = None) -> None:
    """What :func:`instantiate` refuses before it builds anything."""
    group = group or _group(place)
    if not isinstance(plain, Mapping) or not isinstance(plain.get("_target_"), str):
        raise ArnError(f"{place}: names no class to build, {place}._target_")
    _check_targets(plain, place, TARGETS[group], partial=group == "optimizer")


def check_groups(config: Mapping[str, Any]) -> None:
    """All that a training is to build, before any of it is; ``config`` has plain containers. Raises ArnError."""
    for group in ("network", "data", "loss", "optimizer"):
        check(config[group], group)
    if config.get("profiler"):
        check(_without_null(config["profiler"]), "profiler")
    for group in ("callbacks", "logger"):
        for name, entry in (config.get(group) or {}).items():
            check(entry if group == "callbacks" else _without_null(entry), f"{group}.{name}")


def _without_null(entry: Any) -> Any:
    """A folder that is null is the run's, which is not known before there is one."""
    return {key: value for key, value in entry.items() if value is not None} if isinstance(entry, Mapping) else entry


def instantiate(config: DictConfig | Mapping[str, Any], place: str, group: str | None = None, /, **extra: Any) -> Any:
    """Build the object that ``_target_`` names, with plain containers for its arguments.

    Args:
        place: the config key, for messages.
        group: of :data:`~arn.config.targets.TARGETS`; None: that of ``place``.
        extra: arguments beside those of the config.

    Raises:
        ArnError: a target that is not of the group; naming the key, an argument that it does not take or of another
            type (:func:`~arn.config.schema.check_arguments`), or what the object itself refuses.
    """
    import hydra.utils
    from hydra.errors import InstantiationException

    plain = to_plain(config)
    check(plain, place, group)
    try:
        return hydra.utils.instantiate(plain, _convert_="all", **extra)
    except InstantiationException as error:
        cause: BaseException | None = error
        while isinstance(cause, InstantiationException):
            cause = cause.__cause__
        if isinstance(cause, ArnError):
            raise cause from None
        told = str(cause).strip().splitlines() or [""]
        raise ArnError(f"{place}: {told[0] or type(cause).__name__}") from error


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
