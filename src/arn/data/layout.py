"""Where pictures and masks lie: the layouts of data sets, and pairs of files by their stems."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from arn.data.catalogue import CATALOGUE, PLAIN, by_name, data_root
from arn.data.images import PICTURE_SUFFIXES
from arn.data.listing import Listing, list_folder
from arn.errors import ArnError
from arn.files import listed


class Pair(NamedTuple):
    """A picture and its mask (None where only the picture exists, as for `arn predict`), known by their stem."""

    stem: str
    picture: Path
    mask: Path | None


Tell = Callable[[str], None]


def find_dataset(name_or_path: str | Path, root: Path | None = None, tell: Tell = lambda line: None) -> list[Pair]:
    """All pairs of a data set, sorted by stem.

    `name_or_path` is a name of the catalogue (in any case) or a folder of the user's own, given as a path or as a name
    below `root` (`data_root()` unless given), laid out as `images` and `masks` or as a data set's authors released it.
    `tell` gets a line on what is passed over in a folder.

    Raises ArnError, saying where it looked, when there is no such folder, no known layout in it, or when pictures and
    masks do not match one to one.
    """
    root = data_root() if root is None else root
    given = str(name_or_path)
    known = by_name(given)
    if known is not None:
        # An archive unpacked inside a folder of its own name nests the name once more.
        bases = [root / known.name, root / known.name / known.name]
        layouts = known.layouts
        remedy = f"Get it from {known.source} and lay it there, or set ARN_DATA_DIR to the folder that holds it."
    else:
        bases = list(dict.fromkeys([Path(given).expanduser(), root / given]))
        layouts = tuple(dict.fromkeys(layout for dataset in CATALOGUE.values() for layout in dataset.layouts))
        close = difflib.get_close_matches(given.upper(), CATALOGUE, n=1)
        remedy = f"Did you mean {close[0]}? " if close else ""
        remedy += f"Name a folder with {PLAIN.images}/ and {PLAIN.masks}/ in it, or one of {', '.join(CATALOGUE)}."

    for base in bases:
        for layout in layouts:
            if _exists(base / layout.images) and _exists(base / layout.masks):
                return find_pairs(base / layout.images, base / layout.masks, tell)

    folders = [base for base in bases if base.is_dir()]
    if not folders:
        raise ArnError(f"No data set '{given}': there is no folder {' or '.join(map(str, bases))}. {remedy}")
    shown = layouts if known is not None else (PLAIN,)
    raise ArnError(
        f"No pictures with masks in {folders[0]}: looked there for "
        f"{' or '.join(f'{one.images} with {one.masks}' for one in shown)}. {remedy}"
    )


def find_pairs(images: Path, masks: Path | None, tell: Tell = lambda line: None) -> list[Pair]:
    """Pairs each picture with the mask of its stem; sorted by stem.

    `images` and `masks` are folders (not searched below; hidden files are passed over) or a folder with a pattern of
    names such as `Imgs/*.jpg`; `images` may also be one picture. With `masks` None every pair's mask is None. `tell`
    gets a line on what is passed over in a folder.

    Raises ArnError listing the stems: no pictures, two files of one stem, pictures without masks or the reverse.
    """
    over: list[str] = []
    pictures = _by_stem(images, "pictures", over.append)
    if not pictures:
        told = f" Of {'; '.join(over)}." if over else ""
        raise ArnError(
            f"No pictures in {images}: expected files ending in {', '.join(sorted(PICTURE_SUFFIXES))} directly in it."
            + told
        )
    if masks is None:
        for line in over:
            tell(line)
        return [Pair(stem, path, None) for stem, path in sorted(pictures.items())]
    truths = _by_stem(masks, "masks", over.append)
    missing, extra = sorted(pictures.keys() - truths.keys()), sorted(truths.keys() - pictures.keys())
    if missing or extra:
        said = [f"{len(missing)} of {len(pictures)} pictures without a mask: {listed(missing)}"] * bool(missing)
        said += [f"{len(extra)} of {len(truths)} masks without a picture: {listed(extra)}"] * bool(extra)
        raise ArnError(
            f"Pictures in {images} and masks in {masks} do not match: {'; '.join([*said, *over])}. "
            "A mask carries its picture's name apart from the ending; add or remove the files named."
        )
    for line in over:
        tell(line)
    return [Pair(stem, pictures[stem], truths[stem]) for stem in sorted(pictures)]


def check_same_size(pair: Pair, picture: NDArray[Any], mask: NDArray[Any]) -> None:
    """Raises ArnError, naming both files and sizes, unless `picture` and `mask` have the same height and width."""
    (height, width), (mask_height, mask_width) = picture.shape[:2], mask.shape[:2]
    if (height, width) != (mask_height, mask_width):
        turned = " It looks turned by 90 degrees: does only one of them carry an EXIF orientation?"
        raise ArnError(
            f"{pair.picture} is {width} x {height} pixels but its mask {pair.mask} is {mask_width} x {mask_height}: "
            "a mask has its picture's size." + (turned if (height, width) == (mask_width, mask_height) else "")
        )


def _exists(place: Path) -> bool:
    """Whether a folder, or a folder and pattern, holds anything."""
    return place.is_dir() or bool(_of_pattern(place).files)


def _of_pattern(place: Path) -> Listing:
    """Of a folder and a pattern; nothing where it is none."""
    if "*" not in place.name or not place.parent.is_dir():
        return Listing()
    return list_folder(place.parent, PICTURE_SUFFIXES, pattern=place.name)


def _by_stem(place: Path, what: str, tell: Tell) -> dict[str, Path]:
    if place.is_dir():
        listing = list_folder(place, PICTURE_SUFFIXES)
        listing.tell(place, tell)
    elif "*" in place.name:
        listing = _of_pattern(place)  # what does not match is of other kinds, and meant to lie there
    elif place.is_file():
        listing = Listing([place])
    else:
        raise ArnError(f"There is no folder {place} to read {what} from.")
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in listing.files:
        found[path.stem].append(path)
    twice = [" and ".join(path.name for path in paths) for paths in found.values() if len(paths) > 1]
    if twice:
        folder = place.parent if "*" in place.name else place
        raise ArnError(
            f"{len(twice)} stems stand for more than one of the {what} in {folder}: {listed(twice)}. "
            "Keep one file of each."
        )
    return {stem: path for stem, (path,) in found.items()}
