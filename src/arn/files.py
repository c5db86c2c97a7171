"""Files and what is known of them by content: files and folders that are whole or not there at all, and digests."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from arn.errors import ArnError

ABANDONED = 86400.0  # s after which what a command began to write is taken for that of a killed one
_PASSING = re.compile(r"\..+\.arn[0-9a-f]{8}\.(tmp|part\.\w+)")


def _passing_name(name: str, end: str = "tmp") -> str:
    """Of a hidden neighbour that takes its place when it is whole."""
    return f".{name}.arn{secrets.token_hex(4)}.{end}"


def remove_abandoned(folder: Path) -> None:
    """Take away what commands that were killed more than a day ago had begun to write here."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if _PASSING.fullmatch(path.name) and time.time() - path.lstat().st_mtime > ABANDONED:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file through a hidden neighbour that is then renamed: a reader never meets half of it.

    Raises ArnError naming the path when that fails; the neighbour is removed and an older file is left as it was.
    """
    passing = path.with_name(_passing_name(path.name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        passing.write_bytes(data)
        os.replace(passing, path)
    except OSError as error:
        raise ArnError(
            f"Cannot write {path}: {error.strerror or error}. Free the disk or choose another folder."
        ) from error
    finally:
        with suppress(OSError):  # moved, if all went well
            passing.unlink()


def make_folder(folder: Path) -> None:
    """Raises ArnError where ``output=`` names a folder that cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArnError(f"output={folder} cannot be made: {error.strerror}") from error


def check_unclaimed(folder: Path, names: Iterable[str], ours: bool, key: str) -> None:
    """Raises ArnError where files of these names, in any case, lie in a folder that is not ``ours``.

    Args:
        ours: this program wrote what is there, and may write it anew.
        key: that named the folder, for the message.
    """
    wanted = {name.casefold() for name in names}
    there = (
        [] if ours or not folder.is_dir() else sorted(p.name for p in folder.iterdir() if p.name.casefold() in wanted)
    )
    if there:
        raise ArnError(f"{key}={folder} holds {listed(there)} of something else; name another folder")


def remove_if_empty(folder: Path) -> None:
    """Remove a folder in which nothing was written, and the two above it if that leaves them empty."""
    with suppress(OSError):
        for place in (folder, *folder.parents[:2]):
            place.rmdir()


@contextmanager
def _told_in_one_line(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArnError(
            f"output={output} cannot be written: {error.strerror or error}; free the disk or name another folder"
        ) from error


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A folder to fill beside ``output`` that takes its place at the end; on an error or a kill nothing is changed.

    Raises ArnError where there is no room, or no right to write.
    """
    place = output.resolve()
    made = [folder for folder in place.parents if not folder.exists()]
    passing = place.with_name(_passing_name(place.name))
    remove_abandoned(place.parent)
    with _told_in_one_line(output):
        try:
            passing.mkdir(parents=True)
            yield passing
            _put_in_place(passing, place)
        except BaseException:
            shutil.rmtree(passing, ignore_errors=True)
            for folder in made:
                with suppress(OSError):  # not empty: somebody else's by now
                    folder.rmdir()
            raise


def _put_in_place(passing: Path, place: Path) -> None:
    """Give a folder another's name, and take the other away."""
    try:
        os.replace(passing, place)
    except OSError:
        if not place.is_dir():
            raise
        former = place.with_name(_passing_name(place.name))
        if _swap(passing, place):
            os.replace(passing, former)
        else:  # for a moment there is neither
            os.replace(place, former)
            try:
                os.replace(passing, place)
            except OSError:
                os.replace(former, place)
                raise
        shutil.rmtree(former, ignore_errors=True)


def _swap(one: Path, other: Path) -> bool:
    """Exchange two folders at one moment; False where the system has no call for that, as Linux has."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    current, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(current, os.fsencode(one), current, os.fsencode(other), exchange) == 0)


@contextmanager
def new_file(output: Path) -> Iterator[Path]:
    """A hidden neighbour of ``output``, to write to, that takes its place at the end; on an error nothing is left.

    Raises ArnError where there is no room, or no right to write.
    """
    made = [folder for folder in output.parents if not folder.exists()]
    passing = output.with_name(_passing_name(output.stem, f"part{output.suffix}"))
    remove_abandoned(output.parent)
    with _told_in_one_line(output):
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            yield passing
            os.replace(passing, output)
        except BaseException:
            with suppress(OSError):
                passing.unlink(missing_ok=True)
                for folder in made:
                    folder.rmdir()
            raise


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

    def read() -> str:
        try:
            return digest(path.read_bytes()).hex()
        except OSError as error:
            raise ArnError(f"Cannot read {path}: {error.strerror or error}.") from error

    return bytes.fromhex(known(path, "digest", read))


class Memory(Protocol):
    """What was found out about files before, as long as the file system says that they are the same."""

    def recall(self, path: Path, what: str, find_out: Callable[[], Any]) -> Any: ...


_memory: Memory | None = None


@contextmanager
def remembering(memory: Memory) -> Iterator[None]:
    """Within it, in this process, what `known` finds out about files is remembered, and need not be read again."""
    global _memory
    before, _memory = _memory, memory
    try:
        yield
    finally:
        _memory = before


def known(path: Path, what: str, find_out: Callable[[], Any]) -> Any:
    """What `find_out` says of a file, as JSON can hold it; or said earlier, where there is a memory of that."""
    return find_out() if _memory is None else _memory.recall(path, what, find_out)


def slugs(texts: Sequence[str]) -> dict[str, str]:
    """By text a file's name of letters, digits, dots and ``_``; those that would be one file get a number."""
    names: dict[str, str] = {}
    taken = set()
    for text in dict.fromkeys(texts):
        slug = re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_.") or "_"
        endings = ("" if number == 1 else f"_{number}" for number in itertools.count(1))
        names[text] = next(f"{slug}{end}" for end in endings if f"{slug}{end}".casefold() not in taken)
        taken.add(names[text].casefold())  # as some file systems see it
    return names


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names for a message: the first so many, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
