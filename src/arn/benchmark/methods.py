"""What makes a map: a checkpoint, a training-free method, or a folder of maps that somebody published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from arn.classical import METHODS
from arn.data.datamodule import Source
from arn.data.pairs import read_map
from arn.errors import ArnError
from arn.training.checkpoint import load


class Method(Protocol):
    """Anything that makes maps."""

    name: str

    def stems(self, dataset: str) -> list[str] | None:
        """Stems this method has maps for; None: any picture."""

    def maps(self, dataset: str, source: Source, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
        """The maps of these pictures in order, uint8 or float32 in 0..1, H x W; one batch in memory at a time."""


class Checkpoint:
    """Maps made here, by a trained network."""

    def __init__(self, name: str, path: str | Path, batch_size: int = 8, device: str = "cpu") -> None:
        self.name, self.batch_size = name, batch_size
        self.predictor = load(path, device)

    def stems(self, dataset: str) -> list[str] | None:
        return None

    def maps(self, dataset: str, source: Source, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
        for start in range(0, len(indices), self.batch_size):
            batch = indices[start : start + self.batch_size]
            yield from self.predictor.maps([source.read(index)[0] for index in batch])


class Classical:
    """A training-free method of :mod:`arn.classical`, by its name there."""

    def __init__(self, name: str) -> None:
        if name not in METHODS:
            raise ArnError(f"there is no training-free method {name!r}; there are {', '.join(METHODS)}")
        self.name = name

    def stems(self, dataset: str) -> list[str] | None:
        return None

    def maps(self, dataset: str, source: Source, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
        for index in indices:
            yield METHODS[self.name](source.read(index)[0])


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

    def maps(self, dataset: str, source: Source, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
        place = self._place(dataset)
        for index in indices:
            yield read_map(place / f"{source.stems[index]}.png")
