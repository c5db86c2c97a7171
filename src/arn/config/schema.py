"""From a composed config to the dataclass of a request: types, ranges and unknown keys, each in one line.

Types are OmegaConf's (`OmegaConf.structured`), which converts what can be converted. What a type cannot say stands in
the annotation: ``batch_size: Annotated[int, AtLeast(1)]``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from arn.config.arguments import as_typed, no_such_key
from arn.config.instantiate import to_plain
from arn.errors import ArnError

Request = TypeVar("Request")


@dataclass(frozen=True)
class Limit:
    """What a value must be, beside its type; null is within every limit."""

    wanted: str
    holds: Callable[[Any], bool]

    def check(self, key: str, value: Any) -> None:
        """Raises ArnError naming the key."""
        if value is not None and not self.holds(value):
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
        raise no_such_key(error.key, map(str, error.parent_node), f"{place}{within}") from error
    except OmegaConfBaseException as error:
        key = str(error.full_key or error.key or "config")
        raise ArnError(f"{place}{back.get(key, key)}: {str(error).splitlines()[0]}") from error
    _check_limits(values, place, back)
    checked: Request = values
    return checked


def _check_limits(values: Any, place: str, back: Mapping[str, str]) -> None:
    for name, hint in get_type_hints(type(values), include_extras=True).items():
        value = getattr(values, name)
        key = f"{place}{back.get(name, name)}"
        if dataclasses.is_dataclass(value):
            _check_limits(value, f"{key}.", {})
        for item in value if isinstance(value, list) else [value]:
            for limit in _limits(hint):
                limit.check(key, item)


def _limits(hint: Any) -> list[Limit]:
    """Those of ``Annotated[X, ...]``, of ``Annotated[X, ...] | None`` and of ``list[Annotated[X, ...]]``."""
    if get_origin(hint) is Annotated:
        return list(hint.__metadata__)
    return [limit for part in get_args(hint) for limit in _limits(part)]
