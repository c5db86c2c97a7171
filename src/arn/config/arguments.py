"""What a config hands to a class or function, checked against signature and type hints before anything is called.

A class of one's own profits as it is: write type hints. ``Annotated[Mapping[str, Any] | None, Options]`` says that the
mapping's keys are those of ``Options``, a TypedDict, or a class or function that takes them as arguments.
"""

from __future__ import annotations

import difflib
import inspect
import os
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from arn.errors import ArnError

_SCALARS: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
    type(None): ((type(None),), "null"),
}


def check_arguments(target: Callable[..., Any], given: Mapping[str, Any], place: str) -> None:
    """Check keyword arguments of a call that is still to come; whether any is missing the call itself says.

    Args:
        target: class, function or TypedDict.
        given: plain containers. What has a ``_target_`` is not built yet and passes.
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
        name = f"{place}.{key}"
        if key not in known and not takes_any:
            raise no_such_key(key, known, f"{place}.")
        hint = hints.get(key, Any)
        if fits(value, hint) is False:
            raise ArnError(f"{name}={as_typed(value)}: must be {wanted(hint)}")
        if get_origin(hint) is Annotated and isinstance(value, Mapping) and "_target_" not in value:
            for options in get_args(hint)[1:]:
                if is_typeddict(options) or inspect.isroutine(options) or inspect.isclass(options):
                    check_arguments(options, value, name)


def as_typed(value: Any) -> str:
    """A value as a command line has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def no_such_key(key: str, known: Iterable[str], place: str) -> ArnError:
    close = difflib.get_close_matches(str(key), list(known), n=1)
    return ArnError(f"{place}{key}: there is no such key" + (f"; did you mean {place}{close[0]}?" if close else ""))


def _hints(target: Any) -> dict[str, Any]:
    """By argument; empty where one cannot be resolved, such as a name that is imported for type checkers alone."""
    try:
        named = target.__init__ if inspect.isclass(target) and not is_typeddict(target) else target
        return get_type_hints(named, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def fits(value: Any, hint: Any) -> bool | None:
    """Whether a plain value is of a type; None where that cannot be told, as for classes and callables."""
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(value, Mapping) and "_target_" in value:
        return None
    if hint in _SCALARS:
        return isinstance(value, _SCALARS[hint][0]) and (hint is bool or not isinstance(value, bool))
    if origin is Annotated:
        return fits(value, arguments[0])
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in arguments)
    if origin in (Union, types.UnionType):
        answers = {fits(value, part) for part in arguments if value is None or part is not type(None)}
        return True if True in answers else False if False in answers else None
    kind = origin or hint
    if not inspect.isclass(kind) or kind is Any:
        return None
    if issubclass(kind, os.PathLike):
        return isinstance(value, str | os.PathLike)
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and all(
            fits(one, arguments[1]) is not False for one in value.values() if arguments
        )
    if _is_list(kind):
        if not isinstance(value, list | tuple):
            return False
        each = arguments if kind is tuple and len(arguments) == len(value) else arguments[:1] * len(value)
        return all(fits(one, part) is not False for one, part in zip(value, each, strict=False))
    return None


def _is_list(kind: type) -> bool:
    """Whether a config's list fits: a tensor can be iterated, and is none."""
    return issubclass(kind, Iterable) and kind.__module__ in ("builtins", "collections.abc", "typing")


def wanted(hint: Any) -> str:
    """What would fit, in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint][1]
    if origin is Annotated:
        return wanted(arguments[0])
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        parts = [one for one in arguments if not (one is int and float in arguments)]
        return " or ".join(dict.fromkeys(text for text in map(wanted, parts) if text))
    kind = origin or hint
    if not inspect.isclass(kind):
        return ""
    if issubclass(kind, Mapping):
        return "a mapping"
    if _is_list(kind):
        return " ".join(["a list", *(f"of {wanted(each)}" for each in arguments[:1] if wanted(each))])
    return "a path" if issubclass(kind, os.PathLike) else ""
