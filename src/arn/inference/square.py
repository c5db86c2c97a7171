"""From pictures of any size to maps of their sizes, through a network that takes squares of one size, without torch."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from arn.data.transforms import resize
from arn.inference.methods import Kind, Map, Picture

if TYPE_CHECKING:
    from arn.inference.anything import Same

Floats = NDArray[np.float32]


class SquarePredictor(ABC):
    """A :class:`arn.inference.methods.Method` whose network takes squares of one size.

    Attributes:
        batch_size: pictures that the network takes at once.
        input_size: side of the squares, px.
    """

    kind: Kind
    name: str
    source: str
    trained_on: tuple[str, ...] | None = None
    parameters: int | None = None
    precision: str | None = None  # fp32 or bf16, of a network of torch
    batch_size = 8
    input_size: int

    @property
    @abstractmethod
    def device(self) -> str:
        """As tables say it: ``NVIDIA H100`` or ``CPU, 2 threads``."""

    @property
    @abstractmethod
    def fingerprint(self) -> bytes: ...

    @abstractmethod
    def probabilities(self, squares: Floats) -> Floats:
        """RGB B x 3 x S x S in 0..1 -> B x 1 x h x w in 0..1."""

    def maps(self, pictures: Sequence[Picture]) -> list[Map]:
        """uint8 RGB H x W x 3 of any sizes -> float32 H x W in 0..1, each at its own size; ``batch_size`` at once.

        Raises ValueError for an array of another type or shape.
        """
        maps: list[Map] = []
        while len(maps) < len(pictures):
            maps += self.batch_maps(pictures[len(maps) : len(maps) + self.batch_size])
        return maps

    def batch_maps(self, pictures: Sequence[Picture]) -> list[Map]:
        """As :meth:`maps`, all at once or, where memory is short, the first of them."""
        small = self.probabilities(self.squares(pictures))
        return [at_native_size(one[0], p.shape[:2]) for one, p in zip(small, pictures, strict=True)]

    @overload
    def __call__(self, pictures: Same, batch_size: int | None = ...) -> Same: ...
    @overload
    def __call__(self, pictures: str | os.PathLike[str], batch_size: int | None = ...) -> NDArray[Any]: ...
    @overload
    def __call__(self, pictures: list[Any] | tuple[Any, ...], batch_size: int | None = ...) -> list[Any]: ...
    @overload
    def __call__(self, pictures: Iterable[Any], batch_size: int | None = ...) -> Any: ...
    def __call__(self, pictures: Any, batch_size: int | None = None) -> Any:
        """The map of a picture, or of each of many, in the kind that was given: see :mod:`arn.inference.anything`."""
        from arn.inference.anything import of_anything

        return of_anything(self, pictures, lambda picture, found: found, batch_size)

    def fitting_batch(self) -> int:
        """How many pictures at once suit the device; to be put into ``batch_size``."""
        return self.batch_size

    def predict(self, picture: Picture) -> Map:
        """uint8 RGB H x W x 3 -> float32 map H x W in 0..1."""
        return self.maps([picture])[0]

    def squares(self, pictures: Sequence[Picture]) -> Floats:
        """uint8 RGB H x W x 3 of any sizes -> float32 RGB B x 3 x S x S in 0..1, as the network takes them."""
        small = self.resized(pictures).transpose(0, 3, 1, 2)
        return np.divide(small, np.float32(255), dtype=np.float32, order="C")

    def resized(self, pictures: Sequence[Picture]) -> NDArray[np.uint8]:
        """uint8 RGB H x W x 3 of any sizes -> uint8 RGB B x S x S x 3. Raises ValueError for anything else."""
        for picture in pictures:
            if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
                raise ValueError(f"a picture is uint8 H x W x 3, not {picture.dtype} {picture.shape}")
        return np.stack([resize(picture, self.input_size, self.input_size) for picture in pictures])


def at_native_size(probabilities: Floats, size: Sequence[int]) -> Map:
    """h x w in 0..1 -> H x W in 0..1, bilinear, as torch's with ``align_corners=False``."""
    full = cv2.resize(probabilities, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.clip(full, 0, 1, dtype=np.float32)
