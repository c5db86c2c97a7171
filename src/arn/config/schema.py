"""From a composed config to the dataclass of a request: types, ranges and unknown keys, each in one line.

Types are OmegaConf's (`OmegaConf.structured`), which converts what can be converted. What a type cannot say stands in
the annotation: ``batch_size: Annotated[int, AtLeast(1)]``.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from arn.config.arguments import as_typed, no_such_key
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
    """Between two numbers, strictly or (``closed``) one of them as well."""

    low: float
    high: float
    closed: bool = False

    def __call__(self, value: Any) -> str | None:
        inside = self.low <= value <= self.high if self.closed else self.low < value < self.high
        return None if inside else f"between {self.low:g} and {self.high:g}"


class OneOf:
    def __init__(self, *choices: Any) -> None:
        self.choices = choices

    def __call__(self, value: Any) -> str | None:
        return None if value in self.choices else f"one of {', '.join(map(str, self.choices))}"


def read(request: type[Request], config: Any, renamed: Mapping[str, str] | None = None, place: str = "") -> Request:
    """The request that a composed config makes.

    Args:
        request: a dataclass of OmegaConf's types, with limits in its annotations; nested dataclasses likewise.
        renamed: key of the config -> field of the dataclass, where the key is a word of Python's.
        place: before each key in messages, with its closing dot: where the config lies in a larger one.

    Raises:
        ArnError: naming the key, for a value of another type or beyond its limits, a missing one and an unknown one.
    """
    plain = dict(to_plain(config))
    back = {field: key for key, field in (renamed or {}).items()}
    for key, field in (renamed or {}).items():
        if key in plain:
            plain[field] = plain.pop(key)
    _check_keys(request, plain, place)
    try:
        values: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(request), plain))
    except OmegaConfBaseException as error:
        key = str(getattr(error, "full_key", None) or getattr(error, "key", None) or "config")
        raise ArnError(f"{place}{back.get(key, key)}: {str(error).splitlines()[0]}") from error
    _check_limits(values, place, back)
    checked: Request = values
    return checked


def _check_keys(request: type[Any], given: Mapping[str, Any], place: str) -> None:
    hints = get_type_hints(request)
    known = {field.name for field in dataclasses.fields(request)}
    for key, value in given.items():
        if key not in known:
            raise no_such_key(key, known, place)
        if dataclasses.is_dataclass(hints[key]) and isinstance(value, Mapping):
            _check_keys(hints[key], value, f"{place}{key}.")


def _check_limits(values: Any, place: str, back: Mapping[str, str]) -> None:
    for name, hint in get_type_hints(type(values), include_extras=True).items():
        value = getattr(values, name)
        key = f"{place}{back.get(name, name)}"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            _check_limits(value, f"{key}.", {})
        for item in value if isinstance(value, Sequence) and not isinstance(value, str) else [value]:
            check_limits(key, item, _limits(hint))


def check_limits(key: str, value: Any, limits: Sequence[Limit]) -> None:
    """Raises ArnError naming the key of a value that one of the limits does not allow; null is within all of them."""
    for limit in limits:
        instead = None if value is None else limit(value)
        if instead is not None:
            raise ArnError(f"{key}={as_typed(value)}: must be {instead}")


def _limits(hint: Any) -> list[Limit]:
    """Those of ``Annotated[X, ...]`` and of ``Annotated[X, ...] | None``."""
    if get_origin(hint) is Annotated:
        return [limit for limit in get_args(hint)[1:] if callable(limit)]
    if isinstance(hint, types.UnionType) or get_origin(hint) is not None:
        return [limit for part in get_args(hint) for limit in _limits(part)]
    return []
