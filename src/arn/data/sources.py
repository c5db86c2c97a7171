"""Where pictures with masks come from: files, or drawn scenes. Without torch: worker processes start quickly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arn.data import scenes
from arn.data.images import Mask, Picture, read_ignored, read_mask, read_picture
from arn.data.labels import Meaning
from arn.data.layout import Pair, check_same_size, find_dataset
from arn.data.maps import read_head
from arn.data.transforms import resize
from arn.errors import ArnError
from arn.files import digest, file_digest

SCENES = "scenes"


class Source(Protocol):
    """Numbered pictures with masks: files or drawn scenes."""

    stems: list[str]

    def read(self, index: int) -> tuple[Picture, Mask]:
        """Picture uint8 RGB H x W x 3 and gray mask uint8 H x W, at native size."""

    def picture(self, index: int) -> Picture:
        return self.read(index)[0]

    def mask(self, index: int) -> Mask:
        return self.read(index)[1]

    def mask_size(self, index: int) -> tuple[int, int]:
        """Height and width of a mask."""
        height, width = self.mask(index).shape
        return height, width

    def ignored(self, index: int) -> NDArray[np.bool_] | None:
        """Pixels that count nowhere, H x W; None where all count."""
        return None

    def digests(self, index: int) -> tuple[bytes, bytes]:
        """Content hashes of picture and mask: what is kept of them elsewhere is known by these."""

    def only(self, indices: Sequence[int]) -> Source:
        """These pictures as a source of their own, small enough to be sent to another process."""


class PairSource(Source):
    """Pictures and masks in files.

    Large JPEGs are decoded at a fraction of their size, their shorter side ``at_least`` so many px, and their masks are
    brought to that size. Not for scoring: see :func:`~arn.data.images.read_picture`.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        stems: Sequence[str] | None = None,
        at_least: int | None = None,
        meaning: Meaning | None = None,
    ) -> None:
        self.pairs, self.at_least, self.meaning = list(pairs), at_least, meaning
        self.masks = [pair.mask for pair in pairs if pair.mask is not None]
        self.stems = [pair.stem for pair in pairs] if stems is None else list(stems)
        unmasked = [pair.stem for pair in pairs if pair.mask is None]
        if unmasked:
            raise ArnError(
                f"no masks for {len(unmasked)} pictures, the first {unmasked[0]!r}: training and scoring need them"
            )
        self._digests: dict[int, tuple[bytes, bytes]] = {}
        self._sizes: dict[int, tuple[int, int]] = {}

    def read(self, index: int) -> tuple[Picture, Mask]:
        picture, mask = self.picture(index), self.mask(index)
        size = picture.shape[:2]
        if self.at_least is not None and any(
            size == tuple(-(-side // scale) for side in mask.shape) for scale in (2, 4, 8)
        ):
            mask = resize(mask, *size)
        elif self.at_least is not None and size != mask.shape:
            picture = read_picture(self.pairs[index].picture)  # whole, for an error that has its size
        check_same_size(self.pairs[index], picture, mask)
        return picture, mask

    def picture(self, index: int) -> Picture:
        return read_picture(self.pairs[index].picture, self.at_least)

    def mask(self, index: int) -> Mask:
        return read_mask(self.masks[index], self.meaning)

    def ignored(self, index: int) -> NDArray[np.bool_] | None:
        if self.meaning is None or not self.meaning.ignore:
            return None
        return read_ignored(self.masks[index], self.meaning)

    def mask_size(self, index: int) -> tuple[int, int]:
        """As its file's head says it, where that can be told without decoding."""
        if index not in self._sizes:  # every method of a bench asks for them
            self._sizes[index] = read_head(self.masks[index]).size or super().mask_size(index)
        return self._sizes[index]

    def digests(self, index: int) -> tuple[bytes, bytes]:
        if index not in self._digests:  # every method of a bench asks for them
            mask = file_digest(self.masks[index])
            if self.meaning is not None:
                mask = digest(mask, repr([sorted(values) for values in vars(self.meaning).values()]))
            self._digests[index] = file_digest(self.pairs[index].picture), mask
        return self._digests[index]

    def only(self, indices: Sequence[int]) -> PairSource:
        chosen = [self.pairs[index] for index in indices]
        return PairSource(chosen, [self.stems[index] for index in indices], self.at_least, self.meaning)


class SceneSource(Source):
    """The drawn data set: nothing needed from outside."""

    def __init__(self, part: scenes.Part, count: int | None = None, numbers: Sequence[int] | None = None) -> None:
        self.part = part
        self.numbers = list(range(count or scenes.COUNTS[part]) if numbers is None else numbers)
        self.stems = [f"{part}-{number:05d}" for number in self.numbers]

    def read(self, index: int) -> tuple[Picture, Mask]:
        return scenes.scene(self.part, self.numbers[index])

    def digests(self, index: int) -> tuple[bytes, bytes]:
        drawn = f"{_scenes_version()}/{self.stems[index]}"
        return digest("picture", drawn), digest("mask", drawn)

    def only(self, indices: Sequence[int]) -> SceneSource:
        return SceneSource(self.part, numbers=[self.numbers[index] for index in indices])


def find_source(
    name: str,
    limit: int | None = None,
    meaning: Meaning | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Source:
    """A data set, or its first `limit` pictures, to be scored on: a name of the catalogue, a folder, or ``scenes``.

    `tell` gets a line on what is passed over in a folder.
    """
    if name == SCENES:
        return SceneSource("test", limit)
    return PairSource(find_dataset(name, tell=tell)[:limit], meaning=meaning)


@cache
def _scenes_version() -> str:
    return digest(Path(scenes.__file__).read_bytes()).hex()
