"""Scores of one picture, and what becomes of many: pure functions on NumPy arrays, without torch.

A map is float H x W in 0..1, or uint8 H x W in 0..255; a mask is bool, gray uint8 0..255, or float 0..1, of the same
shape. What the measures mean under each protocol is in docs/protocols.md.

The scores of a picture are kept as one flat row of float64, laid out by `fields`; a data set's are the exact sum of its
rows (`Totals`), so that neither order, batches, processes nor ranks change a single bit of the result.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arn.errors import ArnError
from arn.metrics import kernels
from arn.metrics.protocols import BETA2, MEASURES, Protocol, check_measures, get_protocol

Scores = dict[str, Any]  # name -> float, or float64 array of 256

# The threshold that each entry of a curve belongs to, as a level: curves run from 255 down to 0.
THRESHOLDS = np.arange(255, -1, -1)

_NORMALISE = {"none": kernels.NONE, "max": kernels.MAX, "minmax": kernels.MINMAX}

# A mask of this many pixels with nothing but 0 and 1 in it holds class numbers: read as levels, it would be empty.
_CLASS_NUMBERS_FROM = 64


# -------------------------------------------------------------------------------------------------------- the layout


@cache
def fields(measures: tuple[str, ...] = MEASURES) -> dict[str, slice]:
    """Where each score stands in a row of these measures (a tuple as `check_measures` returns it).

    | measure | scores |
    | --- | --- |
    | mae | `mae` |
    | f | `adaptive_precision`, `adaptive_recall`, `adaptive_f`, `best_f`; `precision`, `recall`, `f_curve` (256 each) |
    | e | `adaptive_e`, `best_e`; `e_curve` (256) |
    | s | `s_measure` |
    | wf | `weighted_f` |

    `best_f` and `best_e` are the picture's own maxima over the thresholds.
    """
    widths = {
        "mae": {"mae": 1},
        "f": {
            "adaptive_precision": 1,
            "adaptive_recall": 1,
            "adaptive_f": 1,
            "best_f": 1,
            "precision": 256,
            "recall": 256,
            "f_curve": 256,
        },
        "e": {"adaptive_e": 1, "best_e": 1, "e_curve": 256},
        "s": {"s_measure": 1},
        "wf": {"weighted_f": 1},
    }
    places, start = {}, 0
    for measure in measures:
        for name, width in widths[measure].items():
            places[name] = slice(start, start + width)
            start += width
    return places


@cache
def width(measures: tuple[str, ...] = MEASURES) -> int:
    """How many float64 a row of these measures has."""
    return max(place.stop for place in fields(measures).values())


def named(row: NDArray[np.float64], measures: tuple[str, ...] = MEASURES) -> Scores:
    """A row's scores by name: floats, and views of its curves."""
    return {
        name: float(row[place.start]) if place.stop - place.start == 1 else row[place]
        for name, place in fields(measures).items()
    }


# ------------------------------------------------------------------------------------------------------- one picture


def score(
    map: NDArray[Any],  # the field's word
    mask: NDArray[Any],
    protocol: str | Protocol = "arn2018",
    measures: Iterable[str] = MEASURES,
    stem: str | None = None,
) -> Scores:
    """Scores of one map against one mask, by name; see `fields` for the names.

    Raises ArnError, naming `stem`, for a shape mismatch, an empty array, NaN, values outside 0..1, and other types.
    """
    chosen = check_measures(measures)
    return named(score_row(map, mask, get_protocol(protocol), chosen, stem), chosen)


def score_row(
    map: NDArray[Any],
    mask: NDArray[Any],
    protocol: Protocol,
    measures: tuple[str, ...] = MEASURES,
    stem: str | None = None,
) -> NDArray[np.float64]:
    """As `score`, as a row. `measures` as `check_measures` returns them."""
    gray = _gray(mask, stem)
    levels, values = _checked_map(map, stem)
    if (levels if values is None else values).shape != gray.shape:
        shape = (levels if values is None else values).shape
        raise ArnError(
            f"{_the('map', stem)} is {_size(shape)} but its mask is {_size(gray.shape)}: a map has its mask's size."
        )
    row = np.zeros(width(measures))
    if values is None:
        _score_levels(levels, gray, protocol, measures, row)
    else:
        _score_values(values, gray, protocol, measures, row)
    return row


