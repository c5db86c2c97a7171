"""What a bench has computed, kept by content: maps, per-picture scores, intervals, drawn figures.

A key is the hash of everything that the value depends on, so nothing is ever out of date, only unused; the folder can
be deleted at any time. Any number of processes and machines may read and write it at once, over a network file system
too: each appends to packs of its own (`arn.evaluation.packs`), and nothing is locked. A record that does not match its
checksum (a killed machine, a full disk) counts as absent. What another machine is writing is seen when its pack is full
or closed; until then it may be computed twice.

No library does this: LMDB and SQLite's write-ahead log, which diskcache builds on, need memory that all writers share,
so neither works over a network. SQLite with a rollback journal does where file locks can be relied on, but lets one
writer in at a time, and shrinks only by writing its file anew.
"""

from __future__ import annotations

import errno
import json
import multiprocessing.util
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arn.errors import ArnError
from arn.evaluation import packs
from arn.evaluation.packs import Entries, Index, PackWriter

PACK_SIZE = 256 << 20  # bytes after which a writer begins another pack
PACK_RECORDS = 1 << 16  # or records: what is known of one's own pack is in memory
_OPEN = 32  # packs kept open for reading
_TOUCHED = 3600.0  # s; the time of a pack's last use is kept as exactly as this


class Cache:
    """Bytes by key (20 bytes, as `arn.files.digest` gives), in pack files of `folder`.

    May be sent to another process, which then reads and writes the same folder through one object of its own.
    """

    def __init__(self, folder: str | Path, pack_size: int = PACK_SIZE, family: str | None = None) -> None:
        """`family`: what the packs of this process and of those that it is sent to are called by."""
        self.folder = Path(folder)
        self.pack_size = pack_size
        self._family = family or secrets.token_hex(4)
        self._sent = family is not None
        self._lock = threading.RLock()
        self._writer: PackWriter | None = None
        self._packs: dict[str, int] = {}  # name -> bytes of it that are known
        self._names: list[str] = []  # by number
        self._entries, self._pack = np.zeros(0, packs.ENTRY), np.zeros(0, np.uint32)  # sorted by prefix
        self._prefix: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._files: OrderedDict[str, int] = OrderedDict()
        self._used: set[str] = set()
        self._looked = False

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_this_process, (str(self.folder), self.pack_size, self._family)

    def get(self, key: bytes) -> bytes | None:
        with self._lock:
            writer = self._writer
            if writer is not None and (own := writer.records.get(key)) is not None:
                value = self._read(writer.path.name, key, own.offset, own.length)
                if value is not None:
                    return value
            for name, offset, length in self._places(key):
                value = self._read(name, key, offset, length)
                if value is not None:
                    return value
            return None

    def __contains__(self, key: bytes) -> bool:
        """Whether there is a record of that key; only `get` tells whether it is whole."""
        with self._lock:
            return (self._writer is not None and key in self._writer.records) or bool(self._places(key))

    def put(self, key: bytes, value: bytes, kind: str = "other") -> None:
        """`kind`: of at most 12 letters, for those who look at the cache. Raises ArnError when the folder cannot be
        written to."""
        with self._lock:
            try:
                try:
                    self._writable().append(key, value, kind)
                except OSError as error:
                    if error.errno != errno.ESTALE:  # the pack was removed on another machine: begin another
                        raise
                    self._seal()
                    self._writable().append(key, value, kind)
            except OSError as error:
                raise ArnError(
                    f"cache={self.folder}: cannot write there ({error.strerror or error}); free the disk, name another "
                    "folder, or set cache=null"
                ) from error

    def kept(self, key: bytes, compute: Callable[[], Any], kind: str = "other") -> Any:
        """What stands under a key as JSON; where nothing does, what is computed now, and put there."""
        stored = self.get(key)
        if stored is not None:
            return json.loads(stored)
        value = compute()
        self.put(key, json.dumps(value).encode(), kind)
        return value

    def refresh(self) -> None:
        """Take note of what others have written: all packs with an index, and those that processes of this bench write.

        At the first time whatever else lies there, too, which is what killed processes left.
        """
        with self._lock:
            found = self._listed()
            self._forget([name for name in self._packs if name not in found])
            news = []
            for name, size in found.items():
                if (known := self._packs.get(name, 0)) < size:
                    index = self._news(name, known, size)
                    self._packs[name] = max(index.covered, known)
                    news.append((name, index.entries))
            self._add(news)
            self._looked = True

    def close(self) -> None:
        """Finish the own pack and note which packs were of use. The cache can still be used, with another pack."""
        with self._lock:
            self._seal()
            for name in self._used:
                with suppress(OSError):
                    if time.time() - (self.folder / name).stat().st_mtime > _TOUCHED:
                        packs.set_used(self.folder / name, time.time())
            self._used.clear()
            while self._files:
                os.close(self._files.popitem()[1])

    # ------------------------------------------------------------------------------------------------------- writing

    def _writable(self) -> PackWriter:
        """The own pack, another if it is full or was removed. Raises OSError."""
        writer = self._writer
        full = writer is not None and (writer.size >= self.pack_size or len(writer.records) >= PACK_RECORDS)
        if writer is not None and (full or not writer.usable):
            self._seal()
            writer = None
        if writer is None:
            name = f"{self._family}-{secrets.token_hex(8)}.pack"
            writer = self._writer = PackWriter(self.folder / name)
        return writer

    def _seal(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if not writer.usable:
            self._drop_file(writer.path.name)
            return
        self._packs[writer.path.name] = writer.size
        self._add([(writer.path.name, writer.close())])

    # ------------------------------------------------------------------------------------------------------- reading

    def _places(self, key: bytes) -> list[tuple[str, int, int]]:
        """Pack, offset and length of what is known under a key, the last written first."""
        if not self._looked:
            self.refresh()
        prefix = np.uint64(int.from_bytes(key[:8], "big"))
        at = int(self._prefix.searchsorted(prefix))
        found = []
        while at < len(self._prefix) and self._prefix[at] == prefix:
            one = self._entries[at]
            if packs.key_of(one) == key:
                found.append((int(one["made"]), self._names[self._pack[at]], int(one["offset"]), int(one["length"])))
            at += 1
        return [place for _, *place in sorted(found, reverse=True)]  # type: ignore[misc]

    def _read(self, name: str, key: bytes, offset: int, length: int) -> bytes | None:
        """None where it is damaged, or gone: another process may have merged or pruned its pack."""
        try:
            data = os.pread(self._opened(name), packs.HEAD + length, offset)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                return None
            self._forget([name])
            self.refresh()
            found = (self._read(other, key, *place) for other, *place in self._places(key))
            return next((value for value in found if value is not None), None)
        self._used.add(name)
        return packs.value_of(data, key)

    def _opened(self, name: str) -> int:
        if name not in self._files:
            self._files[name] = os.open(self.folder / name, os.O_RDONLY)
            if len(self._files) > _OPEN:
                os.close(self._files.popitem(last=False)[1])
        self._files.move_to_end(name)
        return self._files[name]

    def _listed(self) -> dict[str, int]:
        """Packs of the folder, and their bytes. The own one is not among them."""
        own, found = None if self._writer is None else self._writer.path.name, {}
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.folder) as there:
            for one in there:
                if one.name.endswith(".pack") and one.name != own:
                    with suppress(OSError):
                        found[one.name] = one.stat().st_size
        return found

    def _news(self, name: str, known: int, size: int) -> Index:
        """What a pack holds from `known` on, as far as it is to be known."""
        place = self.folder / name
        index = packs.read_index(place)
        if known:
            index = Index(index.entries[index.entries["offset"] >= known], max(index.covered, known))
        ours = name.startswith(self._family)
        if index.covered >= size or not (ours or (not self._looked and not self._sent)):
            return index
        try:
            more = packs.scan(place, index.covered)
        except OSError:
            return index
        entries = np.concatenate([index.entries, more.entries])
        if not ours and len(more.entries):  # of a killed process, or of one that goes on: whoever comes next is spared
            with suppress(ArnError):
                packs.write_index(place, entries, more.covered, sealed=False)
        return Index(entries, more.covered)

    def _add(self, news: list[tuple[str, Entries]]) -> None:
        news = [(name, entries) for name, entries in news if len(entries)]
        if not news:
            return
        numbers = []
        for name, entries in news:
            if name not in self._names:
                self._names.append(name)
            numbers.append(np.full(len(entries), self._names.index(name), np.uint32))
        together = np.concatenate([self._entries, *(entries for _, entries in news)])
        number = np.concatenate([self._pack, *numbers])
        order = np.argsort(together["prefix"], kind="stable")
        self._entries, self._pack = together[order], number[order]
        self._prefix = np.ascontiguousarray(self._entries["prefix"])

    def _forget(self, names: list[str]) -> None:
        """Packs that are there no more."""
        numbers = []
        for name in names:
            self._packs.pop(name, None)
            self._drop_file(name)
            if name in self._names:
                numbers.append(self._names.index(name))
        if numbers:
            kept = ~np.isin(self._pack, numbers)
            self._entries, self._pack = self._entries[kept], self._pack[kept]
            self._prefix = np.ascontiguousarray(self._entries["prefix"])

    def _drop_file(self, name: str) -> None:
        file = self._files.pop(name, None)
        if file is not None:
            os.close(file)


_shared: dict[tuple[str, str], Cache] = {}


def _in_this_process(folder: str, pack_size: int, family: str) -> Cache:
    """The object of a process for a cache that was sent to it; its pack is finished when the process ends."""
    cache = _shared.get((folder, family))
    if cache is None:
        cache = _shared[folder, family] = Cache(folder, pack_size, family)
        multiprocessing.util.Finalize(cache, cache.close, exitpriority=1)
    return cache
