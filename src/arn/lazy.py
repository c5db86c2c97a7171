"""Names that a package offers and loads on first use, so that importing it does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attach(
    package: str, homes: Mapping[str, str], *others: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Args:
        homes: module of the package -> the names in it, with spaces between; none for the module itself.
        others: names that the package has anyway.
    """
    places = {name: module for module, names in homes.items() for name in names.split() or [module]}
    names = sorted((*places, *others))

    def load(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{places[name]}")
        return module if name == places[name] else getattr(module, name)

    return load, lambda: names, names
