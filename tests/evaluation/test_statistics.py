"""Intervals and tests against naive loops, against scipy, and against what they promise: coverage and error rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from arn.errors import ArnError
from arn.evaluation.statistics import _resampled, bootstrap, compare, estimates, holm
from arn.metrics.functional import Rows, fields, score_row, width
from arn.metrics.measures import MEASURES, scores
from arn.metrics.measures.f_measure import f_of
from arn.metrics.protocols import get_protocol

MEASURED = ("mae", "f")
ARN2018 = get_protocol("arn2018")


def scored(count: int, protocol: str = "arn2018", noise: float = 60.0, seed: int = 0) -> Rows:
    """Rows of real scores on drawn pictures: a blurred mask plus noise."""
    chosen = get_protocol(protocol)
    rows = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        truth = np.random.default_rng(index).random(4)
        i, j = np.ogrid[:15, :18]
        mask = np.hypot(i - 4 - 7 * truth[0], j - 5 - 8 * truth[1]) < 3 + 3 * truth[2]
        saliency = np.clip(190 * mask + rng.normal(30, noise, mask.shape), 0, 255).astype(np.uint8)
        rows.append((f"{index:04d}", score_row(saliency, mask, chosen, MEASURES)))
    return Rows.of(chosen, MEASURES, rows)


EASE = stats.beta(4, 1.5)


def simulated(ease: np.ndarray) -> Rows:
    """Rows of pictures of a given ease: their MAE, and curves that move with it."""
    ease = ease[:, None]
    sweep = np.linspace(0, 1, 256)
    table = np.zeros((len(ease), width(MEASURED)))
    places = fields(MEASURED)
    table[:, places["mae"]] = 0.4 * (1 - ease)
    table[:, places["recall"]] = sweep ** (1.2 - ease)
    table[:, places["precision"]] = ease * (1 - 0.5 * sweep**4)
    table[:, places["f_curve"]] = f_of(table[:, places["precision"]], table[:, places["recall"]])
    return Rows(ARN2018, MEASURED, tuple(f"{index:05d}" for index in range(len(ease))), table)


@pytest.mark.parametrize("protocol", ["arn2018", "pysod"])
def test_estimates_are_the_data_sets_scores(protocol: str) -> None:
    rows = scored(12, protocol)
    expected = rows.compute()
    found = estimates(rows)
    assert set(found) == set(scores(MEASURES)) == {name for name, value in expected.items() if isinstance(value, float)}
    for name, value in found.items():
        assert value == pytest.approx(expected[name], abs=1e-12), name


def test_every_resample_is_the_score_of_a_data_set_drawn_with_replacement() -> None:
    rows = scored(10)
    (_, weights), *_ = _resampled(10, 40, seed=5)
    naive = {name: [] for name in scores(MEASURES)}
    for weight in weights:
        picks = np.repeat(np.arange(10), np.rint(10 * weight).astype(int))
        assert len(picks) == 10
        drawn = Rows(rows.protocol, rows.measures, tuple(map(str, picks)), rows.table[picks]).compute()
        for name in scores(MEASURES):
            naive[name].append(drawn[name])
    for name, interval in bootstrap(rows, resamples=40, seed=5).items():
        assert interval.low == pytest.approx(np.quantile(naive[name], 0.025), abs=1e-12), name
        assert interval.high == pytest.approx(np.quantile(naive[name], 0.975), abs=1e-12), name
        assert interval.standard_error == pytest.approx(np.std(naive[name], ddof=1), abs=1e-12), name


def test_bootstrap_of_an_average_agrees_with_scipy() -> None:
    rows = scored(60)
    theirs = stats.bootstrap((rows["mae"],), np.mean, n_resamples=20_000, method="percentile", rng=1)
    ours = bootstrap(rows, ["mae"], resamples=20_000)["mae"]
    spread = ours.high - ours.low
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.04 * spread)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.04 * spread)
    assert ours.standard_error == pytest.approx(theirs.standard_error, rel=0.04)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """95 % intervals of 400 data sets of 80 pictures: between 91.5 % and 97.5 % of them hold the population's value.

    Three standard deviations of 400 trials are 3.3 %; a little less is allowed above, where only a defect would lead,
    and percentile intervals of 80 skewed values are known to be slightly narrow. The truth is a quadrature over the
    population, which the skewed distribution of ease describes.
    """
    truth = estimates(simulated(EASE.ppf((np.arange(4_000) + 0.5) / 4_000)), ["mae", "max_f"])
    assert truth["mae"] == pytest.approx(0.4 * (1 - EASE.mean()), abs=1e-6)
    held = dict.fromkeys(truth, 0)
    trials = 400
    rng = np.random.default_rng(2)
    for trial in range(trials):
        found = bootstrap(simulated(EASE.rvs(80, random_state=rng)), tuple(truth), resamples=400, seed=trial)
        for name, value in truth.items():
            held[name] += found[name].low <= value <= found[name].high
    for name, count in held.items():
        assert 0.915 <= count / trials <= 0.975, f"{name}: {count / trials}"


def test_sign_flips_err_as_often_as_they_say_and_find_what_is_there() -> None:
    rng = np.random.default_rng(3)
    trials, wrong, right = 300, {"mae": 0, "max_f": 0}, {"mae": 0, "max_f": 0}
    for trial in range(trials):
        common = simulated(EASE.rvs(40, random_state=rng))

        def method(shift: float, common: Rows = common) -> Rows:
            noise = rng.normal(shift, 0.02, (40, 1))
            return Rows(common.protocol, common.measures, common.stems, np.clip(common.table + noise, 0, 1))

        same, other, better = method(0), method(0), method(0.02)
        for name, found in compare(same, other, tuple(wrong), resamples=199, seed=trial).items():
            wrong[name] += found.p_sign_flip <= 0.05
        for name, found in compare(better, other, tuple(right), resamples=199, seed=trial).items():
            right[name] += found.p_sign_flip <= 0.05
    for name in wrong:
        assert 0.015 <= wrong[name] / trials <= 0.09, f"{name}: {wrong[name] / trials}"
        assert right[name] / trials > 0.9, name


def test_sign_flip_of_an_average_agrees_with_scipys_exact_test() -> None:
    first, second = scored(9, noise=60, seed=1), scored(9, noise=70, seed=2)
    gaps = first["mae"] - second["mae"]
    exact = stats.permutation_test((gaps,), np.mean, permutation_type="samples", n_resamples=np.inf)
    found = compare(first, second, ["mae"], resamples=20_000)["mae"]
    assert found.difference.estimate == pytest.approx(gaps.mean(), abs=1e-12)
    assert found.p_sign_flip == pytest.approx(exact.pvalue, abs=0.01)


def test_comparison_is_antisymmetric_and_of_a_method_with_itself_nothing() -> None:
    first, second = scored(30, noise=50, seed=1), scored(30, noise=90, seed=2)
    there, back = compare(first, second, resamples=500), compare(second, first, resamples=500)
    assert there["max_f"].difference.low > 0
    assert there["max_f"].p_sign_flip < 0.05
    assert there["max_f"].p_bootstrap < 0.05
    for name in there:
        assert there[name].difference.estimate == pytest.approx(-back[name].difference.estimate, abs=1e-12)
        assert there[name].difference.low == pytest.approx(-back[name].difference.high, abs=1e-12)
    for found in compare(first, first, resamples=200).values():
        assert (found.difference.low, found.difference.high) == (0, 0)
        assert found.p_sign_flip == found.p_bootstrap == 1


def test_results_depend_on_the_seed_alone() -> None:
    rows = scored(20)
    backwards = Rows.of(rows.protocol, rows.measures, list(zip(rows.stems, rows.table, strict=True))[::-1])
    assert bootstrap(rows, resamples=300) == bootstrap(backwards, resamples=300)
    assert bootstrap(rows, ["max_f"], resamples=300) != bootstrap(rows, ["max_f"], resamples=300, seed=1)


def test_unpaired_or_unknown_is_an_error_that_says_what() -> None:
    rows = scored(6)
    with pytest.raises(ArnError, match="0003"):
        compare(rows, rows.select(stem for stem in rows.stems if stem != "0003"))
    with pytest.raises(ArnError, match="arn2018 and pysod"):
        compare(rows, scored(6, "pysod"))
    with pytest.raises(ArnError, match="no iou"):
        bootstrap(rows, ["iou"])
    with pytest.raises(ArnError, match="at least two"):
        bootstrap(rows.select(["0001"]))
    some = Rows(ARN2018, ("mae",), ("a", "b"), np.zeros((2, 1)))
    assert tuple(estimates(some)) == ("mae",)


def test_holm_by_hand() -> None:
    """Holm's own scheme on four values: .01 x 4, .02 x 3, .03 x 2 (raised to what went before), .04 x 1 (likewise)."""
    corrected = holm({"c": 0.03, "a": 0.01, "d": 0.04, "b": 0.02})
    assert list(corrected) == ["c", "a", "d", "b"]
    np.testing.assert_allclose([corrected[name] for name in "abcd"], [0.04, 0.06, 0.06, 0.06])
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
    with pytest.raises(ValueError):
        holm({"a": float("nan")})


