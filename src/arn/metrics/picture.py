"""One picture to be scored: a checked map and mask, and what several measures need of them, computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from arn.errors import ArnError
from arn.metrics import kernels
from arn.metrics.protocols import Protocol

T = TypeVar("T")
Integers = NDArray[np.int64]

_NORMALISE = {"none": kernels.NONE, "max": kernels.MAX, "minmax": kernels.MINMAX}

# A mask of this many pixels with nothing but 0 and 1 in it holds class numbers: read as levels, it would be empty.
_CLASS_NUMBERS_FROM = 64


class _Lazy(Generic[T]):
    """A property computed on first use. `functools.cached_property` holds one lock for all instances up to Python 3.11:
    with it threads would score one picture at a time."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> _Lazy[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> T | _Lazy[T]:
        if instance is None:
            return self
        value = instance.__dict__[self.name] = self.compute(instance)
        return value


@dataclass(frozen=True)
class Counts:
    """Pixels by what they are and what they were predicted as, at one threshold or at many."""

    tp: Integers
    fp: Integers
    n_fg: int
    n_bg: int

    @property
    def fn(self) -> Integers:
        return self.n_fg - self.tp

    @property
    def tn(self) -> Integers:
        return self.n_bg - self.fp


@dataclass(frozen=True)
class Levels:
    """What a map's 256 levels become: `values` (float64) and their `bins`; value = (level - offset) / scale."""

    values: NDArray[np.float64]
    bins: Integers
    offset: int
    scale: int


class Picture:
    """A map and a mask under a protocol.

    Attributes:
        levels: the map, uint8 H x W; None where it was given as floats. Measures that can be had from a histogram of
            levels are faster and exact there.
        given: the map as float32 or float64 H x W in 0..1; None where it was given as levels.
        gray: the mask, uint8 H x W.
    """

    def __init__(self, map: NDArray[Any], mask: NDArray[Any], protocol: Protocol, stem: str | None = None) -> None:
        """Raises ArnError, naming `stem`, for unequal shapes, an empty array, NaN, values outside 0..1, other types."""
        self.protocol = protocol
        self.gray = _gray(mask, stem)
        self.levels, self.given = _checked_map(map, stem)
        shape = (self.levels if self.given is None else self.given).shape  # type: ignore[union-attr]
        if shape != self.gray.shape:
            raise ArnError(
                f"{_the('map', stem)} is {_size(shape)} but its mask is {_size(self.gray.shape)}: "
                "a map has its mask's size."
            )

    @property
    def size(self) -> int:
        """Pixels."""
        return self.gray.size

    @_Lazy
    def joint(self) -> Integers:
        """`kernels.joint_counts`, of levels."""
        counts: Integers = kernels.joint_counts(self.levels, self.gray)
        return counts

    @_Lazy
    def extent(self) -> tuple[int, int]:
        """Lowest and highest level, of levels."""
        lowest, highest = kernels.extent(self.joint)
        return lowest, highest

    @_Lazy
    def value_extent(self) -> tuple[float, float]:
        """Lowest and highest value, of floats."""
        lowest, highest, _ = kernels.value_range(self.given)
        return float(lowest), float(highest)

    def split(self, mask_level: int) -> tuple[Integers, Integers]:
        """Foreground and background pixels by level (256 each), of levels."""
        counts = self.joint
        if mask_level == 25:
            return counts[1] + counts[2], counts[0]
        if mask_level == 128:
            return counts[2], counts[0] + counts[1]
        raise ValueError(f"no counts are kept for a mask level of {mask_level}")

    @_Lazy
    def sides(self) -> tuple[Integers, Integers]:
        """`split` by the protocol's own mask level."""
        return self.split(self.protocol.mask_level)

    @_Lazy
    def table(self) -> Levels:
        """The protocol's normalisation, of levels."""
        return Levels(*kernels.level_table(*self.extent, _NORMALISE[self.protocol.normalise], _rule(self.protocol)))

    @_Lazy
    def values(self) -> NDArray[np.float64]:
        """The normalised map, float64 H x W."""
        if self.given is None:
            values: NDArray[np.float64] = kernels.level_values(self.levels, self.table.values)
            return values
        return self.normalised(self.protocol.normalise)

    def normalised(self, how: str) -> NDArray[np.float64]:
        """A map of floats under another normalisation than the protocol's own."""
        values: NDArray[np.float64] = kernels.normalised(self.given, *self.value_extent, _NORMALISE[how])
        return values

    @_Lazy
    def bins(self) -> tuple[Integers, Integers]:
        """Foreground and background pixels by the number of thresholds that they pass, 257 each."""
        if self.given is not None:
            fg, bg = kernels.value_counts(self.values, self.gray, self.protocol.mask_level, _rule(self.protocol))
            return fg, bg
        fg, bg = self.sides
        return kernels.rebinned(fg, self.table.bins), kernels.rebinned(bg, self.table.bins)

    @_Lazy
    def n_fg(self) -> int:
        """Foreground pixels."""
        return int(self.bins[0].sum())

    @_Lazy
    def at_thresholds(self) -> Counts:
        """At the thresholds 255, 254, .. 0, 256 each."""
        tp, fp = (counts[:0:-1].cumsum() for counts in self.bins)
        return Counts(tp, fp, self.n_fg, self.size - self.n_fg)

    @_Lazy
    def adaptive(self) -> tuple[int, int]:
        """True and false positives at the adaptive threshold."""
        if self.given is None:
            tp, fp, tie = kernels.adaptive_counts(*self.sides, self.table.offset, self.table.scale)
            if tie < 0 or not self.protocol.numpy_rounding:
                return int(tp), int(fp)
        # The mean is summed in floating point by NumPy.
        threshold = min(2 * float(self.values.mean()), 1.0)
        tp, fp = kernels.counts_from(self.values, self.gray, self.protocol.mask_level, threshold)
        return int(tp), int(fp)

    @_Lazy
    def at_adaptive(self) -> Counts:
        """At the adaptive threshold, one number each."""
        tp, fp = (np.asarray(count) for count in self.adaptive)
        return Counts(tp, fp, self.n_fg, self.size - self.n_fg)


