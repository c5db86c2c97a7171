"""Pack files of the cache: records one after another, and beside each pack an index of what it holds.

A record is a head and a value; its checksum covers both, so half a record, or a damaged one, is never taken for one. A
pack is written by one process only, to its end. ``NAME.index`` says what the first so many bytes of ``NAME.pack`` hold;
it is put in place by a rename, spares reading the pack to find that out, and can be missing, short or damaged: what it
does not cover is read off the heads.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arn.errors import ArnError
from arn.files import write_atomically

KEY = 20  # bytes
_MAGIC, _INDEX_MAGIC = b"ARNr", b"ARNpack1"
_HEAD = struct.Struct("<4s12s20sQI16s")  # magic, kind, key, nanoseconds since the epoch, length of the value, checksum
_UNCHECKED = _HEAD.size - 16
_INDEX_HEAD = struct.Struct("<8s16sQ?")  # magic, checksum of all that follows, bytes covered, whether that is all
HEAD, INDEX_HEAD = _HEAD.size, _INDEX_HEAD.size  # bytes

ENTRY = np.dtype(
    [("prefix", "<u8"), ("rest", "S12"), ("made", "<u8"), ("offset", "<u8"), ("length", "<u4"), ("kind", "S12")]
)
"""Of an index: the key in two parts, when it was written (ns), where its head begins, and the length of its value."""

Entries = NDArray[Any]  # of ENTRY


@dataclass(frozen=True)
class Record:
    """Where a value is, in some pack."""

    key: bytes
    kind: str
    made: int  # nanoseconds since the epoch
    offset: int
    length: int


def record_of(key: bytes, value: bytes, kind: str) -> bytes:
    """A whole record, to be appended. `key` has 20 bytes, `kind` at most 12 letters."""
    if len(key) != KEY:
        raise ValueError(f"a key has {KEY} bytes, not {len(key)}")
    head = _HEAD.pack(_MAGIC, kind.encode()[:12], key, time.time_ns(), len(value), b"")[:_UNCHECKED]
    return b"".join((head, _check(head, value), value))


def _check(*parts: bytes | memoryview) -> bytes:
    summed = hashlib.blake2b(digest_size=16)
    for part in parts:
        summed.update(part)
    return summed.digest()


def read_head(data: bytes, offset: int) -> Record | None:
    """The record whose head begins `data`, at `offset` of its pack; None where none does."""
    if len(data) < HEAD:
        return None
    magic, kind, key, made, length, _ = _HEAD.unpack_from(data)
    return Record(key, kind_name(kind), made, offset, length) if magic == _MAGIC else None


def value_of(data: bytes, key: bytes) -> bytes | None:
    """The value of a whole record (head and value); None unless it is that of this key, undamaged."""
    head = read_head(data, 0)
    if head is None or head.key != key or len(data) != HEAD + head.length:
        return None
    value = data[HEAD:]
    return value if _check(data[:_UNCHECKED], value) == data[_UNCHECKED:HEAD] else None


def kind_name(kind: Any) -> str:
    return bytes(kind).rstrip(b"\0").decode("ascii", "replace")


def entries_of(records: list[Record]) -> Entries:
    """Records as an index holds them, in their order."""
    table = np.zeros(len(records), ENTRY)
    for place, one in enumerate(records):
        prefix = int.from_bytes(one.key[:8], "big")
        table[place] = (prefix, one.key[8:], one.made, one.offset, one.length, one.kind.encode())
    return table


def key_of(entry: Any) -> bytes:
    """Of an element of `Entries`."""
    return int(entry["prefix"]).to_bytes(8, "big") + bytes(entry["rest"]).ljust(KEY - 8, b"\0")


# ---------------------------------------------------------------------------------------------------------------- files


def index_path(pack: Path) -> Path:
    return pack.with_suffix(".index")


@dataclass(frozen=True)
class Index:
    """What is known of the first `covered` bytes of a pack; `sealed`: its writer has said that nothing follows."""

    entries: Entries
    covered: int = 0
    sealed: bool = False


def write_index(pack: Path, entries: Entries, covered: int, sealed: bool) -> None:
    """Raises ArnError where it cannot be written."""
    rest = _INDEX_HEAD.pack(b"", b"", covered, sealed)[24:] + entries.tobytes()
    write_atomically(index_path(pack), _INDEX_MAGIC + _check(rest) + rest)


def read_index(pack: Path) -> Index:
    """Empty where there is none, or none that can be trusted."""
    with suppress(OSError):
        data = index_path(pack).read_bytes()
        if len(data) >= _INDEX_HEAD.size and data[:8] == _INDEX_MAGIC and _check(memoryview(data)[24:]) == data[8:24]:
            _, _, covered, sealed = _INDEX_HEAD.unpack_from(data)
            return Index(np.frombuffer(data, ENTRY, offset=_INDEX_HEAD.size), covered, sealed)
    return Index(np.zeros(0, ENTRY))


def scan(pack: Path, start: int = 0) -> Index:
    """What a pack holds from `start` on, read off its heads: up to its end, or to the first half-written record.

    Raises OSError where the pack cannot be read.
    """
    records: list[Record] = []
    with pack.open("rb", buffering=0) as file:
        size, at = os.fstat(file.fileno()).st_size, start
        while head := read_head(os.pread(file.fileno(), HEAD, at), at):
            after = at + HEAD + head.length
            if after > size:
                break
            records.append(head)
            at = after
    return Index(entries_of(records), at)


class PackWriter:
    """A pack of one's own, made with the first record. Its index is written when it is closed."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where it cannot be made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.process = os.getpid()
        self.size = 0
        self.records: dict[bytes, Record] = {}
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)

    @property
    def usable(self) -> bool:
        """False in a fork of the process that made it, and once somebody has removed it."""
        try:
            return self.process == os.getpid() and os.fstat(self._file).st_nlink > 0
        except OSError:  # a network file system says so in this way
            return False

    def append(self, key: bytes, value: bytes, kind: str) -> None:
        """Raises OSError, and then the pack is as it was."""
        self._append(record_of(key, value, kind))

    def copy(self, data: bytes, key: bytes) -> None:
        """Append a whole record as it is, unless it is damaged. Raises OSError, as :meth:`append`."""
        if value_of(data, key) is not None:
            self._append(data)

    def _append(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:] if written else data)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
            raise
        self.size = os.lseek(self._file, 0, os.SEEK_CUR)  # where it ended, whoever has tampered with the pack
        head = read_head(data[:HEAD], self.size - len(data))
        assert head is not None
        self.records[head.key] = head

    def flush(self) -> None:
        """Return when all of it is on the disk. Raises OSError where it cannot be put there."""
        os.fsync(self._file)

    def close(self) -> Entries:
        """Its entries. What a full disk or a network keeps from being written is found missing by its readers."""
        entries = entries_of(list(self.records.values()))
        if self.usable:
            with suppress(ArnError):
                write_index(self.path, entries, self.size, sealed=True)
        with suppress(OSError):
            os.close(self._file)
        return entries


def set_used(pack: Path, when: float) -> None:
    """Note when a pack was last of use, in seconds since the epoch."""
    os.utime(pack, (when, when))