def test_holm_keeps_the_family_wise_error() -> None:
    rng = np.random.default_rng(0)
    families = rng.random((4_000, 6))
    wrong = np.mean([min(holm(dict(enumerate(map(float, family)))).values()) <= 0.05 for family in families])
    alone = np.mean(families.min(axis=1) <= 0.05)
    assert 0.035 < wrong < 0.06
    assert alone > 0.2


# --------------------------------------------------------------------------------------------------------- several runs


def test_several_runs_are_the_mean_of_their_scores_and_one_is_itself() -> None:
    first = [scored(12, noise=40.0, seed=seed) for seed in (1, 2)]
    second = [scored(12, noise=70.0, seed=seed) for seed in (3, 4)]
    names = ["max_f", "mae"]
    sure = bootstrap(first, names, resamples=50)
    gaps = compare(first, second, names, resamples=50)
    for name in names:
        ours, theirs = ([estimates(one, names)[name] for one in runs] for runs in (first, second))
        assert sure[name].estimate == pytest.approx(np.mean(ours), abs=1e-12)
        assert gaps[name].difference.estimate == pytest.approx(np.mean(ours) - np.mean(theirs), abs=1e-12)
    assert bootstrap(first[:1], names, resamples=50) == bootstrap(first[0], names, resamples=50)
    assert compare(first[:1], second[:1], names, resamples=50) == compare(first[0], second[0], names, resamples=50)


