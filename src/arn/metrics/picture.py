"""One picture to be scored: a checked map and mask, and what several measures need of them, computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arn.errors import ArnError
from arn.metrics import kernels
from arn.metrics.protocols import Normalisation, Protocol

if TYPE_CHECKING:
    from functools import cached_property as lazy
else:

    class lazy:
        """`functools.cached_property` without its lock, which up to Python 3.11 is one for all instances: with it
        threads would score one picture at a time."""

        def __init__(self, compute):
            self.compute = compute

        def __get__(self, instance, owner):
            value = instance.__dict__[self.compute.__name__] = self.compute(instance)
            return value


Integers = NDArray[np.int64]

_NORMALISE = {"none": 0, "max": kernels.MAX, "minmax": kernels.MINMAX}


class Counts(NamedTuple):
    """Pixels by what they are and what they were predicted as, at one threshold or at many."""

    tp: Any  # int, or int64 of any shape
    fp: Any
    n_fg: Any  # int, or int64 that goes with it
    n_bg: Any

    @property
    def fn(self) -> Integers:
        return self.n_fg - self.tp

    @property
    def tn(self) -> Integers:
        return self.n_bg - self.fp


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
        gray, values = _checked(mask, "mask", stem), _checked(map, "map", stem)
        if values.shape != gray.shape:
            sizes = [f"{width} x {height} pixels" for height, width in (values.shape, gray.shape)]
            raise ArnError(f"{_the('map', stem)} is {sizes[0]} but its mask is {sizes[1]}: a map has its mask's size.")
        self.gray = gray if gray.dtype == np.uint8 else np.rint(gray * 255).astype(np.uint8)
        self.levels: Any = values if values.dtype == np.uint8 else None
        self.given: Any = None if values.dtype == np.uint8 else values

    @property
    def size(self) -> int:
        """Pixels."""
        return self.gray.size

    @lazy
    def joint(self) -> Integers:
        """`kernels.joint_counts`, of levels."""
        counts: Integers = kernels.joint_counts(self.levels, self.gray)
        return counts

    @lazy
    def extent(self) -> tuple[int, int]:
        """Lowest and highest level, of levels."""
        lowest, highest = kernels.extent(self.joint)
        return lowest, highest

    def split(self, mask_level: int) -> tuple[Integers, Integers]:
        """Foreground and background pixels by level (256 each), of levels."""
        counts = self.joint
        if mask_level == 25:
            return counts[1] + counts[2], counts[0]
        if mask_level == 128:
            return counts[2], counts[0] + counts[1]
        raise ValueError(f"no counts are kept for a mask level of {mask_level}")

    @lazy
    def sides(self) -> tuple[Integers, Integers]:
        """`split` by the protocol's own mask level."""
        return self.split(self.protocol.mask_level)

    @lazy
    def foreground(self) -> NDArray[np.bool_]:
        """The mask, H x W, by the protocol's own mask level."""
        return self.gray > self.protocol.mask_level

    @lazy
    def profiles(self) -> tuple[Integers, Integers]:
        """`kernels.profiles` of the mask."""
        rows, columns = kernels.profiles(self.gray, self.protocol.mask_level)
        return rows, columns

    @lazy
    def table(self) -> tuple[NDArray[np.float64], Integers]:
        """What the protocol makes of the 256 levels: their values, and how many thresholds they pass; of levels."""
        values, bins = kernels.level_table(*self.extent, _NORMALISE[self.protocol.normalise], _rule(self.protocol))
        return values, bins

    def affine(self, how: Normalisation) -> tuple[int, int]:
        """Offset and scale of a normalisation of levels: value = (level - offset) / scale."""
        lowest, highest = self.extent
        if how == "minmax" and highest > lowest:
            return lowest, highest - lowest
        return 0, highest if how == "max" and highest > 0 else 255

    @lazy
    def values(self) -> NDArray[np.float64]:
        """The normalised map, float64 H x W."""
        return self.normalised(self.protocol.normalise) if self.levels is None else self.table[0].take(self.levels)

    def normalised(self, how: Normalisation) -> NDArray[np.float64]:
        """The map under another normalisation than the protocol's own; of floats."""
        lowest, highest = float(self.given.min()), float(self.given.max())
        values: NDArray[np.float64] = kernels.normalised(self.given, lowest, highest, _NORMALISE[how])
        return values

    @lazy
    def at_thresholds(self) -> Counts:
        """At the thresholds 255, 254, .. 0, 256 each."""
        if self.levels is not None:
            return Counts(*kernels.cumulated(*self.sides, self.table[1]))
        counts = kernels.value_counts(self.values, self.gray, self.protocol.mask_level, _rule(self.protocol))
        return Counts(*kernels.cumulated(*counts, np.arange(257)))

    @lazy
    def at_adaptive(self) -> Counts:
        """At the adaptive threshold min(2 mean, 1), one number each."""
        tie = True
        if self.levels is not None:
            tp, fp, tie = kernels.adaptive_counts(*self.sides, *self.affine(self.protocol.normalise))
        if self.levels is None or (tie and self.protocol.numpy_rounding):
            # The mean is summed in floating point by NumPy.
            predicted = self.values >= min(2 * self.values.mean(), 1.0)
            tp, fp = (int(np.count_nonzero(predicted & side)) for side in (self.foreground, ~self.foreground))
        return Counts(tp, fp, self.at_thresholds.n_fg, self.at_thresholds.n_bg)

    @lazy
    def adaptive(self) -> NDArray[np.bool_]:
        """The binary map at the adaptive threshold, H x W: `at_adaptive` counts its pixels."""
        predicted = int(self.at_adaptive.tp + self.at_adaptive.fp)
        if not predicted:
            return np.zeros(self.gray.shape, np.bool_)
        values = self.given if self.levels is None else self.levels
        lowest = np.partition(values, values.size - predicted, axis=None)[values.size - predicted]
        adaptive: NDArray[np.bool_] = values >= lowest
        return adaptive

    @lazy
    def bins(self) -> NDArray[np.uint16]:
        """How many of the 256 thresholds each pixel passes, 0..256: uint16 H x W."""
        if self.levels is not None:
            return self.table[1].astype(np.uint16).take(self.levels)
        bins: NDArray[np.uint16] = kernels.bins_of(self.values, _rule(self.protocol))
        return bins

    def counts_within(self, region: NDArray[np.bool_]) -> tuple[Counts, Counts]:
        """At the thresholds, 256 each, and at the adaptive one, of the pixels of a part of the picture (H x W)."""
        truth, bins, adaptive = self.foreground[region], self.bins[region], self.adaptive[region]
        fg, bg = (np.bincount(bins[side], minlength=257) for side in (truth, ~truth))
        at_thresholds = Counts(*kernels.cumulated(fg, bg, np.arange(257)))
        tp, fp = (np.count_nonzero(adaptive & side) for side in (truth, ~truth))
        return at_thresholds, Counts(np.asarray(tp), np.asarray(fp), at_thresholds.n_fg, at_thresholds.n_bg)


