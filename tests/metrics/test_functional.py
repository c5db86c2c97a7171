"""What the scores promise whatever the protocol: errors that name the stem, exact sums, no torch."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from arn.errors import ArnError
from arn.metrics.functional import (
    Rows,
    Totals,
    add_row,
    eight_bits,
    empty_sums,
    fields,
    mean_row,
    score,
    score_row,
    width,
)
from arn.metrics.measures import MEASURES, check_measures
from arn.metrics.protocols import PROTOCOLS, get_protocol


def picture(seed: int, shape: tuple[int, int] = (24, 31)) -> tuple[np.ndarray, np.ndarray]:
    """A map and a mask that have something to do with each other."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    centre = rng.uniform(0.3, 0.7, 2) * shape
    distance = np.hypot(rows - centre[0], columns - centre[1]) / min(shape)
    saliency = np.clip(255 * (0.9 - 1.6 * distance) + rng.normal(0, 25, shape), 0, 255)
    return saliency.astype(np.uint8), distance < rng.uniform(0.15, 0.35)


def assert_equal_scores(a: dict, b: dict, tolerance: float = 0.0) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=tolerance, err_msg=name)


GOOD_MAP, GOOD_MASK = picture(0)


@pytest.mark.parametrize(
    ("saliency", "mask", "says"),
    [
        (GOOD_MAP[:-1], GOOD_MASK, "31 x 23 pixels but its mask is 31 x 24"),
        (GOOD_MAP, GOOD_MASK.T, "31 x 24 pixels but its mask is 24 x 31"),
        (np.where(GOOD_MASK, np.nan, 0.5), GOOD_MASK, "NaN"),
        (GOOD_MAP / (GOOD_MAP.max() - 1), GOOD_MASK, "within 0..1"),
        (GOOD_MAP / 255 - 0.1, GOOD_MASK, "within 0..1"),
        (np.full(GOOD_MAP.shape, np.inf), GOOD_MASK, "within 0..1"),
        (GOOD_MAP.astype(np.int64), GOOD_MASK, "int64"),
        (GOOD_MAP[None], GOOD_MASK, "H x W"),
        (GOOD_MAP[:0], GOOD_MASK[:0], "not empty"),
        (GOOD_MAP, GOOD_MASK * np.nan, "NaN"),
        (GOOD_MAP, GOOD_MASK * 2.0, "within 0..1"),
        (GOOD_MAP, GOOD_MASK.astype(np.int32), "int32"),
        (GOOD_MAP, GOOD_MASK.astype(np.uint8), "only 0 and 1"),
    ],
)
def test_errors_name_the_stem(saliency: np.ndarray, mask: np.ndarray, says: str) -> None:
    for protocol in PROTOCOLS:
        with pytest.raises(ArnError, match="'ILSVRC_7'") as error:
            score(saliency, mask, protocol, stem="ILSVRC_7")
        assert says in str(error.value)


@pytest.mark.parametrize("protocol", [*PROTOCOLS, "arn2018@0.5", "pysod@0.1"])
def test_types_of_map_and_mask_say_the_same(protocol: str) -> None:
    """uint8 and float maps take different routes through the code; so do bool, gray and float masks not."""
    saliency, mask = picture(1)
    whole = score(saliency, mask, protocol)
    assert_equal_scores(score(saliency / 255, mask, protocol), whole, 1e-12)
    assert_equal_scores(score(saliency, mask * np.uint8(255), protocol), whole)
    assert_equal_scores(score(saliency, mask.astype(np.float32), protocol), whole)
    assert_equal_scores(score(np.asfortranarray(saliency), mask[::-1].copy()[::-1], protocol), whole)