def test_resamples_of_several_runs_draw_the_same_pictures_for_all() -> None:
    """Twice the same run is that run, and of two the resampled mean is the mean of the resamples."""
    one, other = scored(10, seed=1), scored(10, seed=2)
    assert bootstrap([one, one], ["mae"], resamples=60)["mae"].low == pytest.approx(
        bootstrap(one, ["mae"], resamples=60)["mae"].low, abs=1e-12
    )
    (_, weights), *_ = _resampled(10, 60, seed=0)
    drawn = weights @ (one["mae"] + other["mae"]) / 2
    both = bootstrap([one, other], ["mae"], resamples=60)["mae"]
    assert (both.low, both.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-12)


def test_a_picture_is_swapped_in_all_runs_at_once() -> None:
    """Of an average the sign-flip test over runs is that over the pictures' means over runs."""
    first, second = [scored(10, noise=50.0, seed=s) for s in (1, 2)], [scored(10, noise=60.0, seed=s) for s in (3, 4)]
    p = compare(first, second, ["mae"], resamples=4000)["mae"].p_sign_flip
    gap = np.mean([a["mae"] - b["mae"] for a, b in zip(first, second, strict=True)], axis=0)
    signs = 1 - 2 * ((np.arange(2**10)[:, None] >> np.arange(10)) & 1)  # all of them
    exact = np.mean(np.abs((signs * gap).mean(axis=1)) >= abs(gap.mean()) - 1e-12)
    assert p == pytest.approx(exact, abs=0.03)


def test_unequal_runs_are_refused() -> None:
    rows = scored(4)
    with pytest.raises(ArnError, match="as many runs"):
        compare([rows, rows], [rows])
    with pytest.raises(ArnError, match="same pictures"):
        bootstrap([rows, scored(5)])
    with pytest.raises(ArnError, match="No run"):
        bootstrap([])
