"""The pictures that a person names: files, folders, patterns, addresses and the standard input."""

from __future__ import annotations

import glob
import http.client
import os
import sys
import time
import urllib.error
import urllib.parse
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from arn.data.images import PICTURE_SUFFIXES, read_bytes
from arn.data.listing import list_folder
from arn.data.web import is_address, open_address
from arn.errors import ArnError
from arn.files import listed
from arn.inference.video_reading import SUFFIXES as VIDEO_SUFFIXES

STDIN = "-"
LARGEST = 512 * 2**20  # bytes that are taken from an address
WATCH = 1.0  # seconds between two looks at a watched folder
PATIENCE = 30  # seconds without a byte, after which an address is given up
DEFAULT_OUTPUT = Path("outputs", "predict")  # never walked into


@dataclass(frozen=True)
class Source:
    """A picture or a video: ``place`` as it was named, ``stem`` where below the output it goes, without a suffix."""

    place: str
    stem: Path

    @property
    def is_video(self) -> bool:
        return not is_address(self.place) and Path(self.place).suffix.lower() in VIDEO_SUFFIXES

    @property
    def path(self) -> Path | None:
        """None for an address and the standard input."""
        return None if is_address(self.place) or self.place == STDIN else Path(self.place)

    def read(self) -> bytes:
        """Raises ArnError naming the place."""
        if self.place == STDIN:
            return sys.stdin.buffer.read()
        return download(self.place) if is_address(self.place) else read_bytes(Path(self.place))


def download(address: str) -> bytes:
    """What lies at a web address, up to `LARGEST` bytes. Raises ArnError naming it."""
    try:
        with open_address(address, {}, PATIENCE) as answer:
            data = bytes(answer.read(LARGEST + 1))
            wanted = answer.headers.get("Content-Length")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or getattr(error, "msg", None) or error
        code = f"{error.code} " if isinstance(error, urllib.error.HTTPError) else ""
        raise ArnError(f"{address} cannot be had: {code}{reason}") from error
    if len(data) > LARGEST:
        raise ArnError(f"{address} holds more than {LARGEST >> 20} MiB; save it as a file and name that")
    if wanted is not None and wanted.isdigit() and int(wanted) != len(data):
        raise ArnError(f"{address} broke off after {len(data):,} of {int(wanted):,} bytes; try again")
    return data


def find(
    named: Sequence[str],
    *,
    recursive: bool = True,
    without: Sequence[Path] = (),
    empty: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Source]:
    """The pictures and videos that these words mean, each once, in the order of the words and by name in a folder.

    A folder means the pictures in it and below; one that is named beside others keeps its own name in the output. A
    pattern (``*``, ``?``, ``[]``, ``**``) means what it matches, where no file has just this name. Pictures of one
    folder that differ in their suffix alone keep it in the name of what is written.

    Args:
        named: paths, folders, patterns, ``http://`` and ``https://`` addresses, ``-``.
        recursive: whether folders below a folder are looked into.
        without: folders that are not: where the output goes.
        empty: whether a folder may be without pictures.
        tell: gets a line on what a folder has and is passed over.

    Raises ArnError for a path that is not there, a folder without pictures, and two that would be written to one file.
    """
    closed = [place.resolve() for place in (*without, DEFAULT_OUTPUT)]
    folders = sum(Path(word).is_dir() for word in named if not is_address(word))
    found: dict[str, Source] = {}
    for word in named:
        for source in _of_word(word, folders > 1, recursive, empty, closed, tell):
            path = source.path  # a link to another picture is one of its own
            found.setdefault(source.place if path is None else str(path.parent.resolve() / path.name), source)
    return _named_apart(list(found.values()))


def arrivals(look: Callable[[], Sequence[Source]], done: Container[str]) -> Iterator[list[Source]]:
    """Pictures that are new or changed since, once they have stopped growing; without end.

    Args:
        look: finds what is there, files alone.
        done: places that need not come as they are now.
    """

    def now() -> dict[str, tuple[Source, tuple[int, int]]]:
        found = {}
        for source in look():
            try:
                status = Path(source.place).stat()
            except OSError:  # gone meanwhile
                continue
            found[source.place] = source, (status.st_size, status.st_mtime_ns)
        return found

    come = {place: state for place, (_, state) in now().items() if place in done}
    before: dict[str, tuple[Source, tuple[int, int]]] = {}
    while True:
        time.sleep(WATCH)
        here = now()
        ready = [
            source
            for place, (source, state) in here.items()
            if before.get(place, (None, None))[1] == state != come.get(place)
        ]
        before = here
        if ready:
            come |= {source.place: here[source.place][1] for source in ready}
            yield ready


