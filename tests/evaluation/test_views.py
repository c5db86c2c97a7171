"""What a protocol means on a data set."""

from __future__ import annotations

import numpy as np
import pytest

from arn.errors import ArnError
from arn.evaluation.views import views
from arn.metrics.functional import score
from arn.metrics.protocols import PROTOCOLS


def test_binary_masks_have_one_view() -> None:
    for protocol in (*PROTOCOLS, "arn2018@0.5"):
        (view,) = views("ECSSD", protocol)
        assert (view.label, view.protocol.name, view.stems, view.note) == ("ECSSD", protocol, None, "")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pascal_s_is_reported_under_both_binarisations(protocol: str) -> None:
    tenth, half = views("PASCAL-S", protocol)
    assert (tenth.label, half.label) == ("PASCAL-S (mask >= 0.1)", "PASCAL-S (mask > 0.5)")
    assert (tenth.protocol.mask_level, half.protocol.mask_level) == (25, 128)
    assert PROTOCOLS[protocol].average == tenth.protocol.average == half.protocol.average
    assert "graded" in tenth.note


def test_arn2018_on_pascal_s_is_f_of_one_view_and_mae_of_the_other() -> None:
    rng = np.random.default_rng(0)
    saliency, mask = rng.integers(0, 256, (2, 20, 20)).astype(np.uint8)
    own = score(saliency, mask, "arn2018", ("mae", "f"))
    tenth, half = (score(saliency, mask, view.protocol, ("mae", "f")) for view in views("PASCAL-S", "arn2018"))
    assert (own["best_f"], own["mae"]) == (tenth["best_f"], half["mae"])
    assert tenth["mae"] != half["mae"]


def test_a_binarisation_that_was_asked_for_stands() -> None:
    (view,) = views("PASCAL-S", "arn2018@0.5")
    assert view.protocol.name == "arn2018@0.5"


def test_omron_is_reported_whole_and_held_out() -> None:
    stems = [f"im{index:03d}" for index in range(20)]
    (alone,) = views("DUT-OMRON", "arn2018", stems)
    assert alone.stems is None
    whole, rest = views("DUT-OMRON", "arn2018", stems, held_out=["im004", "im002"])
    assert whole.stems is None
    assert "5,168" in whole.note
    assert "1,668" in whole.note
    assert rest.stems == ("im002", "im004")
    assert rest.label == "DUT-OMRON (held out, 2)"
    with pytest.raises(ArnError, match="elsewhere"):
        views("DUT-OMRON", "arn2018", stems, held_out=["elsewhere"])


def test_every_protocol_is_described() -> None:
    described = {name: one.description for name, one in PROTOCOLS.items()}
    assert described.keys() == PROTOCOLS.keys()
    assert "averaged precision and recall" in described["arn2018"]
    assert "average of the pictures' F" in described["pysod"]
    assert "the gray mask" in described["salmetric"]
