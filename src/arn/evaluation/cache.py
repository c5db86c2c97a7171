"""What a bench has computed, kept by content: maps, per-picture scores, intervals, drawn figures.

A key is the hash of everything that the value depends on, so nothing is ever out of date, only unused; the folder can
be deleted at any time. Any number of processes and machines may read and write it at once: a value is one file, put in
place by a rename, and one that does not match its own checksum (a killed machine, a full disk) counts as absent.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from arn.errors import ArnError
from arn.files import digest


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
        place = self._place(key)
        passing = place.with_name(f".{secrets.token_hex(6)}.tmp")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                passing.write_bytes(digest(value) + value)
                os.replace(passing, place)
            except BaseException:
                passing.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise ArnError(
                f"cache={self.folder}: cannot write there ({error.strerror or error}); free the disk, name another "
                "folder, or set cache=null"
            ) from error

    def _place(self, key: bytes) -> Path:
        name = key.hex()
        return self.folder / name[:2] / name[2:]