def _of_word(
    word: str, several: bool, recursive: bool, empty: bool, closed: Sequence[Path], tell: Callable[[str], None]
) -> Iterator[Source]:
    if word == STDIN:
        yield Source(word, Path("stdin"))
    elif is_address(word):
        name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(word).path)).name
        yield Source(word, _stem(Path(_harmless(name) or "picture")))
    elif Path(word).is_dir():
        own = Path(Path(word).resolve().name) if several else Path()
        paths = _in_folder(Path(word), recursive, closed, tell)
        if not paths and not empty:
            raise ArnError(f"input={word}: no pictures in this folder")
        for path in paths:
            yield Source(str(path), own / _stem(path.relative_to(word)))
    elif Path(word).exists():
        yield Source(word, _stem(Path(Path(word).name)))
    elif glob.has_magic(word):
        fixed = Path(word).parts[:-1]
        first = next((i for i, part in enumerate(fixed) if glob.has_magic(part)), len(fixed))
        root = Path(*fixed[:first]).resolve()
        below = [place for place in closed if place != root and place.is_relative_to(root)]
        paths = sorted(Path(match) for match in glob.glob(word, recursive=True))
        paths = [path for path in paths if path.is_file() and _kind(path) and not _is_within(path, below)]
        if not paths:
            raise ArnError(f"input={word}: no picture matches this pattern")
        for path in paths:
            yield Source(str(path), _stem(Path(*path.parts[first:])))
    else:
        raise ArnError(f"input={word}: there is no such file or folder")


def _in_folder(folder: Path, recursive: bool, closed: Sequence[Path], tell: Callable[[str], None]) -> list[Path]:
    """Pictures by name, folder by folder; what is passed over is counted and told."""
    found = list_folder(folder, PICTURE_SUFFIXES, below=recursive, closed=closed, named={"videos": VIDEO_SUFFIXES})
    more = found.over["videos"] or found.over["folders"]
    found.tell(folder, tell, "; name videos and folders to have them made" if more else "")
    return found.files


def _kind(path: Path) -> str | None:
    suffix = path.suffix.lower()
    return "picture" if suffix in PICTURE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def _is_within(path: Path, closed: Sequence[Path]) -> bool:
    return any(path.resolve().is_relative_to(place) for place in closed)


def _stem(path: Path) -> Path:
    """Without the suffix of a picture or a video; another one is part of the name."""
    return path.with_suffix("") if _kind(path) and path.stem else path


def _harmless(name: str) -> str:
    """A name from an address as the name of a file."""
    return "".join("_" if letter in '/\\:*?"<>|' or ord(letter) < 32 else letter for letter in name).strip(". ")


def _named_apart(sources: Sequence[Source]) -> list[Source]:
    """Those that would be written to one file keep their suffix; if that is not enough, their folders as well.

    Raises ArnError where that is not enough either.
    """

    def twins(some: Sequence[Source]) -> set[str]:
        count = Counter(str(source.stem).casefold() for source in some)  # as some file systems see it
        return {name for name, times in count.items() if times > 1}

    def with_suffix(source: Source) -> Path:
        return source.stem.with_name(source.stem.name + Path(source.place).suffix)

    def with_folders(source: Source) -> Path:
        return source.stem if source.path is None else _stem(source.path.resolve().relative_to(common))

    parents = [str(source.path.resolve().parent) for source in sources if source.path is not None]
    common = os.path.commonpath(parents) if parents else ""
    for longer in (with_suffix, with_folders):
        alike = twins(sources)
        sources = [Source(s.place, longer(s)) if str(s.stem).casefold() in alike else s for s in sources]
    if left := twins(sources):
        places = [source.place for source in sources if str(source.stem).casefold() in left]
        raise ArnError(f"these would be written to one file, run them one after the other: {listed(places)}")
    return list(sources)
