"""What a config's values must be: types, ranges and known keys, each told in one line that names the key.

A request is a dataclass of OmegaConf's types, which converts what can be converted; what a type cannot say stands in
the annotation: ``batch_size: Annotated[int, AtLeast(1)]``. What ``_target_`` names, a class of one's own as well, is
checked by its signature and type hints. There ``Annotated[Mapping[str, Any] | None, Options]`` says that the mapping's
keys are those of ``Options``, a TypedDict, or a class or function that takes them as arguments.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import os
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from arn.errors import ArnError

Request = TypeVar("Request")


def to_plain(config: Any) -> Any:
    """Dicts, lists, strings and numbers only, interpolations resolved."""
    if not OmegaConf.is_config(config):
        return config
    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ArnError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error


def as_typed(value: Any) -> str:
    """A value as a command line has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _no_such_key(key: str, known: Iterable[str], place: str) -> ArnError:
    close = difflib.get_close_matches(str(key), list(known), n=1)
    return ArnError(f"{place}{key}: there is no such key" + (f"; did you mean {place}{close[0]}?" if close else ""))


@dataclass(frozen=True)
class Limit:
    """What a value must be, in words and as a test."""

    wanted: str
    holds: Callable[[Any], bool]

    def allows(self, value: Any) -> bool:
        """What has a ``_target_`` is not built yet, and passes."""
        return (isinstance(value, Mapping) and "_target_" in value) or self.holds(value)

    def check(self, key: str, value: Any) -> None:
        """Raises ArnError naming the key."""
        if not self.allows(value):
            raise ArnError(f"{key}={as_typed(value)}: must be {self.wanted}")


def AtLeast(low: float) -> Limit:
    return Limit(f"at least {low:g}", lambda value: value >= low)


def Above(low: float) -> Limit:
    return Limit(f"above {low:g}", lambda value: value > low)


def Between(low: float, high: float, closed: bool = False) -> Limit:
    """Between two numbers, strictly or (``closed``) one of them as well."""
    return Limit(f"between {low:g} and {high:g}", lambda value: low < value < high or (closed and value in (low, high)))


def OneOf(*choices: Any) -> Limit:
    return Limit(f"one of {', '.join(map(str, choices))}", lambda value: value in choices)


