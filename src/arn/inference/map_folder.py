"""Folders of maps that somebody published: which file is of which picture, and what is done to read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arn.data.map_names import fold, match_names
from arn.data.maps import MapFile, read_head, top_of
from arn.data.sources import Source
from arn.errors import ArnError

Size = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """Where maps lie, and how they are read; the keys of ``maps={NAME: {...}}``.

    `folder`: ``{dataset}`` in it stands for the data set's name. `suffix`: what follows a picture's stem in the names.
    `resize`: one of `arn.data.maps.RESIZES`, for maps of another size than the mask's. `range`: the value that stands
    for 1.
    """

    folder: str
    suffix: str | None = None
    resize: str | None = None
    range: float | None = None

    def folder_of(self, dataset: str) -> Path:
        """That of a data set: the folder, or one in it that is called as the set. Raises ArnError where it is not."""
        place = Path(self.folder.replace("{dataset}", dataset)).expanduser()
        if not place.is_dir() and "{dataset}" in self.folder:
            above, _, below = self.folder.partition("{dataset}")
            named = folders_called(dataset, Path(above or ".").expanduser()) if above.endswith(("/", "\\")) else []
            place = next((one / below.lstrip("/\\") for one in named), place)
        if not place.is_dir():
            raise ArnError(f"there is no folder {place}")
        within = folders_called(dataset, place)
        if len(within) > 1:
            raise ArnError(f"{' and '.join(map(str, within))} are both called as {dataset}; name one of them")
        return within[0] if within else place


def folders_called(name: str, above: Path) -> list[Path]:
    """The folders directly in another that have a name, without regard to case and punctuation."""
    there = sorted(above.iterdir()) if above.is_dir() else []
    return [path for path in there if fold(path.name) == fold(name) and path.is_dir()]


@dataclass(frozen=True)
class FoundMaps:
    """The maps of a method for a data set.

    Attributes:
        files: by stem of the pictures, those with a picture.
        missing: stems without a map.
        extra: names of files that are maps of no picture.
        misfits: stem -> ``10 x 10 for 400 x 300``, of maps that are not of their mask's size and not to be resized.
        ending: what follows the stems in the names.
        formats: how many files of each.
        sizes: height and width of the maps, and how many have it.
        resized: the same of those that are resized.
        by: how they are.
        passed_over: what lies there and is no map, in words.
    """

    folder: Path
    files: dict[str, MapFile]
    missing: list[str]
    extra: list[str]
    misfits: dict[str, str]
    ending: str
    formats: Counter[str]
    sizes: Counter[Size]
    resized: Counter[Size]
    by: str | None
    passed_over: tuple[str, ...]
    hint: str
    top: float | None

    @property
    def resizing(self) -> str:
        """``resized from 224 x 224 (bilinear)``; "" where none is."""
        if not self.resized:
            return ""
        part = f"{self.resized.total():,} of {len(self.files):,} " if self.resized.total() < len(self.files) else ""
        return f"{part}resized from {_range_of(self.resized)} ({self.by})"

    def described(self) -> dict[str, Any]:
        """What bench.json says of them."""
        facts = {"folder": str(self.folder), "files": len(self.files), "formats": dict(self.formats)}
        return facts | {"ending": self.ending, "resized": self.resizing or None}

    def told(self) -> str:
        """One line for a person."""
        formats = ", ".join(f"{count:,} {name}" for name, count in self.formats.most_common()) or "no maps"
        parts = [formats, _range_of(self.sizes) if self.sizes else ""]
        parts += [self.resizing, f"names end in {self.ending}" if self.ending else ""]
        parts += ["16 bits of which 8 are used" if self.top == 255 else ""]
        parts += [f"{len(self.missing):,} missing" if self.missing else ""]
        parts += [f"{len(self.extra):,} of no picture" if self.extra else ""]
        parts += [f"passed over: {' and '.join(self.passed_over)}" if self.passed_over else "", f"in {self.folder}"]
        return ", ".join(part for part in parts if part)


def _range_of(sizes: Counter[Size]) -> str:
    """``224 x 224``, or the smallest and largest of several; width x height, as pictures are told everywhere."""
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    told = [f"{width} x {height}" for height, width in ordered]
    return " and ".join(told) if len(told) < 3 else f"{len(told):,} sizes between {told[0]} and {told[-1]}"


class MapFolder:
    """Maps made elsewhere. Described like a method, but makes none.

    `place`: one for all data sets, or {data set: place} for these alone; a bare folder is one of maps as they are.
    """

    kind = "maps"
    parameters: int | None = None
    trained_on: tuple[str, ...] | None = None

    def __init__(self, name: str, place: Place | str | Path | Mapping[str, Place]) -> None:
        self.name = name
        self.place = Place(str(place)) if isinstance(place, str | Path) else place
        folders = [one.folder for one in (self.place.values() if isinstance(self.place, Mapping) else [self.place])]
        self.source = ", ".join(dict.fromkeys(folders))
        self._found: dict[str, FoundMaps] = {}

    def has(self, dataset: str) -> bool:
        return not isinstance(self.place, Mapping) or self._key(dataset) is not None

    def _key(self, dataset: str) -> str | None:
        """Of `place`, by a name of any case and punctuation."""
        keys = list(self.place) if isinstance(self.place, Mapping) else []
        return dataset if dataset in keys else next((key for key in keys if fold(key) == fold(dataset)), None)

    def find(self, dataset: str, source: Source) -> FoundMaps:
        """The maps of a data set; looked for once.

        Raises ArnError naming the method for a folder that is not there and for names that can be read in two ways.
        """
        if dataset not in self._found:
            try:
                self._found[dataset] = self._look(dataset, source)
            except ArnError as error:
                raise ArnError(f"maps.{self.name}: {error}") from error
        return self._found[dataset]

    @property
    def found(self) -> Mapping[str, FoundMaps]:
        """What was found, by data set."""
        return self._found

    def _look(self, dataset: str, source: Source) -> FoundMaps:
        place = self.place[self._key(dataset) or dataset] if isinstance(self.place, Mapping) else self.place
        folder = place.folder_of(dataset)
        named = match_names(folder, source.stems, place.suffix)
        heads = {stem: read_head(path) for stem, path in named.by_stem.items()}
        top = place.range
        if top is None:
            wide = [named.by_stem[stem] for stem in sorted(heads) if heads[stem].wide]
            top = top_of(wide) if wide else None
        files: dict[str, MapFile] = {}
        misfits: dict[str, str] = {}
        resized: Counter[Size] = Counter()
        for index, stem in enumerate(source.stems):
            if stem not in heads:
                continue
            size, own = heads[stem].size, top if heads[stem].wide or place.range is not None else None
            files[stem] = MapFile(named.by_stem[stem], top=own)
            # A map of unknown size is decoded anyway; the scores will tell if it does not fit.
            if size is None and place.resize is None:
                continue
            of_mask = source.mask_size(index)
            if size != of_mask and place.resize is None:
                misfits[stem] = " for ".join(f"{width} x {height}" for height, width in (size or of_mask, of_mask))
            elif size != of_mask and place.resize is not None:
                files[stem] = MapFile(named.by_stem[stem], of_mask, place.resize, own)
                resized.update([size] if size else [])
        return FoundMaps(
            folder=folder,
            files=files,
            missing=sorted(set(source.stems) - files.keys()),
            extra=named.extra,
            misfits=misfits,
            ending=named.ending,
            formats=Counter(path.suffix[1:].upper() for path in named.by_stem.values()),
            sizes=Counter(head.size for head in heads.values() if head.size),
            resized=resized,
            by=place.resize,
            passed_over=named.passed_over,
            hint=named.hint,
            top=top,
        )