def _score_levels(
    levels: NDArray[np.uint8],
    gray: NDArray[np.uint8],
    protocol: Protocol,
    measures: tuple[str, ...],
    row: NDArray[np.float64],
) -> None:
    """Everything that a histogram can give comes from one pass: PR, F and E curves, MAE, half of the S-measure."""
    places = fields(measures)
    counts = kernels.joint_counts(levels, gray)
    lowest, highest = kernels.extent(counts)
    fg, bg = _split(counts, protocol.mask_level)
    values, bins, offset, scale = kernels.level_table(lowest, highest, _NORMALISE[protocol.normalise], _rule(protocol))

    if "mae" in measures:
        if protocol.mae_mask_level is None:
            error = kernels.difference_sum(levels, gray) / 255.0
        else:
            mae_fg, mae_bg = _split(counts, protocol.mae_mask_level)
            error = kernels.histogram_error(mae_fg, mae_bg, *_affine(lowest, highest, protocol.mae_normalise))
        row[places["mae"]] = error / levels.size

    if "f" in measures or "e" in measures:
        tp, fp, tie = kernels.adaptive_counts(fg, bg, offset, scale)
        if tie >= 0 and protocol.numpy_rounding:
            tp, fp = _as_numpy_rounds(kernels.level_values(levels, values), gray, protocol)
        _histogram_measures(
            kernels.rebinned(fg, bins),
            kernels.rebinned(bg, bins),
            int(tp),
            int(fp),
            protocol,
            measures,
            row,
        )

    if "s" in measures:
        n_fg, n_bg = int(fg.sum()), int(bg.sum())
        mean = float((fg + bg) @ (np.arange(256) - offset)) / (scale * levels.size)
        if n_fg == 0 or n_bg == 0:
            similarity = 1.0 - mean if n_fg == 0 else mean
        else:
            cut = kernels.centroid(gray, protocol.mask_level, protocol.centroid == "half_up")
            blocks = kernels.level_blocks(levels, gray, protocol.mask_level, *cut, offset, scale)
            sides = kernels.level_sides(fg, bg, offset, scale)
            similarity = _structure(sides, blocks, cut, protocol, lambda: kernels.level_values(levels, values))
        row[places["s_measure"]] = similarity

    if "wf" in measures:
        row[places["weighted_f"]] = _weighted_f(levels, values, gray, protocol)


def _score_values(
    given: NDArray[Any],
    gray: NDArray[np.uint8],
    protocol: Protocol,
    measures: tuple[str, ...],
    row: NDArray[np.float64],
) -> None:
    """As `_score_levels`, of float values."""
    places = fields(measures)
    lowest, highest, _ = kernels.value_range(given)
    lowest, highest = float(lowest), float(highest)
    values = kernels.normalised(given, lowest, highest, _NORMALISE[protocol.normalise])
    level = protocol.mask_level

    if "mae" in measures:
        same = protocol.mae_normalise == protocol.normalise
        rated = values if same else kernels.normalised(given, lowest, highest, _NORMALISE[protocol.mae_normalise])
        mae_level = -1 if protocol.mae_mask_level is None else protocol.mae_mask_level
        row[places["mae"]] = kernels.absolute_error(rated, gray, mae_level) / values.size

    if "f" in measures or "e" in measures:
        fg, bg = kernels.value_counts(values, gray, level, _rule(protocol))
        tp, fp = _as_numpy_rounds(values, gray, protocol)
        _histogram_measures(fg, bg, tp, fp, protocol, measures, row)

    if "s" in measures:
        sides = kernels.value_sides(values, gray, level)
        if sides[0, 0] == 0:
            similarity = 1.0 - sides[1, 1]
        elif sides[1, 0] == 0:
            similarity = sides[0, 1]
        else:
            cut = kernels.centroid(gray, level, protocol.centroid == "half_up")
            blocks = kernels.value_blocks(values, gray, level, *cut)
            similarity = _structure(sides, blocks, cut, protocol, lambda: values)
        row[places["s_measure"]] = similarity

    if "wf" in measures:
        row[places["weighted_f"]] = _weighted_f(values, None, gray, protocol)