_ANYTHING = Limit("", lambda value: True)
_NULL = Limit("null", lambda value: value is None)
_SCALARS: dict[Any, Limit] = {
    bool: Limit("true or false", lambda value: isinstance(value, bool)),
    int: Limit("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: Limit("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
    str: Limit("text", lambda value: isinstance(value, str)),
    types.NoneType: _NULL,
}


def limit_of(hint: Any) -> Limit:
    """What a type hint asks of a plain value: nothing of classes and callables, of which that cannot be told."""
    origin, parts = get_origin(hint), get_args(hint)
    kind = origin or hint
    if hint in _SCALARS:
        return _SCALARS[hint]
    if origin is Annotated:
        return limit_of(parts[0])
    if origin is Literal:
        return Limit(
            " or ".join(map(str, parts)), lambda value: any(value == one and type(value) is type(one) for one in parts)
        )
    if origin in (Union, types.UnionType):
        told = {part: limit for part in parts if (limit := limit_of(part)) is not _ANYTHING}
        if set(told.values()) <= {_NULL}:
            return _ANYTHING
        words = dict.fromkeys(told[part].wanted for part in told if not (part is int and float in told))
        return Limit(" or ".join(words), lambda value: any(limit.allows(value) for limit in told.values()))
    if not inspect.isclass(kind):
        return _ANYTHING
    if issubclass(kind, os.PathLike):
        return Limit("a path", lambda value: isinstance(value, str | os.PathLike))
    if issubclass(kind, Mapping):
        item = limit_of(parts[1]) if parts else _ANYTHING
        return Limit("a mapping", lambda value: isinstance(value, Mapping) and all(map(item.allows, value.values())))
    if issubclass(kind, Iterable) and kind.__module__ in ("builtins", "collections.abc", "typing"):  # a tensor is none
        return _list_of([limit_of(part) for part in parts], fixed=kind is tuple)
    return _ANYTHING


def _list_of(items: list[Limit], fixed: bool) -> Limit:
    """A list of what the first limit allows or, ``fixed`` and as long as there are limits, of what each allows."""

    def holds(value: Any) -> bool:
        if not isinstance(value, list | tuple):
            return False
        each = items if fixed and len(items) == len(value) else items[:1] * len(value)
        return all(limit.allows(item) for item, limit in zip(value, each, strict=False))

    return Limit(f"a list of {items[0].wanted}" if items and items[0].wanted else "a list", holds)


def check_arguments(target: Callable[..., Any], given: Mapping[str, Any], place: str) -> None:
    """Check keyword arguments of a call that is still to come; whether any is missing the call itself says.

    Args:
        target: class, function or TypedDict.
        given: plain containers.
        place: the config key, for messages.

    Raises:
        ArnError: naming the key, for an argument that ``target`` does not take and a value of another type.
    """
    hints = _hints(target)
    known, takes_any = set(hints), False
    if not is_typeddict(target):
        parameters = inspect.signature(target).parameters
        known = set(parameters)
        takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    for key, value in given.items():
        if key not in known and not takes_any:
            raise _no_such_key(key, known, f"{place}.")
        hint = hints.get(key, Any)
        limit_of(hint).check(f"{place}.{key}", value)
        if get_origin(hint) is Annotated and isinstance(value, Mapping) and "_target_" not in value:
            for options in hint.__metadata__:
                if is_typeddict(options) or inspect.isroutine(options) or inspect.isclass(options):
                    check_arguments(options, value, f"{place}.{key}")


def _hints(target: Any) -> dict[str, Any]:
    """By argument; empty where one cannot be resolved, such as a name that is imported for type checkers alone."""
    try:
        named = target.__init__ if inspect.isclass(target) and not is_typeddict(target) else target
        return get_type_hints(named, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def read(request: type[Request], config: Any, renamed: Mapping[str, str] | None = None, place: str = "") -> Request:
    """The request that a composed config makes.

    Args:
        request: a dataclass of OmegaConf's types, with limits in its annotations; nested dataclasses likewise.
        renamed: key of the config -> field of the dataclass, where the key is a word of Python's.
        place: before each key in messages, with its closing dot: where the config lies in a larger one.

    Raises:
        ArnError: naming the key, for a value of another type or beyond its limits, a missing one and an unknown one.
    """
    renamed = renamed or {}
    back = {field: key for key, field in renamed.items()}
    plain = {renamed.get(key, key): value for key, value in to_plain(config).items()}
    try:
        values: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(request), plain))
    except ConfigKeyError as error:
        within = str(error.full_key).removesuffix(str(error.key))
        raise _no_such_key(error.key, map(str, error.parent_node), f"{place}{within}") from error
    except OmegaConfBaseException as error:
        key = str(error.full_key or error.key or "config")
        raise ArnError(f"{place}{back.get(key, key)}: {str(error).splitlines()[0]}") from error
    _check_limits(values, place, back)
    checked: Request = values
    return checked


def _check_limits(values: Any, place: str, back: Mapping[str, str]) -> None:
    """Null is within every limit."""
    for name, hint in get_type_hints(type(values), include_extras=True).items():
        value = getattr(values, name)
        key = f"{place}{back.get(name, name)}"
        if dataclasses.is_dataclass(value):
            _check_limits(value, f"{key}.", {})
        for item in value if isinstance(value, list) else [value]:
            for limit in _limits(hint) if item is not None else ():
                limit.check(key, item)


def _limits(hint: Any) -> list[Limit]:
    """Those of ``Annotated[X, ...]``, of ``Annotated[X, ...] | None`` and of ``list[Annotated[X, ...]]``."""
    if get_origin(hint) is Annotated:
        return list(hint.__metadata__)
    return [limit for part in get_args(hint) for limit in _limits(part)]