def _rule(protocol: Protocol) -> int:
    if protocol.quantise == "truncate":
        return kernels.TRUNCATE
    return kernels.STRICT if protocol.strict else kernels.COMPARE


def _checked(given: NDArray[Any], what: str, stem: str | None) -> NDArray[Any]:
    """A map or mask, contiguous H x W: levels as uint8, or float32 or float64 values in 0..1."""
    array = np.asarray(given)
    if array.ndim != 2 or array.size == 0:
        raise ArnError(f"{_the(what, stem)} has shape {array.shape}: a {what} is H x W and not empty.")
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array).view(np.uint8) * np.uint8(255)
    if array.dtype == np.uint8:
        # A mask of this many pixels with nothing but 0 and 1 in it holds class numbers: as levels, it would be empty.
        if what == "mask" and array.size >= 64 and array.max() == 1:
            raise ArnError(
                f"{_the(what, stem)} is uint8 and holds only 0 and 1, which 0..255 would read as empty: "
                "pass it as bool."
            )
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        types = "bool, uint8, or" if what == "mask" else "uint8 in 0..255, or"
        raise ArnError(f"{_the(what, stem)} is of type {array.dtype}: {what}s are {types} float in 0..1.")
    values = np.ascontiguousarray(array, np.float32 if array.dtype.itemsize < 8 else np.float64)
    lowest, highest = values.min(), values.max()
    if np.isnan(lowest):
        raise ArnError(f"{_the(what, stem)} holds NaN.")
    if lowest < 0 or highest > 1:
        raise ArnError(f"{_the(what, stem)} holds values in {lowest:g}..{highest:g}: floats are within 0..1.")
    return values


def _the(what: str, stem: str | None) -> str:
    return f"The {what} of '{stem}'" if stem is not None else f"A {what} (no stem was given)"
