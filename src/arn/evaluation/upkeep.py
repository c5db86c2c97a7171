"""What the cache holds, and keeping it small: counts by kind, pruning, and few large packs instead of many small ones.

Packs that somebody may still be writing are left alone. Whatever is cut off half-way leaves records twice, never none:
a pack is removed when what is kept of it lies in another.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arn.evaluation import packs
from arn.evaluation.cache import PACK_SIZE, Cache
from arn.evaluation.packs import Entries, PackWriter

IDLE = 600.0  # s without a new record after which the writer of a pack that was never finished is taken for dead
_FEW = 16  # small packs are merged when there are more


@dataclass(frozen=True)
class Kind:
    """The entries of a kind; times in seconds since the epoch."""

    name: str
    entries: int
    size: int  # bytes
    oldest: float
    newest: float


@dataclass(frozen=True)
class Contents:
    """What a cache holds. `size` is that of all its files, with heads, indexes and what is no longer found."""

    kinds: list[Kind]
    files: int
    size: int
    in_use: int  # packs that somebody may be writing
    former: int  # folders of an older layout, which is not read


@dataclass(frozen=True)
class _Pack:
    path: Path
    entries: Entries
    size: int
    used: float  # when it was last of use
    in_use: bool


def contents(folder: Path) -> Contents:
    """Nothing where there is no such folder."""
    there = list(_packs(folder))
    entries = np.concatenate([pack.entries for pack in there]) if there else np.zeros(0, packs.ENTRY)
    entries = entries[_newest(entries)]
    kinds = []
    for kind in np.unique(entries["kind"]):
        chosen = entries[entries["kind"] == kind]
        size = int(chosen["length"].sum(dtype=np.int64)) + packs.HEAD * len(chosen)
        made = chosen["made"] / 1e9
        kinds.append(Kind(packs.kind_name(kind), len(chosen), size, float(made.min()), float(made.max())))
    files = [pack.path for pack in there] + [packs.index_path(pack.path) for pack in there]
    sizes = [path.stat().st_size for path in files if path.exists()]
    in_use = sum(pack.in_use for pack in there)
    return Contents(sorted(kinds, key=lambda one: -one.size), len(sizes), sum(sizes), in_use, len(_former(folder)))


def prune(
    folder: Path, limit: int | None = None, older: float | None = None, kinds: tuple[str, ...] = ()
) -> tuple[int, int]:
    """Drop entries. Returns how many were dropped, and by how many bytes the cache has shrunk.

    Of some `kinds`; written more than `older` seconds ago; and then, packs longest out of use and their oldest entries
    first, until the cache has no more than `limit` bytes. What is there twice or of an older layout goes too.
    """
    before = contents(folder)
    for place in _former(folder):
        shutil.rmtree(place, ignore_errors=True)
    there = sorted(_packs(folder), key=lambda pack: -pack.used)
    if there:
        all_entries = np.concatenate([pack.entries for pack in there])
        kept = _newest(all_entries)
        if kinds:
            kept &= ~np.isin(all_entries["kind"], [kind.encode() for kind in kinds])
        if older is not None:
            kept &= all_entries["made"] >= np.uint64(max(0.0, time.time() - older) * 1e9)
        ends = np.cumsum([len(pack.entries) for pack in there])
        parts = np.split(kept, ends[:-1])
        left = None if limit is None else limit - sum(pack.size for pack in there if pack.in_use)
        for pack, wanted in zip(there, parts, strict=True):
            if not pack.in_use:
                left = _shrink(pack, wanted, left)
    after = contents(folder)
    dropped = sum(kind.entries for kind in before.kinds) - sum(kind.entries for kind in after.kinds)
    return dropped, before.size - after.size


def keep_up(cache: Cache, limit: int | None) -> tuple[int, int]:
    """At the end of a bench: few packs instead of many small ones, and no more than `limit` bytes, as `prune` does."""
    cache.close()
    merge(cache.folder)
    with suppress(OSError):
        size = sum(path.stat().st_size for path in cache.folder.iterdir() if path.is_file())
        if limit is not None and size > limit:
            return prune(cache.folder, limit)
    return 0, 0


def merge(folder: Path) -> None:
    """Make large packs of the small ones that nobody writes to, if there are many."""
    sizes: dict[Path, int] = {}
    for path in folder.glob("*.pack") if folder.is_dir() else ():
        with suppress(OSError):
            sizes[path] = path.stat().st_size
    names = sorted(path for path, size in sizes.items() if size < PACK_SIZE // 4)
    small = [pack for pack in _read_packs(names) if not pack.in_use] if len(names) > _FEW else []
    while len(small) > _FEW:
        group, size = [], 0
        while small and size < PACK_SIZE:
            group.append(small.pop())
            size += group[-1].size
        with suppress(OSError):  # a full disk, or somebody else was quicker: it stays as it is
            _rewrite(group, [np.ones(len(pack.entries), np.bool_) for pack in group])


def _shrink(pack: _Pack, kept: NDArray[np.bool_], left: int | None) -> int | None:
    """Cut a pack down to some of its entries, the newest of them that fit. Returns the room that is `left` then."""
    sizes = pack.entries["length"].astype(np.int64) + packs.HEAD + packs.ENTRY.itemsize
    if left is not None:
        order = np.argsort(pack.entries["made"], kind="stable")[::-1]
        within = np.zeros_like(kept)
        within[order] = packs.INDEX_HEAD + np.cumsum(np.where(kept[order], sizes[order], 0)) <= left
        kept = kept & within
    if not kept.all() or not len(kept):
        with suppress(OSError):
            _rewrite([pack], [kept])
    return None if left is None else left - int(sizes[kept].sum()) - packs.INDEX_HEAD * int(kept.any())


def _rewrite(group: list[_Pack], kept: list[NDArray[np.bool_]]) -> None:
    """Put what is kept of some packs, and is whole, into one, and remove them. Raises OSError."""
    folder, newest = group[0].path.parent, max(pack.used for pack in group)
    if any(wanted.any() for wanted in kept):
        merged = PackWriter(folder / f"merged-{secrets.token_hex(8)}.pack")
        try:
            for pack, wanted in zip(group, kept, strict=True):
                with pack.path.open("rb") as file:
                    for entry in pack.entries[wanted]:
                        file.seek(int(entry["offset"]))
                        merged.copy(file.read(packs.HEAD + int(entry["length"])), packs.key_of(entry))
            merged.flush()
        except OSError:
            merged.path.unlink(missing_ok=True)
            raise
        finally:
            merged.close()
        packs.set_used(merged.path, newest)
    for pack in group:
        pack.path.unlink(missing_ok=True)
        packs.index_path(pack.path).unlink(missing_ok=True)


def _packs(folder: Path) -> Iterator[_Pack]:
    return _read_packs(sorted(folder.glob("*.pack")) if folder.is_dir() else ())


def _read_packs(paths: Iterable[Path]) -> Iterator[_Pack]:
    """Those of these packs that can be read, whatever of them has an index."""
    for path in paths:
        with suppress(OSError):
            stat = path.stat()
            index = packs.read_index(path)
            entries, sealed = index.entries, index.sealed
            if index.covered < stat.st_size:
                entries = np.concatenate([entries, packs.scan(path, index.covered).entries])
            in_use = not sealed and time.time() - stat.st_mtime < IDLE
            yield _Pack(path, entries, stat.st_size, stat.st_mtime, in_use)


def _newest(entries: Entries) -> NDArray[np.bool_]:
    """Of several entries of a key, the last written."""
    chosen = np.zeros(len(entries), np.bool_)
    if len(entries):
        order = np.lexsort((entries["made"], entries["rest"], entries["prefix"]))
        ranked = entries[order]
        last = np.append(
            (ranked["prefix"][1:] != ranked["prefix"][:-1]) | (ranked["rest"][1:] != ranked["rest"][:-1]), True
        )
        chosen[order[last]] = True
    return chosen


def _former(folder: Path) -> list[Path]:
    """Folders of a file a value, as caches were before: two hexadecimal digits."""
    return [path for path in folder.glob("??") if re.fullmatch("[0-9a-f]{2}", path.name) and path.is_dir()]
