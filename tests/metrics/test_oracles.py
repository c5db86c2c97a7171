"""Our measures against other people's: PySODMetrics, the MATLAB toolbox's stored results, and literal loops."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from arn.data.images import read_map, read_mask
from arn.metrics.functional import Rows, score, score_row
from arn.metrics.measures import MEASURES
from arn.metrics.protocols import get_protocol

pytestmark = pytest.mark.slow

METHODS = ("Amulet", "DSS", "PiCANet")

# Published readings of these very maps, to the digits given: (max F, MAE) under arn2018, then the maximum of the mean
# per-picture curve, the mean of per-picture maxima, and adaptive F.
KNOWN = {
    "Amulet": (0.8061, 0.1407, 0.7728, 0.8297, 0.7547),
    "DSS": (0.8439, 0.1213, 0.8038, 0.8346, 0.7948),
    "PiCANet": (0.8534, 0.1021, 0.8112, 0.8696, 0.7906),
}


# Measures that PySODMetrics computes by `FmeasureV2` from the counts at each threshold; ours are equal to the last bit.
FROM_COUNTS = ("iou", "dice", "ber")


class PySOD:
    """Per-picture scores by PySODMetrics, under our names."""

    def __init__(self) -> None:
        import py_sod_metrics
        from py_sod_metrics import fmeasurev2

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.mae, self.f = py_sod_metrics.MAE(), py_sod_metrics.Fmeasure()
        self.e, self.s = py_sod_metrics.Emeasure(), py_sod_metrics.Smeasure()
        self.wf = py_sod_metrics.WeightedFmeasure()
        handlers = {name: getattr(fmeasurev2, f"{name.upper()}Handler")(True, True) for name in FROM_COUNTS}
        self.v2, self.handlers = py_sod_metrics.FmeasureV2(handlers), handlers

    def score(self, saliency: np.ndarray, mask: np.ndarray, normalize: bool = True) -> dict[str, Any]:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # means of empty blocks
            for measure in (self.mae, self.f, self.e, self.s, self.wf, self.v2):
                measure.step(saliency, mask, normalize)
        return {
            "mae": self.mae.maes.pop(),
            "precision": self.f.precisions.pop(),
            "recall": self.f.recalls.pop(),
            "f_curve": self.f.changeable_fms.pop(),
            "adaptive_f": self.f.adaptive_fms.pop(),
            "e_curve": self.e.changeable_ems.pop(),
            "adaptive_e": self.e.adaptive_ems.pop(),
            "s_measure": self.s.sms.pop(),
            "weighted_f": self.wf.weighted_fms.pop(),
            **{f"{name}_curve": one.dynamic_results[-1] for name, one in self.handlers.items()},
            **{f"adaptive_{name}": one.adaptive_results[-1] for name, one in self.handlers.items()},
        }


def assert_same(ours: dict[str, Any], theirs: dict[str, Any], label: str) -> None:
    for name, value in theirs.items():
        if name == "s_measure" and np.isnan(value):
            # A centroid in the last row or column leaves a block without pixels, whose mean is NaN there: our one
            # departure. The block has no weight, so the others decide.
            assert 0 <= ours[name] <= 1, f"{name} of {label}: {ours[name]}"
            continue
        if name.removeprefix("adaptive_").removesuffix("_curve") in FROM_COUNTS:
            np.testing.assert_array_equal(ours[name], value, f"{name} of {label}")  # quotients of the same integers
            continue
        # relative too: the E-measure of a 1 x 1 picture is 1 / eps
        np.testing.assert_allclose(ours[name], value, rtol=1e-6, atol=1e-6, err_msg=f"{name} of {label}")


# ------------------------------------------------------------------------------------------------------- real pictures


@cache
def real_masks(root: Path) -> dict[str, np.ndarray]:
    return {path.stem: read_mask(path) for path in sorted((root / "SOD" / "masks").iterdir())}


def real_maps(root: Path, method: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    masks = real_masks(root)
    for path in sorted((root / "SOD" / "maps" / method).iterdir()):
        yield path.stem, read_map(path), masks[path.stem]


def real_rows(root: Path, method: str, protocol: str, measures: tuple[str, ...] = MEASURES) -> Rows:
    chosen = get_protocol(protocol)
    scored = [(stem, score_row(one, mask, chosen, measures, stem)) for stem, one, mask in real_maps(root, method)]
    return Rows.of(chosen, measures, scored)


@pytest.mark.real
@pytest.mark.parametrize("method", METHODS)
def test_arn2018_is_the_matlab_toolbox(data_dir: Path, method: str) -> None:
    rows = real_rows(data_dir, method, "arn2018")
    assert len(rows) == 300
    ours = rows.compute()
    stored = np.load(data_dir / "SOD" / "matlab" / f"{method}.npz")
    for name in ("precision", "recall", "f_curve", "max_f", "mae", "s_measure"):
        np.testing.assert_allclose(ours[name], stored[name], atol=1e-9, err_msg=name)
    adaptive = [ours[f"adaptive_{name}"] for name in ("precision", "recall", "f")]
    np.testing.assert_allclose(adaptive, stored["adaptive"], atol=1e-9)
    np.testing.assert_allclose(rows["mae"], stored["mae_per_image"], atol=1e-9)
    np.testing.assert_allclose(rows["s_measure"], stored["s_per_image"], atol=1e-9)
    readings = [ours[name] for name in ("max_f", "mae", "max_f_picture", "mean_best_f", "adaptive_f")]
    np.testing.assert_allclose(readings, KNOWN[method], atol=5.1e-5)


@pytest.mark.real
@pytest.mark.parametrize("method", METHODS)
def test_pysod_is_pysodmetrics_on_real_maps(data_dir: Path, method: str) -> None:
    oracle = PySOD()
    protocol = get_protocol("pysod")
    count = 0
    for stem, one, mask in real_maps(data_dir, method):
        assert_same(score(one, mask, protocol, stem=stem), oracle.score(one, mask), f"{method} {stem}")
        count += 1
    assert count == 300
    # Averages of the 300 are summed exactly by us and in floating point by them.
    ours = real_rows(data_dir, method, "pysod", FROM_COUNTS).compute()
    for name, theirs in oracle.v2.get_results().items():
        best = "min" if name == "ber" else "max"
        np.testing.assert_allclose(ours[f"{name}_curve"], theirs["dynamic"], rtol=0, atol=1e-14)
        assert ours[f"{best}_{name}"] == pytest.approx(getattr(theirs["dynamic"], best)(), abs=1e-14)
        assert ours[f"mean_{name}"] == pytest.approx(theirs["dynamic"].mean(), abs=1e-14)
        assert ours[f"adaptive_{name}"] == pytest.approx(theirs["adaptive"], abs=1e-14)


# ---------------------------------------------------------------------------------------------------------- hard cases

SIZES = ((1, 1), (1, 2), (2, 1), (1, 7), (7, 1), (2, 2), (3, 2), (3, 3), (4, 5), (6, 6), (8, 8), (9, 13), (17, 11))
LARGE = ((40, 31), (64, 64), (3, 200), (200, 3))


def hard_map(rng: np.random.Generator, size: tuple[int, int], kind: int) -> np.ndarray:
    if kind == 0:
        return rng.integers(0, 256, size)
    if kind == 1:  # few levels: exact ties with the adaptive threshold
        return rng.choice(rng.integers(0, 256, 3), size)
    if kind == 2:
        return np.full(size, rng.integers(0, 256))
    if kind == 3:
        return np.full(size, rng.choice([0, 255]))
    if kind == 4:
        return 255 * rng.integers(0, 2, size)
    if kind == 5:  # a narrow range, which min-max stretches
        return rng.integers(0, 7, size) + rng.integers(0, 249)
    if kind == 6:  # flat blocks of odd values
        return np.repeat(np.repeat(rng.integers(0, 256, size), 3, 0), 3, 1)[: size[0], : size[1]]
    ramp = np.add.outer(np.arange(size[0]), np.arange(size[1]))
    return np.minimum(255, ramp * rng.integers(1, 40))


def hard_mask(rng: np.random.Generator, size: tuple[int, int], kind: int) -> np.ndarray:
    if kind == 0:
        return rng.integers(0, 256, size)
    if kind == 1:
        return np.zeros(size)
    if kind == 2:
        return np.full(size, 255)
    if kind == 3:  # a single pixel
        mask = np.zeros(size)
        mask[rng.integers(size[0]), rng.integers(size[1])] = 255
        return mask
    if kind == 4:  # one that reaches the last row and column
        mask = np.zeros(size)
        mask[rng.integers(size[0]) :, rng.integers(size[1]) :] = 255
        return mask
    if kind == 5:  # levels beside both thresholds
        return rng.choice([0, 25, 26, 127, 128, 129, 255], size)
    if kind == 6:  # sparse: many background pixels with several nearest ones
        return 255 * (rng.random(size) < 0.15)
    mask = np.zeros(size)
    mask[size[0] // 4 : size[0] // 4 * 3 + 1, size[1] // 4 : size[1] // 4 * 3 + 1] = 255
    return mask


def hard_cases(count: int, seed: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    kinds = itertools.cycle(itertools.product(range(8), range(8)))
    for index, (map_kind, mask_kind) in zip(range(count), kinds, strict=False):
        size = LARGE[rng.integers(len(LARGE))] if index % 25 == 0 else SIZES[rng.integers(len(SIZES))]
        saliency, mask = hard_map(rng, size, map_kind), hard_mask(rng, size, mask_kind)
        yield f"case {index} {size} {map_kind} {mask_kind}", saliency.astype(np.uint8), mask.astype(np.uint8)


def test_pysod_is_pysodmetrics_on_hard_cases() -> None:
    oracle = PySOD()
    protocol = get_protocol("pysod")
    for label, saliency, mask in hard_cases(5_200, seed=3):
        assert_same(score(saliency, mask, protocol), oracle.score(saliency, mask), label)


def test_float_maps_are_scored_as_pysodmetrics_scores_them() -> None:
    """Values between the 256 levels, in both precisions. PySODMetrics leaves normalising such maps to its caller."""
    oracle = PySOD()
    rng = np.random.default_rng(4)
    for index, (label, levels, mask) in enumerate(hard_cases(600, seed=5)):
        values = np.clip(levels / 255 + rng.uniform(-0.01, 0.01, levels.shape), 0, 1)
        if index % 3 == 0:
            values = np.round(values, 1)  # ties
        values = values.astype(np.float32 if index % 2 else np.float64)
        wide = values.astype(np.float64)
        if wide.max() != wide.min():
            wide = (wide - wide.min()) / (wide.max() - wide.min())
        assert_same(score(values, mask, "pysod"), oracle.score(wide, mask > 128, normalize=False), label)


@pytest.mark.parametrize(
    ("level", "foreground", "iou", "dice", "ber"),
    [
        (0, 0, 0, 0, [0.5] * 255 + [1]),  # nothing there and nothing found: 0 of 0 is 0; a missing side is an error
        (0, 1, [0] * 255 + [1], [0] * 255 + [1], [1] * 255 + [0.5]),
        (255, 0, 0, 0, 1),
        (255, 1, 1, 1, 0.5),
        (0, 0.25, [0] * 255 + [0.25], [0] * 255 + [0.4], 0.5),
    ],
    ids=["empty map and mask", "empty map, full mask", "full map, empty mask", "full both", "empty map"],
)
@pytest.mark.parametrize("protocol", ["arn2018", "pysod"])
def test_counts_of_empty_and_full_pictures(
    protocol: str, level: int, foreground: float, iou: Any, dice: Any, ber: Any
) -> None:
    mask = np.arange(64).reshape(8, 8) < 64 * foreground
    found = score(np.full(mask.shape, level, np.uint8), mask, protocol, FROM_COUNTS)
    for name, expected in (("iou", iou), ("dice", dice), ("ber", ber)):
        np.testing.assert_allclose(found[f"{name}_curve"], np.broadcast_to(expected, 256), atol=1e-15, err_msg=name)


small = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data(), small)
def test_pysod_is_pysodmetrics_on_whatever_hypothesis_finds(data: st.DataObject, shape: tuple[int, int]) -> None:
    levels = st.sampled_from([0, 1, 51, 85, 127, 128, 129, 170, 254, 255])
    saliency = data.draw(hnp.arrays(np.uint8, shape, elements=levels))
    mask = data.draw(hnp.arrays(np.uint8, shape, elements=levels))
    assert_same(score(saliency, mask, "pysod"), PySOD().score(saliency, mask), "hypothesis")


# -------------------------------------------------------------------------------------------- the protocols, literally


def literal_arn2018(saliency: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    """sal_eval_toolbox's definition, one threshold after the other."""
    values = saliency / 255
    peak = values.max()
    scaled = values / peak if peak > 0 else values
    truth = mask / 255 >= 0.1
    precision, recall = np.zeros(256), np.zeros(256)
    for k, threshold in enumerate(np.arange(255, -1, -1) / 255):
        predicted = scaled >= threshold
        hits = np.sum(predicted & truth)
        precision[k] = hits / predicted.sum() if predicted.any() else 0
        recall[k] = hits / truth.sum() if truth.any() else 0
    spread = values.max() - values.min()
    stretched = (values - values.min()) / spread if spread > 0 else values
    return {"precision": precision, "recall": recall, "mae": np.abs(stretched - (mask > 128)).mean()}


