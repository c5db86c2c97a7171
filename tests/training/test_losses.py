"""Losses against their formulae, and the schedule at its corners."""

import math

import pytest
import torch

from arn.errors import ArnError
from arn.training.losses import SaliencyLoss, iou_loss
from arn.training.task import Schedule


def test_bce_is_the_mean_over_pixels():
    logits, masks = torch.tensor([[[[0.0, 2.0], [-1.0, 3.0]]]]), torch.tensor([[[[0.0, 1.0], [1.0, 0.5]]]])
    p = torch.sigmoid(logits)
    expected = -(masks * p.log() + (1 - masks) * (1 - p).log()).mean()
    torch.testing.assert_close(SaliencyLoss(bce=1)((logits,), masks), expected)


def test_iou_of_a_perfect_and_a_disjoint_map():
    masks = torch.zeros(1, 1, 8, 8)
    masks[..., :4] = 1
    assert float(iou_loss((masks - 0.5) * 200, masks)) == pytest.approx(0, abs=1e-6)
    assert float(iou_loss((0.5 - masks) * 200, masks)) == pytest.approx(1 - 1 / 65)


def test_iou_is_per_picture():
    logits, masks = torch.randn(3, 1, 6, 6), (torch.rand(3, 1, 6, 6) > 0.5).float()
    each = [iou_loss(logits[i : i + 1], masks[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(iou_loss(logits, masks), torch.stack(each).mean())


def test_side_outputs_meet_an_averaged_mask():
    masks = torch.zeros(1, 1, 4, 4)
    masks[..., :2, :3] = 1
    final, side = torch.randn(1, 1, 4, 4), torch.randn(1, 1, 2, 2)
    loss = SaliencyLoss(bce=1, side_weight=0.5)
    small = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    expected = loss((final,), masks) + 0.5 * loss((side,), small)
    torch.testing.assert_close(loss((final, side), masks), expected)


def test_side_weight_zero_ignores_them():
    masks, final = torch.zeros(1, 1, 4, 4), torch.randn(1, 1, 4, 4)
    loss = SaliencyLoss(side_weight=0)
    torch.testing.assert_close(loss((final, torch.randn(1, 1, 2, 2)), masks), loss((final,), masks))


def test_constant_schedule_is_one():
    assert {Schedule(100)(step) for step in range(101)} == {1.0}


def test_cosine_rises_then_falls_to_its_floor():
    factor = Schedule(100, warmup=0.1, decay="cosine", floor=0.01)
    assert factor(0) == pytest.approx(0.1)
    assert factor(9) == factor(10) == 1.0
    assert factor(55) == pytest.approx(0.01 + 0.99 * 0.5)
    assert factor(100) == pytest.approx(0.01)
    assert factor(1000) == pytest.approx(0.01)


def test_poly():
    factor = Schedule(10, decay="poly")
    assert factor(5) == pytest.approx(math.pow(0.5, 0.9))


def test_unknown_decay():
    with pytest.raises(ArnError, match=r"schedule\.decay"):
        Schedule(10, decay="stairs")