def _histogram_measures(
    fg: NDArray[np.int64],
    bg: NDArray[np.int64],
    tp: int,
    fp: int,
    protocol: Protocol,
    measures: tuple[str, ...],
    row: NDArray[np.float64],
) -> None:
    """F and E of counts by bin, and of the adaptive threshold's true and false positives."""
    places = fields(measures)
    n_fg, n_bg = int(fg.sum()), int(bg.sum())
    if "f" in measures:
        row[places["best_f"]] = kernels.precision_recall_f(
            fg, bg, protocol.smoothing, BETA2, row[places["precision"]], row[places["recall"]], row[places["f_curve"]]
        )
        precision, recall = tp / max(tp + fp, 1), tp / max(n_fg, 1)
        row[places["adaptive_precision"]] = precision
        row[places["adaptive_recall"]] = recall
        row[places["adaptive_f"]] = kernels.f_measure(precision, recall, BETA2)
    if "e" in measures:
        row[places["best_e"]] = kernels.alignment_curve(fg, bg, row[places["e_curve"]])
        row[places["adaptive_e"]] = kernels.enhanced_alignment(tp, fp, n_fg, n_fg + n_bg)


def _structure(
    sides: NDArray[np.float64],
    blocks: NDArray[np.float64],
    cut: tuple[int, int],
    protocol: Protocol,
    values: Any,
) -> float:
    """S-measure from its moments. `values()` gives the normalised map, which is needed in the rare case below only."""
    similarities, doubtful = kernels.region_similarities(blocks)
    if doubtful and protocol.numpy_rounding:
        # A block where the map is flat and the mask is, too, is a perfect match: 1. PySODMetrics says 0 when the mean
        # of the equal values, summed in floating point, comes out a rounding error beside them.
        for b, (n, mean, _, squares, mask_squares, _) in enumerate(blocks):
            if n > 1 and squares == 0 and mask_squares == 0 and 0 < mean < 1:
                rows = slice(0, cut[0]) if b < 2 else slice(cut[0], None)
                columns = slice(0, cut[1]) if b % 2 == 0 else slice(cut[1], None)
                block = values()[rows, columns]
                similarities[b] = float(block.mean() == block[0, 0])
    return float(kernels.structure(sides, similarities, blocks))


def _weighted_f(
    levels: NDArray[Any], table: NDArray[np.float64] | None, gray: NDArray[np.uint8], protocol: Protocol
) -> float:
    room = getattr(_scratch, "room", None)
    if room is None or room.size < gray.size:
        _scratch.room = room = np.empty(gray.size, np.int32)
    return float(
        kernels.weighted_f(levels, table, gray, protocol.mask_level, kernels.IMPORTANCE, kernels.GAUSS, 1.0, room)
    )


# Room for one picture's distances, kept by each thread: the system hands out fresh memory page by page, zeroed, and
# asking for it anew with every picture made two processes no faster than one.
_scratch = threading.local()


def _as_numpy_rounds(values: NDArray[np.float64], gray: NDArray[np.uint8], protocol: Protocol) -> tuple[int, int]:
    """True and false positives at min(2 mean, 1), the mean summed in floating point by NumPy."""
    threshold = min(2 * float(values.mean()), 1.0)
    tp, fp = kernels.counts_from(values, gray, protocol.mask_level, threshold)
    return int(tp), int(fp)