def literal_salmetric(saliency: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    """SalMetric's definition, one threshold after the other."""
    truth = mask > 128
    precision, recall = np.zeros(256), np.zeros(256)
    for k, threshold in enumerate(range(255, -1, -1)):
        predicted = saliency > threshold
        hits = np.sum(predicted & truth)
        precision[k] = (hits + 1e-4) / (predicted.sum() + 1e-4)
        recall[k] = (hits + 1e-4) / (truth.sum() + 1e-4)
    return {"precision": precision, "recall": recall, "mae": np.abs(saliency / 255 - mask / 255).mean()}


@pytest.mark.parametrize(("name", "literal"), [("arn2018", literal_arn2018), ("salmetric", literal_salmetric)])
def test_protocol_is_its_literal_definition(name: str, literal: Any) -> None:
    for label, saliency, mask in hard_cases(450, seed=6):
        theirs = literal(saliency, mask)
        ours = score(saliency, mask, name, ("mae", "f"))
        for one, value in theirs.items():
            np.testing.assert_allclose(ours[one], value, atol=1e-12, err_msg=f"{one} of {label}")
        # the same values as floats pass the same thresholds
        again = score(saliency / 255, mask, name, ("mae", "f"))
        for one, value in theirs.items():
            np.testing.assert_allclose(again[one], value, atol=1e-12, err_msg=f"{one} of {label}, as floats")


def test_s_and_weighted_f_take_the_protocols_own_map_and_mask() -> None:
    """Under arn2018: the map divided by its maximum, the mask at a tenth."""
    oracle = PySOD()
    for label, saliency, mask in hard_cases(200, seed=7):
        scaled = saliency / max(int(saliency.max()), 1)
        theirs = oracle.score(scaled, mask > 25, normalize=False)
        ours = score(saliency, mask, "arn2018", ("wf",))
        np.testing.assert_allclose(ours["weighted_f"], theirs["weighted_f"], atol=1e-6, err_msg=label)


def test_centroids_between_pixels_round_as_each_program_rounds() -> None:
    """Mask columns 2 and 3 of 8: their centroid 2.5 rounds to 3 in MATLAB and to 2 in NumPy."""
    mask = np.zeros((6, 8), bool)
    mask[1:4, 2:4] = True
    saliency = np.random.default_rng(0).integers(0, 256, mask.shape).astype(np.uint8)
    saliency[0, 0], saliency[0, 1] = 0, 255  # so that both normalisations are the same
    oracle = PySOD()
    theirs = oracle.score(saliency, mask * np.uint8(255))
    np.testing.assert_allclose(score(saliency, mask, "pysod")["s_measure"], theirs["s_measure"], atol=1e-12)
    assert abs(score(saliency, mask, "arn2018")["s_measure"] - theirs["s_measure"]) > 1e-4
