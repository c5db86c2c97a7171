"""From a composed config to the dataclass of a request: types, ranges and unknown keys, each in one line.

Types are OmegaConf's (`OmegaConf.structured`), which converts what can be converted. What a type cannot say stands in
the annotation: ``batch_size: Annotated[int, AtLeast(1)]``.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from arn.config.instantiate import to_plain
from arn.errors import ArnError

Request = TypeVar("Request")


class Limit(Protocol):
    """What a value must be, beside its type."""

    def __call__(self, value: Any) -> str | None:
        """What is wanted instead, None where the value will do."""


@dataclass(frozen=True)
class AtLeast:
    low: float

    def __call__(self, value: Any) -> str | None:
        return None if value >= self.low else f"at least {self.low:g}"


@dataclass(frozen=True)
class Above:
    low: float

    def __call__(self, value: Any) -> str | None:
        return None if value > self.low else f"above {self.low:g}"


@dataclass(frozen=True)
class Between:
    """Strictly between two numbers."""

    low: float
    high: float

    def __call__(self, value: Any) -> str | None:
        return None if self.low < value < self.high else f"between {self.low:g} and {self.high:g}"


class OneOf:
    def __init__(self, *choices: Any) -> None:
        self.choices = choices

    def __call__(self, value: Any) -> str | None:
        return None if value in self.choices else f"one of {', '.join(map(str, self.choices))}"


def read(request: type[Request], config: Any, renamed: Mapping[str, str] | None = None) -> Request:
    """The request that a composed config makes.

    Args:
        request: a dataclass of OmegaConf's types, with limits in its annotations; nested dataclasses likewise.
        renamed: key of the config -> field of the dataclass, where the key is a word of Python's.

    Raises:
        ArnError: naming the key, for a value of another type or beyond its limits, a missing one and an unknown one.
    """
    plain = dict(to_plain(config))
    back = {field: key for key, field in (renamed or {}).items()}
    for key, field in (renamed or {}).items():
        if key in plain:
            plain[field] = plain.pop(key)
    _check_keys(request, plain, "")
    try:
        found: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(request), plain))
    except OmegaConfBaseException as error:
        key = str(getattr(error, "full_key", None) or getattr(error, "key", None) or "config")
        raise ArnError(f"{back.get(key, key)}: {str(error).splitlines()[0]}") from error
    _check_limits(found, "", back)
    checked: Request = found
    return checked


def _check_keys(request: type[Any], given: Mapping[str, Any], place: str) -> None:
    hints = get_type_hints(request)
    known = {field.name for field in dataclasses.fields(request)}
    for key, value in given.items():
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            raise ArnError(
                f"{place}{key}: there is no such key" + (f"; did you mean {place}{close[0]}?" if close else "")
            )
        if dataclasses.is_dataclass(hints[key]) and isinstance(value, Mapping):
            _check_keys(hints[key], value, f"{place}{key}.")


def _check_limits(found: Any, place: str, back: Mapping[str, str]) -> None:
    for name, hint in get_type_hints(type(found), include_extras=True).items():
        value = getattr(found, name)
        key = f"{place}{back.get(name, name)}"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            _check_limits(value, f"{key}.", {})
        for limit in _limits(hint):
            for one in value if isinstance(value, Sequence) and not isinstance(value, str) else [value]:
                wanted = None if one is None else limit(one)
                if wanted is not None:
                    raise ArnError(f"{key}={_said(one)}: must be {wanted}")


def _limits(hint: Any) -> list[Limit]:
    """Those of ``Annotated[X, ...]`` and of ``Annotated[X, ...] | None``."""
    if get_origin(hint) is Annotated:
        return [one for one in get_args(hint)[1:] if callable(one)]
    if isinstance(hint, types.UnionType) or get_origin(hint) is not None:
        return [limit for part in get_args(hint) for limit in _limits(part)]
    return []


def _said(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
