"""Folders of maps as people keep them: METHOD/DATASET, DATASET/METHOD, or a folder a method for one data set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from arn.data.catalogue import CATALOGUE, PLAIN, data_root
from arn.data.layout import find_dataset
from arn.data.map_names import NEARLY_ALL, fold, map_files, match_names
from arn.errors import ArnError
from arn.files import listed

DEEPEST = 4  # folders below the one that is named
_GENERIC = {"map", "maps", "result", "results", "prediction", "predictions", "pred", "preds", "saliency", "output"}


@dataclass(frozen=True)
class MapTree:
    """What lies below a folder.

    `folders`: method -> data set -> folder. `passed_over`: folders with pictures that are no maps of a data set, and
    why, a line each.
    """

    folders: dict[str, dict[str, Path]] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)

    @property
    def datasets(self) -> list[str]:
        return list(dict.fromkeys(name for of_method in self.folders.values() for name in of_method))


def find_tree(root: Path, datasets: Sequence[str] = ()) -> MapTree:
    """Find maps below a folder, by the names of its folders, without regard to case and punctuation.

    Args:
        datasets: those asked for, as names or folders; none: all of the catalogue and of the data root. A folder that
            is called as none of them is taken for the maps of the one asked-for set whose stems its files have.

    Raises:
        ArnError: no such folder, no maps in it, or two folders for one method and data set.
    """
    if not root.is_dir():
        raise ArnError(f"maps={root}: there is no such folder")
    known = {fold(Path(one).name): one for one in (*_known_datasets(), *datasets)}
    asked = {fold(Path(one).name) for one in datasets}
    found: list[tuple[tuple[str, ...], str, Path]] = []
    tree, at_hand = MapTree(), cache(_AtHand.of)
    above = _called_above(root, known)
    for folder in _with_maps(root):
        parts = folder.relative_to(root).parts
        place = next((at for at in reversed(range(len(parts))) if fold(parts[at]) in known), None)
        given = above if place is None else known[fold(parts[place])]
        if given is not None and (place is not None or parts):
            name, rest = Path(given).name, parts if place is None else (*parts[:place], *parts[place + 1 :])
            if asked and fold(name) not in asked:
                tree.passed_over.append(f"{folder}: {name} is not asked for")
            elif folder.resolve() not in at_hand(given).folders:
                found.append((rest or (root.resolve().name,), name, folder))
            continue
        fits = [Path(one).name for one in datasets if _fits(folder, at_hand(one))]
        if len(fits) == 1:
            found.append((parts or (root.resolve().name,), fits[0], folder))
        else:
            why = f"its files are named as those of {' and of '.join(fits)}" if fits else "called as no data set"
            tree.passed_over.append(f"{folder}: {why}")
    if not found:
        told = f"; passed over: {listed(tree.passed_over, 3)}" if tree.passed_over else ""
        raise ArnError(
            f"maps={root}: found no maps there. Expected METHOD/DATASET/*.png or DATASET/METHOD/*.png with a data set "
            f"called as {listed([Path(one).name for one in datasets] or list(CATALOGUE), 8)}{told}"
        )
    for method, name, folder in _short_names(found):
        of_method = tree.folders.setdefault(method, {})
        if name in of_method:
            raise ArnError(
                f"maps={root}: {of_method[name]} and {folder} are both of {method} on {name}; name one of them"
            )
        of_method[name] = folder
    return tree


def _called_above(root: Path, known: Mapping[str, str]) -> str | None:
    """The data set that the searched folder is called as, or the one above it: DATASET, DATASET/maps."""
    whole = root.resolve()
    names = [whole.name, *([whole.parent.name] if fold(whole.name) in _GENERIC else [])]
    return next((known[fold(name)] for name in names if fold(name) in known), None)


def _known_datasets() -> Iterable[str]:
    root = data_root()
    own = [path.name for path in sorted(root.iterdir()) if (path / PLAIN.images).is_dir()] if root.is_dir() else []
    return [*own, *CATALOGUE]


def _with_maps(root: Path) -> list[Path]:
    """Folders that hold maps, or pictures, directly."""
    found, seen = [], set()
    for place, below, _ in os.walk(root, followlinks=True):
        folder = Path(place)
        real = folder.resolve()
        deep = len(folder.relative_to(root).parts)
        # A link that leads above itself is not followed again.
        below[:] = (
            sorted(name for name in below if not name.startswith(".")) if deep < DEEPEST and real not in seen else []
        )
        if real not in seen and map_files(folder):
            found.append(folder)
        seen.add(real)
    return found


class _AtHand(NamedTuple):
    """A data set below the data root, or asked for; empty where it is not there."""

    stems: frozenset[str]
    folders: frozenset[Path]  # of its pictures and masks

    @classmethod
    def of(cls, dataset: str) -> _AtHand:
        try:
            pairs = find_dataset(dataset)
        except ArnError:
            return cls(frozenset(), frozenset())
        files = (path for pair in pairs for path in (pair.picture, pair.mask) if path is not None)
        return cls(frozenset(pair.stem for pair in pairs), frozenset(path.parent.resolve() for path in files))


def _fits(folder: Path, dataset: _AtHand) -> bool:
    """Whether the files of a folder are named as the pictures of a data set."""
    stems = dataset.stems
    if not stems or folder.resolve() in dataset.folders:
        return False
    try:
        named = match_names(folder, stems)
    except ArnError:  # of this set, but in two ways: looking for its maps will tell
        return True
    return len(named.by_stem) >= NEARLY_ALL * max(len(stems), len(named.by_stem) + len(named.extra))


def _short_names(found: Sequence[tuple[tuple[str, ...], str, Path]]) -> list[tuple[str, str, Path]]:
    """Methods by what tells them apart: what all names begin or end with (`maps/`, `/results`) is left out."""
    names = [list(rest) for rest, _, _ in found]
    if len({rest for rest, _, _ in found}) == 1:
        names = [[part for part in name if fold(part) not in _GENERIC] or name for name in names]
    else:
        for end in (0, -1):
            while min(map(len, names)) > 1 and len({name[end] for name in names}) == 1:
                for name in names:
                    del name[end]
    return [("/".join(name), dataset, folder) for name, (_, dataset, folder) in zip(names, found, strict=True)]