def test_float32_maps_keep_values_between_levels() -> None:
    saliency, mask = picture(2)
    soft = ((saliency + 0.4) / 256).astype(np.float32)
    assert_equal_scores(score(soft, mask, "pysod"), score(soft.astype(np.float64), mask, "pysod"), 1e-12)
    assert score(soft, mask, "arn2018")["mae"] != score(eight_bits(soft), mask, "arn2018")["mae"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_measures_asked_for_alone_are_those_of_all(protocol: str) -> None:
    saliency, mask = picture(3)
    whole = score(saliency, mask, protocol)
    seen: set[str] = set()
    for measure in MEASURES:
        alone = score(saliency, mask, protocol, (measure,))
        assert_equal_scores(alone, {name: whole[name] for name in alone})
        seen |= alone.keys()
    assert seen == whole.keys()


def test_perfect_and_inverted_maps() -> None:
    mask = np.zeros((24, 31), bool)
    mask[6:15, 8:20] = True  # clear of the edges, outside which the weighted F-measure averages zeros in
    for protocol in PROTOCOLS:
        right = score(mask, mask, protocol)
        best = [right[name] for name in ("best_f", "s_measure", "weighted_f", "adaptive_f")]
        np.testing.assert_allclose(best, 1, atol=1e-9)
        assert right["mae"] == 0
        wrong = score(~mask, mask, protocol)
        assert wrong["mae"] == 1
        assert wrong["weighted_f"] < 1e-9
        assert wrong["adaptive_f"] == 0


def test_empty_masks_as_documented() -> None:
    saliency, _ = picture(5)
    empty = np.zeros(saliency.shape, bool)
    found = score(saliency, empty, "pysod")
    stretched = (saliency - saliency.min()) / np.ptp(saliency)
    assert found["best_f"] == found["adaptive_f"] == found["weighted_f"] == 0
    assert found["s_measure"] == pytest.approx(1 - stretched.mean(), abs=1e-12)
    background = [(stretched * 255 < threshold).sum() / (empty.size - 1) for threshold in (255, 128, 1)]
    np.testing.assert_allclose(found["e_curve"][[0, 127, 254]], background, atol=1e-9)
    assert score(saliency, empty, "arn2018")["best_f"] == 0
    assert score(saliency, ~empty, "arn2018")["precision"][-1] == 1


def test_pascal_like_masks_differ_by_their_binarisation() -> None:
    saliency, core = picture(6)
    graded = np.where(core, 255, np.where(saliency > 90, 85, 0)).astype(np.uint8)  # 85 = 4/12: above a tenth only
    own, tenth, half = (
        score(saliency, graded, name, ("mae", "f")) for name in ("arn2018", "arn2018@0.1", "arn2018@0.5")
    )
    assert tenth["best_f"] != half["best_f"]
    assert tenth["mae"] != half["mae"]
    assert own["best_f"] == tenth["best_f"]
    assert own["mae"] == half["mae"]
    assert_equal_scores(half, score(saliency, graded > 128, "arn2018", ("mae", "f")))
    assert_equal_scores(tenth, score(saliency, graded > 25, "arn2018", ("mae", "f")))
    gray = score(saliency, graded, "salmetric", ("mae",))["mae"]
    assert gray == pytest.approx(np.abs(saliency / 255 - graded / 255).mean(), abs=1e-12)


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(ArnError, match="arn2018, pysod, salmetric"):
        get_protocol("arn2019")
    with pytest.raises(ArnError, match=r"@0\.1 or @0\.5"):
        get_protocol("pysod@0.3")
    with pytest.raises(ArnError, match="mae, f, e, s, wf"):
        check_measures(("mae", "ssim"))
    with pytest.raises(ArnError, match="none"):
        check_measures(())


def test_rows_are_laid_out_without_gaps() -> None:
    for measures in (MEASURES, ("mae", "f"), ("e",), ("s", "wf")):
        covered = np.zeros(width(measures), int)
        for place in fields(measures).values():
            covered[place] += 1
        assert (covered == 1).all()


# ---------------------------------------------------------------------------------------------------------- exact sums


def test_sums_are_exact_and_know_no_order() -> None:
    rng = np.random.default_rng(0)
    measures = ("mae", "f")
    rows = rng.random((1_000, width(measures)))
    rows[::7] *= 1e-9
    rows[3, 0] = 1 / np.spacing(1)  # the E-measure of a 1 x 1 picture
    forward, backward = empty_sums(measures), empty_sums(measures)
    for row in rows:
        add_row(forward, row)
    for row in rows[::-1]:
        add_row(backward, row)
    np.testing.assert_array_equal(forward, backward)
    exact = [math.fsum(column) / len(rows) for column in rows.T]
    np.testing.assert_allclose(mean_row(forward, len(rows)), exact, rtol=4e-16)


def test_totals_merge_to_the_same_bits_however_the_pictures_are_shared_out() -> None:
    protocol = get_protocol("pysod")
    rows = [score_row(*picture(seed), protocol) for seed in range(11)]
    whole = Totals(protocol)
    for row in rows:
        whole.add(row)
    for parts in (2, 4, 11):
        merged = Totals(protocol)
        for part in range(parts):
            share = Totals("pysod")
            for row in rows[part::parts]:
                share.add(row)
            merged.merge(share)
        assert merged.pictures == 11
        assert_equal_scores(merged.compute(), whole.compute())
    with pytest.raises(ValueError):
        whole.merge(Totals("arn2018"))


def test_no_pictures_is_an_error_and_not_nan() -> None:
    with pytest.raises(ArnError, match="No picture was scored"):
        Totals("arn2018").compute()


def test_aggregates_are_what_their_names_say() -> None:
    protocol = get_protocol("arn2018")
    rows = Rows.of(protocol, MEASURES, [(str(seed), score_row(*picture(seed), protocol)) for seed in range(9)])
    found = rows.compute()
    p, r = rows["precision"].mean(axis=0), rows["recall"].mean(axis=0)
    f = 1.3 * p * r / (0.3 * p + r)
    assert found["pictures"] == 9
    assert found["max_f"] == found["max_f_dataset"] == pytest.approx(f.max(), abs=1e-12)
    assert found["mean_f"] == pytest.approx(f.mean(), abs=1e-12)
    assert found["max_f_picture"] == pytest.approx(rows["f_curve"].mean(axis=0).max(), abs=1e-12)
    assert found["mean_best_f"] == pytest.approx(rows["f_curve"].max(axis=1).mean(), abs=1e-12)
    assert found["max_e"] == pytest.approx(rows["e_curve"].mean(axis=0).max(), abs=1e-12)
    assert found["mean_best_e"] == pytest.approx(rows["e_curve"].max(axis=1).mean(), abs=1e-12)
    assert found["max_f_dataset"] != found["max_f_picture"]
    pysod = Rows(get_protocol("pysod"), rows.measures, rows.stems, rows.table).compute()
    assert pysod["max_f"] == found["max_f_picture"]
    np.testing.assert_array_equal(pysod["f_curve"], found["f_curve_picture"])
    assert found["thresholds"][0] == 255
    assert found["thresholds"][-1] == 0
    assert found["recall"][-1] == 1  # everything is at least 0


def test_rows_find_pictures_scored_twice_and_select() -> None:
    protocol = get_protocol("arn2018")
    scored = [(stem, score_row(*picture(seed), protocol, ("mae",))) for seed, stem in enumerate("cab")]
    rows = Rows.of(protocol, ("mae",), scored)
    assert rows.stems == ("a", "b", "c")
    assert rows["mae"][2] == scored[0][1][0]
    assert rows.select("bc").stems == ("b", "c")
    assert rows.select("c").compute()["mae"] == scored[0][1][0]
    with pytest.raises(ArnError, match="not scored: z"):
        rows.select("az")
    with pytest.raises(ArnError, match="more than once: a"):
        Rows.of(protocol, ("mae",), [*scored, scored[1]])


def test_workers_need_no_torch() -> None:
    code = "import sys, arn.metrics, arn.metrics.functional; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
