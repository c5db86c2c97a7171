"""What a bench has computed, kept by content: maps, per-picture scores, intervals, drawn figures.

A key is the hash of everything that the value depends on, so nothing is ever out of date, only unused; the folder can
be deleted at any time. Any number of processes and machines may read and write it at once: a value is one file, put in
place by a rename, and one that does not match its own checksum (a killed machine, a full disk) counts as absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arn.errors import ArnError
from arn.files import digest, write_atomically


class Cache:
    """Bytes by key, in files below `folder`."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def get(self, key: bytes) -> bytes | None:
        try:
            data = self._place(key).read_bytes()
        except OSError:
            return None
        check, value = data[:20], data[20:]
        return value if check == digest(value) else None

    def put(self, key: bytes, value: bytes) -> None:
        """Raises ArnError when the folder cannot be written to."""
        try:
            write_atomically(self._place(key), digest(value) + value)
        except ArnError as error:
            reason = getattr(error.__cause__, "strerror", None) or error.__cause__
            raise ArnError(
                f"cache={self.folder}: cannot write there ({reason}); free the disk, name another folder, or set "
                "cache=null"
            ) from error

    def kept(self, key: bytes, compute: Callable[[], Any]) -> Any:
        """What stands under a key as JSON; where nothing does, what is computed now, and put there."""
        stored = self.get(key)
        if stored is not None:
            return json.loads(stored)
        value = compute()
        self.put(key, json.dumps(value).encode())
        return value

    def _place(self, key: bytes) -> Path:
        name = key.hex()
        return self.folder / name[:2] / name[2:]
