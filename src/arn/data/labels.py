"""What the values of a mask stand for: told by the values themselves where they can, else by the user.

A mask of class numbers, or with a void label, is not guessed at: read as gray levels, 1 would be background, and 255,
often "do not count", an object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from arn.errors import ArnError

WORDS = ("object", "background", "ignore")
CLASSES = 64  # class numbers lie below; no set in use has more but for ADE20K, whose masks say nothing of objects
SOFT = 8  # gray levels at least, of an outline that was drawn or resized softly
SHARES = frozenset(value for twelfth in range(1, 12) for value in (255 * twelfth // 12, round(255 * twelfth / 12)))
"""Gray levels of PASCAL-S: how many of 12 people chose an object."""


@dataclass(frozen=True)
class Meaning:
    """What a user says of mask values: ``{1: object, 255: ignore}``.

    Attributes:
        object, background, ignore: the values. Where none is an object, what is left is read as it would be alone;
            else every other value is background.
    """

    object: frozenset[int] = frozenset()
    background: frozenset[int] = frozenset()
    ignore: frozenset[int] = frozenset()

    @classmethod
    def of(cls, key: str, said: Mapping[Any, Any] | None) -> Meaning | None:
        """Raises ArnError naming ``key`` for anything else than values with one of the words."""
        if not said:
            return None
        groups: dict[str, set[int]] = {word: set() for word in WORDS}
        for value, word in said.items():
            number = int(value) if isinstance(value, str) and value.isdigit() else value
            whole = isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= 255
            if not whole or word not in WORDS:
                raise ArnError(
                    f"{key}={{{value}: {word}}}: a value, 0 to 255, is {', '.join(WORDS[:-1])} or {WORDS[-1]}"
                )
            groups[word].add(number)
        return cls(**{word: frozenset(values) for word, values in groups.items()})

    def mask(self, path: Path, values: NDArray[np.uint8], noisy: bool) -> NDArray[np.uint8]:
        """0..255; what is ignored is 0. Raises ArnError where what is left says nothing by itself."""
        if self.object:
            return (np.isin(values, list(self.object)) * np.uint8(255)).astype(np.uint8)
        aside = np.isin(values, [*self.ignore, *self.background])
        return plain_mask(path, np.where(aside, 0, values).astype(np.uint8), noisy)

    def ignored(self, values: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.isin(values, list(self.ignore))


def plain_mask(path: Path, values: NDArray[np.uint8], noisy: bool = False) -> NDArray[np.uint8]:
    """0 and 1 as 0 and 255, 0 and 255 and gray levels as they are; ``noisy``, as JPEG is: all values are levels.

    Gray levels are at least eight, as soft outlines have, or twelfths of 255, as PASCAL-S has. Raises ArnError naming
    the values for others.
    """
    if noisy:
        return values
    counts = cv2.calcHist([np.ascontiguousarray(values)], [0], None, [256], [0, 256]).ravel()
    present = np.flatnonzero(counts)
    between = present[(present > 0) & (present < 255)]
    if not between.size:
        return values
    if present[-1] == 1:
        return values * np.uint8(255)
    if not _graded(between):
        raise ArnError(
            f"{path} holds the values {_listed(present)}: neither two (0 and 1, or 0 and 255) nor gray levels. Say "
            "what they stand for, as in masks={1: object} or masks={255: ignore}; for arn train it is data.masks"
        )
    return values


def _graded(between: NDArray[np.intp]) -> bool:
    if between.size >= SOFT:
        return bool(between[-1] >= CLASSES)
    return set(between.tolist()) <= SHARES and between.tolist() not in ([127], [128])  # a trimap's "unknown"


def _listed(values: Iterable[int], most: int = 8) -> str:
    told = [str(value) for value in values]
    return ", ".join(told) if len(told) <= most else f"{', '.join(told[: most - 1])}, ... {told[-1]}"
