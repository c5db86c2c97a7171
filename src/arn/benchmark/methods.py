"""What makes a map: a checkpoint, or a folder of maps that somebody published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from arn.data.pairs import Pair, read_map, read_mask, read_picture
from arn.errors import ArnError
from arn.training.checkpoint import Predictor, load

Scored = tuple[str, NDArray[Any], NDArray[np.uint8]]
"""Stem, map (uint8, or float32 in 0..1) and gray mask (uint8), both H x W."""


class Method(Protocol):
    """Anything that makes maps."""

    name: str

    def stems(self, dataset: str) -> list[str] | None:
        """Stems this method has maps for; None: any picture."""

    def scored(self, dataset: str, pairs: Sequence[Pair]) -> Iterator[Scored]:
        """Map and mask of each pair, in order, one batch in memory at a time."""


class Checkpoint:
    """Maps made here, by a trained network."""

    def __init__(self, name: str, path: str | Path, batch_size: int = 8, device: str = "cpu") -> None:
        self.name, self.batch_size = name, batch_size
        self.predictor: Predictor = load(path, device)

    def stems(self, dataset: str) -> list[str] | None:
        return None

    def scored(self, dataset: str, pairs: Sequence[Pair]) -> Iterator[Scored]:
        for start in range(0, len(pairs), self.batch_size):
            batch = pairs[start : start + self.batch_size]
            maps = self.predictor.maps([read_picture(pair.picture) for pair in batch])
            for pair, saliency in zip(batch, maps, strict=True):
                yield pair.stem, saliency, _mask(pair)


class MapFolder:
    """Maps made elsewhere: ``<folder>/<stem>.png`` at the picture's size; ``{dataset}`` in the path is filled in."""

    def __init__(self, name: str, folder: str | Path) -> None:
        self.name, self.folder = name, str(folder)

    def _place(self, dataset: str) -> Path:
        place = Path(self.folder.replace("{dataset}", dataset))
        if not place.is_dir():
            raise ArnError(f"maps.{self.name}: there is no folder {place}")
        return place

    def stems(self, dataset: str) -> list[str] | None:
        return sorted(path.stem for path in self._place(dataset).glob("*.png"))

    def scored(self, dataset: str, pairs: Sequence[Pair]) -> Iterator[Scored]:
        place = self._place(dataset)
        for pair in pairs:
            path = place / f"{pair.stem}.png"
            saliency, mask = read_map(path), _mask(pair)
            if saliency.shape != mask.shape:
                raise ArnError(
                    f"{path} is {saliency.shape[1]} x {saliency.shape[0]}, its mask {mask.shape[1]} x {mask.shape[0]}: "
                    "maps are scored at the picture's own size"
                )
            yield pair.stem, saliency, mask


def _mask(pair: Pair) -> NDArray[np.uint8]:
    if pair.mask is None:
        raise ArnError(f"{pair.picture} has no mask to be scored against")
    return read_mask(pair.mask)
