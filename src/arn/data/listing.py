"""What lies in a folder: the files that a command reads, and what it passes over. For all commands alike."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from arn.errors import ArnError
from arn.files import listed

SYSTEM = ("thumbs.db", "desktop.ini")
_LAST = ("folders", "unreadable folders", "hidden files", "other files")


@dataclass
class Listing:
    """Files by name, folder by folder, and how many of what else there are.

    Attributes:
        over: by what they are, in the plural: ``folders``, ``hidden files``, ``other files`` and what was named.
        unknown: the suffixes, or the names without one, of the other files.
    """

    files: list[Path] = field(default_factory=list)
    over: Counter[str] = field(default_factory=Counter)
    unknown: set[str] = field(default_factory=set)

    @property
    def passed_over(self) -> list[str]:
        """``2 folders``, ``1 other file (.txt)``; the other files last."""
        order = [*(what for what in self.over if what not in _LAST), *_LAST]
        counts = [(self.over[what], what) for what in order if self.over[what]]
        told = [f"{count:,} {what if count > 1 else what[:-1]}" for count, what in counts]
        if self.unknown:
            told[-1] += f" ({listed(sorted(self.unknown), 5)})"
        return told

    def tell(self, folder: Path, tell: Callable[[str], None], advice: str = "") -> None:
        """One line on what is passed over, if anything is."""
        if told := self.passed_over:
            tell(f"{folder}: passed over {', '.join(told)}{advice}")


def list_folder(
    folder: Path,
    suffixes: Collection[str],
    *,
    pattern: str = "*",
    below: bool = False,
    closed: Collection[Path] = (),
    named: Mapping[str, Collection[str]] | None = None,
) -> Listing:
    """The files of a folder with one of these suffixes, in any case; those that are hidden or a system's are not read.

    Args:
        pattern: of names, in any case; those that do not match are not counted either.
        below: whether folders in it are looked into, but for hidden ones and links.
        closed: resolved folders that are left out without a word.
        named: what else there may be, in the plural, by suffixes: ``{"videos": {".mp4"}}``.

    Raises ArnError where the folder cannot be read.
    """
    found = Listing()

    def refused(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise ArnError(f"Cannot read {folder}: {error.strerror or error}.") from error
        found.over["unreadable folders"] += 1

    for place, folders, files in os.walk(folder, onerror=refused):
        here = Path(place)
        open_ = [name for name in folders if not closed or (here / name).resolve() not in closed]
        entered = [name for name in open_ if below and not name.startswith(".") and not (here / name).is_symlink()]
        found.over["folders"] += len(open_) - len(entered)
        folders[:] = sorted(entered)
        for name in sorted(files):
            if not fnmatchcase(name.lower(), pattern.lower()):
                continue
            suffix = Path(name).suffix.lower()
            if name.startswith(".") or name.lower() in SYSTEM:
                found.over["hidden files"] += 1
            elif suffix in suffixes:
                found.files.append(here / name)
            else:
                what = next((what for what, own in (named or {}).items() if suffix in own), "other files")
                found.over[what] += 1
                if what == "other files":
                    found.unknown.add(suffix or name)
    return found
