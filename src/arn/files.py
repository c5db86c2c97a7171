"""Files and what is known of them by content: writes that are whole or not there at all, and digests."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from arn.errors import ArnError


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file through a hidden neighbour that is then renamed: a reader never meets half of it.

    Raises ArnError naming the path when that fails; the neighbour is removed and an older file is left as it was.
    """
    path = Path(path)
    passing = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            passing.write_bytes(data)
            os.replace(passing, path)
        except BaseException:
            passing.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ArnError(
            f"Cannot write {path}: {error.strerror or error}. Free the disk or choose another folder."
        ) from error


def digest(*parts: str | bytes) -> bytes:
    """A content hash, 20 bytes, of parts that cannot run into one another."""
    found = hashlib.blake2b(digest_size=20)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "little"))
        found.update(data)
    return found.digest()


def file_digest(path: Path) -> bytes:
    """The content hash of a file. Raises ArnError naming it when it cannot be read."""
    try:
        return digest(path.read_bytes())
    except OSError as error:
        raise ArnError(f"Cannot read {path}: {error.strerror or error}.") from error


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names for a message: the first so many, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
