"""Which file of a folder is the map of which picture: `0001.png`, `0001.PNG`, `0001_sal_fuse.jpg`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from arn.data.listing import list_folder
from arn.data.maps import MAP_SUFFIXES
from arn.errors import ArnError
from arn.files import listed

NEARLY_ALL = 0.9  # of the files, or of the pictures, must have one ending for it to be taken as that of the maps


@dataclass(frozen=True)
class NamedMaps:
    """The files of a folder by what their names say."""

    by_stem: dict[str, Path]  # of the pictures that have a map
    extra: list[str]  # names of maps without a picture
    ending: str = ""  # what stands between a picture's stem and the format in most names
    passed_over: tuple[str, ...] = ()  # as `arn.data.listing.Listing` tells it; files without the suffix asked for, too
    hint: str = ""  # what may help where maps are missing


def fold(name: str) -> str:
    """A name without regard to case and punctuation: DUTS-TE, duts_te and DutsTE are one."""
    return "".join(character for character in name.casefold() if character.isalnum())


def map_files(folder: Path) -> list[Path]:
    """The files directly in a folder that can be maps, by name; hidden ones are passed over."""
    return list_folder(folder, MAP_SUFFIXES).files


def match_names(folder: Path, stems: Collection[str], suffix: str | None = None) -> NamedMaps:
    """Pair the maps in a folder with pictures.

    Args:
        stems: of the pictures.
        suffix: what stands after a stem in the names, as in ``_sal.png``; ``_sal`` is of any format. None: nothing, or
            one ending that all or nearly all names have, if it begins with punctuation and no other would do.

    Raises:
        ArnError: naming files, where two are of one picture, or two endings would do.
    """
    listing = list_folder(folder, MAP_SUFFIXES)
    files = listing.files
    wanted, hint = set(stems), ""
    if suffix is None:
        names = {path: path.stem for path in files}
        ending, hint = _common_ending(folder, names.values(), wanted)
    else:
        parts = Path(f"x{suffix}")
        of_one = parts.suffix.lower() in MAP_SUFFIXES
        ending = parts.stem[1:] if of_one else suffix
        names = {path: path.stem for path in files if not of_one or path.suffix.lower() == parts.suffix.lower()}
        names = {path: name for path, name in names.items() if name.endswith(ending)}
    found: defaultdict[str, list[Path]] = defaultdict(list)
    left: list[Path] = []
    for path, name in names.items():
        stem = name.removesuffix(ending)
        (found[stem] if stem in wanted else left).append(path)
    extra: list[Path] = []
    for path in left:  # a few without the ending that the others have
        fits = suffix is None and path.stem in wanted and path.stem not in found
        (found[path.stem] if fits else extra).append(path)
    twice = [" and ".join(path.name for path in paths) for paths in found.values() if len(paths) > 1]
    if twice:
        told = f"{folder} has two maps of one picture: {listed(twice, 4)}"
        raise ArnError(f"{told}; name the ending of those that are meant, as in suffix: {ending}{files[0].suffix}")
    by_stem = {stem: path for stem, (path,) in found.items()}
    unasked = len(files) - len(names)
    over = [*([f"{unasked:,} not ending in {suffix}"] if unasked else []), *listing.passed_over]
    return NamedMaps(by_stem, [path.name for path in extra], ending, tuple(over), hint)


def _common_ending(folder: Path, names: Iterable[str], stems: set[str]) -> tuple[str, str]:
    """The ending of the names of maps, "" where they are the stems themselves; and a hint where it cannot be told."""
    names = list(names)
    exact = sum(name in stems for name in names)
    needed = NEARLY_ALL * min(len(stems), len(names))
    if exact >= needed or not names:
        return "", ""
    endings = Counter(
        name[end:] for name in names if name not in stems for end in range(1, len(name)) if name[:end] in stems
    )
    likely = [(ending, count) for ending, count in endings.most_common(8) if count > max(exact, 0.1 * needed)]
    marked = [(ending, count) for ending, count in likely if not ending[0].isalnum()]
    alone = len(marked) == 1 or (len(marked) > 1 and marked[1][1] < 0.5 * marked[0][1])
    if alone and marked[0][1] >= needed:
        return marked[0][0], ""
    if len(marked) > 1 and sum(count for _, count in marked) >= needed:
        told = " or ".join(f"{ending} ({count:,} files)" for ending, count in marked[:3])
        raise ArnError(f"{folder}: the names of maps end in {told}; say which by suffix: {marked[0][0]}")
    return "", f"the names of {likely[0][1]:,} files end in {likely[0][0]}: suffix: {likely[0][0]}" if likely else ""
