"""arn bench cache                          what the cache of benches holds: entries, sizes and ages, by kind
arn bench cache prune limit=5GB          drop what is longest out of use until no more than 5 GB are left
arn bench cache prune older=30d          drop what was written more than 30 days ago (h: hours, w: weeks)
arn bench cache prune kind=thumbnail     drop a kind of the list; several: kind=[thumbnail,figure]
arn bench cache prune kind=all           drop all

cache=FOLDER names another cache than that of conf/bench.yaml. What was dropped is computed again when a bench needs it.
Packs that a running bench may be writing are left alone.
"""

from __future__ import annotations

import time
from pathlib import Path

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from arn.config import config_dir
from arn.config.units import parse_size, parse_time, size_told, time_told
from arn.errors import ArnError
from arn.evaluation.upkeep import Contents, contents, prune

console = Console(highlight=False, soft_wrap=True)
_KEYS = ("limit", "older", "kind", "cache")


def main(arguments: list[str]) -> int:
    """Raises ArnError with the usage for anything that is not in it."""
    if {"--help", "-h", "help"} & set(arguments):
        print((__doc__ or "").strip())
        return 0
    pruning = arguments[:1] == ["prune"]
    given = dict(one.partition("=")[::2] for one in arguments[pruning:])
    if not all("=" in one for one in arguments[pruning:]) or not given.keys() <= set(_KEYS if pruning else ["cache"]):
        raise ArnError(f"usage:\n{(__doc__ or '').strip()}")
    folder = Path(given.pop("cache", "") or OmegaConf.load(config_dir() / "bench.yaml").cache)
    if pruning:
        if not given:
            raise ArnError("arn bench cache prune: say what to drop: limit=5GB, older=30d or kind=NAME; kind=all: all")
        drop(folder, given)
    show(folder, contents(folder))
    return 0


def drop(folder: Path, given: dict[str, str]) -> None:
    """Raises ArnError for a value that is none, and for an unknown kind, before anything is dropped."""
    limit = parse_size("limit", given["limit"]) if "limit" in given else None
    older = parse_time("older", given["older"]) if "older" in given else None
    there = [kind.name for kind in contents(folder).kinds]
    kinds = tuple(name.strip() for name in given.get("kind", "").strip("[]").split(",") if name.strip())
    kinds = tuple(there) if kinds == ("all",) else kinds
    unknown = [name for name in kinds if name not in there]
    if unknown:
        raise ArnError(f"kind={','.join(unknown)}: the cache holds {', '.join(there) or 'nothing'}")
    entries, size = prune(folder, limit, older, kinds)
    console.print(f"dropped {entries:,} entries, {size_told(max(0, size))}")


def show(folder: Path, held: Contents) -> None:
    entries = sum(kind.entries for kind in held.kinds)
    console.print(f"{folder}: {entries:,} entries in {held.files:,} files, {size_told(held.size)}")
    if held.in_use:
        console.print(f"{held.in_use} packs may still be written to by a running bench")
    if held.former:
        console.print(f"{held.former} folders of an older version's cache, which is not read: any prune removes them")
    if not held.kinds:
        return
    table = Table("kind")
    for column in ("entries", "size", "oldest", "newest"):
        table.add_column(column, justify="right")
    for kind in held.kinds:
        ages = [time_told(time.time() - when) for when in (kind.oldest, kind.newest)]
        table.add_row(kind.name, f"{kind.entries:,}", size_told(kind.size), *ages)
    console.print(table)