def _rule(protocol: Protocol) -> int:
    if protocol.quantise == "truncate":
        return kernels.TRUNCATE
    return kernels.STRICT if protocol.strict else kernels.COMPARE


# ------------------------------------------------------------------------------------------------------ checked input


def _checked_map(map: NDArray[Any], stem: str | None) -> tuple[NDArray[np.uint8] | None, NDArray[Any] | None]:
    """Levels (uint8, H x W) and None, or None and float32 or float64 values in 0..1."""
    array = np.asarray(map)
    if array.ndim != 2 or array.size == 0:
        raise ArnError(f"{_the('map', stem)} has shape {array.shape}: a map is H x W and not empty.")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array), None
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array).view(np.uint8) * np.uint8(255), None
    if array.dtype.kind != "f":
        raise ArnError(f"{_the('map', stem)} is of type {array.dtype}: maps are uint8 in 0..255, or float in 0..1.")
    values = np.ascontiguousarray(array, np.float32 if array.dtype.itemsize < 8 else np.float64)
    _check_unit_range(values, "map", stem)
    return None, values


def _gray(mask: NDArray[Any], stem: str | None) -> NDArray[np.uint8]:
    """A mask of any accepted type as levels: uint8, H x W, contiguous."""
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise ArnError(f"{_the('mask', stem)} has shape {array.shape}: a mask is H x W and not empty.")
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array).view(np.uint8) * np.uint8(255)
    if array.dtype == np.uint8:
        if array.size >= _CLASS_NUMBERS_FROM and array.max() == 1:
            raise ArnError(
                f"{_the('mask', stem)} is uint8 and holds only 0 and 1, which 0..255 would read as empty: "
                "pass it as bool."
            )
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        raise ArnError(f"{_the('mask', stem)} is of type {array.dtype}: masks are bool, uint8, or float in 0..1.")
    values = np.ascontiguousarray(array, np.float32 if array.dtype.itemsize < 8 else np.float64)
    _check_unit_range(values, "mask", stem)
    return np.rint(values * 255).astype(np.uint8)


def _check_unit_range(values: NDArray[Any], what: str, stem: str | None) -> None:
    lowest, highest, numbers = kernels.value_range(values)
    if not numbers:
        raise ArnError(f"{_the(what, stem)} holds NaN.")
    if lowest < 0 or highest > 1:
        raise ArnError(f"{_the(what, stem)} holds values in {lowest:g}..{highest:g}: floats are within 0..1.")


def _the(what: str, stem: str | None) -> str:
    return f"The {what} of '{stem}'" if stem is not None else f"A {what} (no stem was given)"


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"