def _split(counts: NDArray[np.int64], mask_level: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Foreground and background counts by level, from `kernels.joint_counts`."""
    if mask_level == 25:
        return counts[1] + counts[2], counts[0]
    if mask_level == 128:
        return counts[2], counts[0] + counts[1]
    raise ValueError(f"no counts are kept for a mask level of {mask_level}")


def _affine(lowest: int, highest: int, normalise: str) -> tuple[int, int]:
    """Offset and scale of a normalisation of levels: value = (level - offset) / scale."""
    if normalise == "minmax" and highest > lowest:
        return lowest, highest - lowest
    if normalise == "max" and highest > 0:
        return 0, highest
    return 0, 255


def _rule(protocol: Protocol) -> int:
    if protocol.quantise == "truncate":
        return kernels.TRUNCATE
    return kernels.STRICT if protocol.strict else kernels.COMPARE


# ------------------------------------------------------------------------------------------------------ checked input


def _checked_map(map: NDArray[Any], stem: str | None) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
    """Levels (uint8, H x W), or anything and float32 or float64 values in 0..1."""
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
    return _NO_LEVELS, values


_NO_LEVELS = np.empty((0, 0), np.uint8)


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


def eight_bits(map: NDArray[Any]) -> NDArray[np.uint8]:
    """A float map in 0..1 as the 8-bit PNG that is written of it holds it; uint8 maps are returned as they are."""
    array = np.asarray(map)
    if array.dtype.kind != "f":
        return array
    return np.rint(array.astype(np.float32) * 255).astype(np.uint8)


def _the(what: str, stem: str | None) -> str:
    return f"The {what} of '{stem}'" if stem is not None else f"A {what} (no stem was given)"


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"


# -------------------------------------------------------------------------------------------------------- a data set


def empty_sums(measures: tuple[str, ...]) -> NDArray[np.int64]:
    """The sum of no rows: int64, 3 x `width(measures)`."""
    return np.zeros((3, width(measures)), np.int64)


def add_row(sums: NDArray[np.int64], row: NDArray[np.float64]) -> None:
    """Adds a row to `sums`, in place and exactly.

    Each value is split into units, 2^-32 and 2^-64: integer addition is associative where that of floats is not, so
    sums of parts can be added in any order, by any number of processes. Bits below 2^-64 are dropped; 2^31 rows fit.
    """
    kernels.add_exactly(sums, row)


def mean_row(sums: NDArray[np.int64], pictures: int) -> NDArray[np.float64]:
    """The average of the rows that were added. Raises ArnError when there were none."""
    if pictures < 1:
        raise ArnError("No picture was scored, so there are no scores: call update before compute.")
    units, middle, low = sums
    middle = middle + (low >> 32)
    units = units + (middle >> 32)
    fraction = (middle & 0xFFFFFFFF) + (low & 0xFFFFFFFF) * 2.0**-32
    return (units + fraction * 2.0**-32) / pictures


class Totals:
    """The exact sum of many pictures' rows: constant in size, the same in any order and however it was merged.

    >>> totals = Totals("arn2018", ("mae", "f"))
    >>> for map, mask in pairs:
    ...     totals.add(score_row(map, mask, totals.protocol, totals.measures))
    >>> totals.compute()["max_f"]
    """

    def __init__(self, protocol: str | Protocol = "arn2018", measures: Iterable[str] = MEASURES) -> None:
        self.protocol = get_protocol(protocol)
        self.measures = check_measures(measures)
        self.sums = empty_sums(self.measures)
        self.pictures = 0

    def add(self, row: NDArray[np.float64]) -> None:
        add_row(self.sums, row)
        self.pictures += 1

    def merge(self, other: Totals) -> None:
        """Adds what another process has summed under the same protocol and measures."""
        if (other.protocol, other.measures) != (self.protocol, self.measures):
            raise ValueError("only sums of one protocol and the same measures can be merged")
        self.sums += other.sums
        self.pictures += other.pictures

    def compute(self) -> Scores:
        """As `aggregate`. Raises ArnError when no picture was added."""
        return aggregate(mean_row(self.sums, self.pictures), self.protocol, self.measures, self.pictures)


def f_of(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """F-measure (beta^2 = 0.3) of arrays of precision and recall; 0 where both are 0."""
    product = (1 + BETA2) * precision * recall
    return product / np.where(product == 0, 1.0, BETA2 * precision + recall)


def aggregate(
    mean: NDArray[np.float64], protocol: Protocol, measures: tuple[str, ...] = MEASURES, pictures: int | None = None
) -> Scores:
    """A data set's scores from the average of its pictures' rows.

    Floats, and curves of 256 whose entry k belongs to the threshold `thresholds[k]` = 255 - k:

    | measure | scores |
    | --- | --- |
    | mae | `mae` |
    | f | `max_f`, `mean_f`, `f_curve`: the protocol's own, equal to one of the next two groups |
    | | `max_f_dataset`, `mean_f_dataset`, `f_curve_dataset`: F of the averaged `precision` and `recall` |
    | | `max_f_picture`, `mean_f_picture`, `f_curve_picture`: average of the pictures' F curves |
    | | `mean_best_f`: average of the pictures' own maxima; `adaptive_f`, `adaptive_precision`, `adaptive_recall` |
    | e | `max_e`, `mean_e`, `e_curve` of the averaged curve; `mean_best_e`; `adaptive_e` |
    | s, wf | `s_measure`, `weighted_f` |

    `pictures`, their number, is among them where it is given.
    """
    own = named(mean, measures)
    scores: Scores = {} if pictures is None else {"pictures": pictures}
    if "mae" in measures:
        scores["mae"] = own["mae"]
    if "f" in measures:
        curves = {"dataset": f_of(own["precision"], own["recall"]), "picture": own["f_curve"]}
        chosen = curves[protocol.average]
        scores |= {"max_f": float(chosen.max()), "mean_f": float(chosen.mean()), "adaptive_f": own["adaptive_f"]}
        for kind, curve in curves.items():
            scores |= {f"max_f_{kind}": float(curve.max()), f"mean_f_{kind}": float(curve.mean())}
        scores["mean_best_f"] = own["best_f"]
        scores |= {name: own[name] for name in ("adaptive_precision", "adaptive_recall")}
    if "e" in measures:
        curve = own["e_curve"]
        scores |= {"max_e": float(curve.max()), "mean_e": float(curve.mean()), "adaptive_e": own["adaptive_e"]}
        scores["mean_best_e"] = own["best_e"]
    if "s" in measures:
        scores["s_measure"] = own["s_measure"]
    if "wf" in measures:
        scores["weighted_f"] = own["weighted_f"]
    if "f" in measures:
        scores |= {"precision": own["precision"].copy(), "recall": own["recall"].copy(), "f_curve": chosen.copy()}
        scores |= {f"f_curve_{kind}": curve.copy() for kind, curve in curves.items()}
    if "e" in measures:
        scores["e_curve"] = own["e_curve"].copy()
    if "f" in measures or "e" in measures:
        scores["thresholds"] = THRESHOLDS.copy()
    return scores


@dataclass(frozen=True)
class Rows:
    """The scores of many pictures, one row each, sorted by stem.

    `table` is float64, pictures x `width(measures)`; `rows["mae"]` is the column of a score, or the n x 256 of a curve.
    """

    protocol: Protocol
    measures: tuple[str, ...]
    stems: tuple[str, ...]
    table: NDArray[np.float64]

    @classmethod
    def of(
        cls, protocol: Protocol, measures: tuple[str, ...], scored: Sequence[tuple[str, NDArray[np.float64]]]
    ) -> Rows:
        """From pairs of stem and row. Raises ArnError, listing the stems, when a picture was scored twice."""
        ordered = sorted(scored, key=lambda pair: pair[0])
        twice = sorted({a[0] for a, b in pairwise(ordered) if a[0] == b[0]})
        if twice:
            raise ArnError(f"{len(twice)} pictures were scored more than once: {', '.join(twice[:10])}.")
        table = np.array([row for _, row in ordered]).reshape(len(ordered), width(measures))
        return cls(protocol, measures, tuple(stem for stem, _ in ordered), table)

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        place = fields(self.measures)[name]
        return self.table[:, place.start] if place.stop - place.start == 1 else self.table[:, place]

    def select(self, stems: Iterable[str]) -> Rows:
        """Those of some pictures, such as a held-out part. Raises ArnError, listing them, for stems not among these."""
        wanted = set(stems)
        missing = sorted(wanted.difference(self.stems))
        if missing:
            raise ArnError(f"{len(missing)} pictures were not scored: {', '.join(missing[:10])}.")
        kept = [index for index, stem in enumerate(self.stems) if stem in wanted]
        return Rows(self.protocol, self.measures, tuple(self.stems[index] for index in kept), self.table[kept])

    def compute(self) -> Scores:
        """The scores of all of them together, bit for bit as `Totals` gives them."""
        totals = Totals(self.protocol, self.measures)
        for row in self.table:
            totals.add(row)
        return totals.compute()
