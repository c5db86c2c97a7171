"""The measures: a file each, with a `MEASURE`; whatever file lies here is found, and no list names it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

from arn.errors import ArnError
from arn.metrics.measure import Label, Measure, Score


def find() -> dict[str, Measure]:
    """Every measure of this package by name, in the order of a row."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    measures: list[Measure] = sorted((module.MEASURE for module in modules), key=lambda one: (one.order, one.name))
    return {one.name: one for one in measures}


REGISTRY = find()

MEASURES: tuple[str, ...] = tuple(name for name, one in REGISTRY.items() if one.usual)
"""``all``: those that are not so slow that they wait to be asked for by name."""


def check_measures(measures: Iterable[str] | str | None) -> tuple[str, ...]:
    """`measures` without repetition, in the order of a row; the usual ones for ``all``, also in a list, or None.

    Raises ArnError for an unknown one, or for none.
    """
    given = ("all",) if measures is None else (measures,) if isinstance(measures, str) else tuple(measures)
    usual = [name for name, one in REGISTRY.items() if one.usual]
    wanted = [name for one in given for name in (usual if one == "all" else [one])]
    unknown = [name for name in wanted if name not in REGISTRY]
    if unknown or not wanted:
        raise ArnError(
            f"Measures are all, or some of {', '.join(REGISTRY)}, not {', '.join(map(str, unknown)) or 'none'}."
        )
    return tuple(name for name in REGISTRY if name in wanted)


def of_scores(names: Iterable[str]) -> list[str]:
    """The measures that give these scores."""
    wanted = set(names)
    return [measure for measure, one in REGISTRY.items() if wanted & {score.name for score in one.scores}]


def scores(measures: Iterable[str] | None = None) -> dict[str, Score]:
    """Every score of a data set that these measures give, by name; of all unless given."""
    chosen = REGISTRY if measures is None else measures
    return {score.name: score for measure in chosen for score in REGISTRY[measure].scores}


def listed(measures: Iterable[str] | None = None) -> list[str]:
    """The scores that tables show, in their order."""
    given = scores(measures)
    return sorted((name for name, one in given.items() if one.listed), key=lambda name: given[name].label.order)


def per_picture(measures: Iterable[str]) -> list[str]:
    """The columns that are shown picture by picture, in the order of tables.

    A data set's max F has no value of a single picture, whose own maximum stands for it.
    """
    shown = _labelled(measures, 1)
    return sorted(shown, key=lambda name: shown[name].order)


def labels() -> dict[str, Label]:
    """The label of every score and of every column that is shown picture by picture, in the order of tables."""
    shown = {name: score.label for name, score in scores().items()} | _labelled(REGISTRY, 1)
    return dict(sorted(shown.items(), key=lambda item: item[1].order))


def curve_labels() -> dict[str, Label]:
    """The label of every curve that is shown against the threshold."""
    return _labelled(REGISTRY, 256)


def _labelled(measures: Iterable[str], width: int) -> dict[str, Label]:
    columns = [column for measure in measures for column in REGISTRY[measure].columns]
    return {column.name: column.label for column in columns if column.label and column.width == width}
