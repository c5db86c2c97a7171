"""The file of methods that ``arn bench scan`` writes: what maps there are, for a person to look through."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from arn.data.map_names import map_files
from arn.data.sources import Source, find_source
from arn.errors import ArnError
from arn.evaluation.map_tree import find_tree
from arn.inference.map_folder import FoundMaps, MapFolder, Place


def methods_file(root: Path, datasets: Sequence[str], beside: Path) -> str:
    """YAML for ``from=`` of the maps below a folder, with what was found in comments.

    Args:
        datasets: those asked for; none: all that folders are called as.
        beside: the folder that the file is to lie in. Where `root` is not absolute, folders are given from there.

    Raises ArnError where there are no maps, or names that can be read in two ways.
    """
    tree = find_tree(root.expanduser(), datasets)
    given = {Path(name).name: name for name in datasets}
    sources: dict[str, Source | None] = {}
    for name in tree.datasets:
        try:
            sources[name] = find_source(given.get(name, name))
        except ArnError:
            sources[name] = None  # its pictures are not here
    here = [given.get(name, name) for name, source in sources.items() if source is not None]
    away = [name for name, source in sources.items() if source is None]
    lines = [
        f"# arn bench scan {shlex.quote(str(root))}: what is below that folder. Score it: arn bench from=THIS_FILE"
    ]
    lines += [f"# passed over: {line}" for line in tree.passed_over]
    lines += [f"# not below the data root: {', '.join(away)}"] if away else []
    lines += [f"datasets: [{', '.join(map(_quoted, here))}]", "maps:"]
    for method, of_method in tree.folders.items():
        lines.append(f"  {_quoted(method)}:")
        for name, folder in of_method.items():
            shown = folder if root.is_absolute() else Path(os.path.relpath(folder, beside))
            place, comment = _place(method, name, folder, sources[name])
            parts = [f"folder: {_quoted(str(shown))}", *(f"{key}: {value}" for key, value in place.items())]
            lines.append(f"    {_quoted(name)}: {{{', '.join(parts)}}} # {comment}")
    return "\n".join(lines) + "\n"


def _place(method: str, dataset: str, folder: Path, source: Source | None) -> tuple[dict[str, str], str]:
    """The options that a folder wants, and what is in it."""
    if source is None:
        return {}, f"{len(map_files(folder)):,} files, not looked at"
    found = MapFolder(method, str(folder)).find(dataset, source)
    options: dict[str, str] = {}
    if found.ending:
        options["suffix"] = _quoted(found.ending)
    if found.misfits:
        options["resize"] = "bilinear"
        found = MapFolder(method, Place(str(folder), resize="bilinear")).find(dataset, source)
    return options, f"{len(found.files):,} of {len(source.stems):,} pictures: {_contents(found)}"


def _contents(found: FoundMaps) -> str:
    return found.told().partition(f", in {found.folder}")[0]


def _quoted(text: str) -> str:
    """As YAML reads it back: bare where that is safe."""
    safe = text.replace("-", "").replace("_", "").replace("/", "").replace(".", "").replace("+", "")
    plain = (
        safe.isalnum() and text[0].isalpha() and text.lower() not in ("true", "false", "null", "yes", "no", "on", "off")
    )
    return text if plain else json.dumps(text, ensure_ascii=False)
