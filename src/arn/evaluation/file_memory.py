"""What was found out about files, kept in the cache: a second bench need not read a million maps to know them again."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.files import digest

_SETTLED = 10.0  # s; a file changed later than this may change again without its times telling, and is not remembered
_FOLDERS = 8  # in memory
_UNSAVED = 5000  # files of a folder that are found out about before they are saved

Facts = dict[str, list[Any]]  # by name of a file: size, times of change (ns) of content and inode, inode, {what: fact}


class FileMemory:
    """A memory for `arn.files.remembering`: a record a folder, which says what is known of each of its files.

    A file counts as the same as long as its size, inode and both times of change are: no program can set the second of
    the times. Leaving it as a context saves what is new.
    """

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self._folders: OrderedDict[str, Facts] = OrderedDict()
        self._lock = threading.Lock()
        self._new: dict[str, int] = {}  # how many files of a folder are not saved yet

    def __enter__(self) -> FileMemory:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ArnError):  # a full disk: they are read again, then
            for folder in list(self._folders):
                self._save(folder)

    def recall(self, path: Path, what: str, find_out: Callable[[], Any]) -> Any:
        with self._lock:
            return self._recall(path, what, find_out)

    def _recall(self, path: Path, what: str, find_out: Callable[[], Any]) -> Any:
        sign = _sign(path)
        if sign is None:
            return find_out()
        above, name = os.path.split(path)
        facts = self._facts(above)
        known = facts.get(name)
        same = known is not None and known[:4] == sign
        if known is not None and same and what in known[4]:
            return known[4][what]
        value = find_out()
        if time.time() - max(sign[1:3]) / 1e9 > _SETTLED and _sign(path) == sign:
            facts[name] = [*sign, {**(known[4] if known is not None and same else {}), what: value}]
            self._new[above] = self._new.get(above, 0) + 1
            if self._new[above] >= _UNSAVED:
                self._save(above)
        return value

    def _facts(self, folder: str) -> Facts:
        if folder not in self._folders:
            stored = self.cache.get(_key(folder))
            self._folders[folder] = {} if stored is None else json.loads(stored)
            if len(self._folders) > _FOLDERS:
                self._save(next(iter(self._folders)))
                self._folders.popitem(last=False)
        self._folders.move_to_end(folder)
        return self._folders[folder]

    def _save(self, folder: str) -> None:
        if self._new.pop(folder, 0):
            self.cache.put(_key(folder), json.dumps(self._folders[folder]).encode(), "files")


def _key(folder: str) -> bytes:
    return digest("files", os.path.abspath(folder))


def _sign(path: Path) -> list[int] | None:
    """What the file system says of a file; None where there is none."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
