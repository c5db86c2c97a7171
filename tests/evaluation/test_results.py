"""What bench.json says: values, intervals, comparisons, and the printed figures."""

import json

import numpy as np
import pytest

from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.evaluation.results import Sampling, comparisons, printed, ranked, score_entry, view_id
from arn.evaluation.views import views
from arn.metrics.functional import Rows, score_row
from arn.metrics.measures import MEASURES, listed
from arn.metrics.protocols import get_protocol

SAMPLING = Sampling(resamples=200)
(VIEW,) = views("TINY", "arn2018")


def rows_of(noise, count=12, seed=1):
    """Maps of a disc under noise: the more, the worse."""
    y, x = np.mgrid[:32, :32]
    found = []
    for number in range(count):
        generator = np.random.default_rng([seed, number])
        centre = generator.uniform(10, 22, 2)
        mask = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 50
        saliency = np.clip(mask * 0.9 + noise * generator.normal(size=mask.shape), 0, 1)
        found.append((f"{number:02d}", score_row(saliency, mask, get_protocol("arn2018"))))
    return Rows.of(get_protocol("arn2018"), MEASURES, found)


@pytest.fixture
def bench(tmp_path):
    cache = Cache(tmp_path / "cache")
    tables = {"good": rows_of(0.05), "bad": rows_of(0.6), "good too": rows_of(0.05)}
    entries = [
        {"method": name, "view": view_id(VIEW), **score_entry(rows, cache, SAMPLING)} for name, rows in tables.items()
    ]
    rows = {(name, view_id(VIEW)): one for name, one in tables.items()}
    return entries, rows, cache


def test_an_entry_is_plain_json_with_every_score(bench):
    entry = json.loads(json.dumps(bench[0][0], allow_nan=False))
    assert set(listed(MEASURES)) <= set(entry["values"])
    for name in listed(MEASURES):
        low, high = entry["intervals"][name]
        assert low <= entry["values"][name] <= high or name.startswith(("max", "min"))  # extremes are biased
    assert len(entry["curves"]["precision"]) == len(entry["curves"]["thresholds"]) == 256


def test_fewer_measures_give_fewer_scores():
    assert listed(("mae",)) == ["mae"]
    assert listed(("s", "wf")) == ["s_measure", "weighted_f"]


def test_ranking_knows_which_way_is_better(bench):
    assert [one["method"] for one in ranked(bench[0], "max_f")][-1] == "bad"
    assert [one["method"] for one in ranked(bench[0], "mae")][-1] == "bad"


def test_the_best_is_tested_against_the_next(bench):
    entries, rows, cache = bench
    found = comparisons(entries, rows, cache, SAMPLING)
    assert {one["score"] for one in found} == set(listed(MEASURES))
    # The two good methods have the same maps: no test may tell them apart.
    assert all({one["first"], one["second"]} == {"good", "good too"} for one in found)
    assert all(one["difference"] == 0 and one["p"] == 1 and not one["significant"] for one in found)


def test_a_clear_difference_is_significant_after_holm(bench):
    entries, rows, cache = bench
    found = comparisons(entries[:2], rows, cache, Sampling(resamples=2000))
    by_score = {one["score"]: one for one in found}
    assert by_score["mae"]["significant"]
    assert by_score["mae"]["first"] == "good"
    assert by_score["mae"]["difference"] < 0
    assert all(one["p_holm"] >= one["p"] for one in found)


def test_statistics_come_from_the_cache(bench, monkeypatch):
    entries, rows, cache = bench
    first = comparisons(entries, rows, cache, SAMPLING)
    from arn.evaluation import results

    for name in ("bootstrap", "compare"):
        monkeypatch.setattr(results, name, lambda *_, **__: pytest.fail("computed again"))
    assert comparisons(entries, rows, cache, SAMPLING) == first
    again = score_entry(rows["good", view_id(VIEW)], cache, SAMPLING)
    assert again.items() <= entries[0].items()


def test_printed_figures_are_those_of_table_1():
    rows = {row["method"]: row["values"] for row in printed("table1")["rows"]}
    assert rows["ARN"]["ECSSD"] == {"mae": 0.0637, "max_f": 0.9133}
    assert rows["RBD"]["DUT-OMRON"] == {"mae": 0.1609, "max_f": 0.5712}
    assert len(rows) == 8
    assert printed(None) is None
    with pytest.raises(ArnError, match="printed=table9"):
        printed("table9")
