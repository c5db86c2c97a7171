"""Losses against their formulae, and the schedule at its corners."""

import math

import pytest
import torch
from torch.nn import functional as F

from arn.errors import ArnError
from arn.training.losses import SaliencyLoss, contour_loss, iou_loss
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


def test_a_final_map_on_a_smaller_grid_meets_an_averaged_mask():
    masks = torch.zeros(1, 1, 4, 4)
    masks[..., :2, :3] = 1
    final, small = torch.randn(1, 1, 2, 2), torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    torch.testing.assert_close(SaliencyLoss(iou=1)((final,), masks), SaliencyLoss(iou=1)((final,), small))


def test_sum_is_over_pixels_and_the_mean_over_pictures():
    logits, masks = torch.randn(3, 1, 4, 5), (torch.rand(3, 1, 4, 5) > 0.5).float()
    p = torch.sigmoid(logits)
    expected = -(masks * p.log() + (1 - masks) * (1 - p).log()).sum() / 3
    torch.testing.assert_close(SaliencyLoss(reduction="sum")((logits,), masks), expected)
    with pytest.raises(ValueError, match=r"loss\.reduction"):
        SaliencyLoss(reduction="max")


def literal_contour_loss(logits, mask):
    """NLDF's term for one H x W picture as its authors compute it: two classes, symmetric padding, Sobel, sums."""
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])

    def contours(classes):
        padded = F.pad(classes[:, None], (1, 1, 1, 1), mode="replicate")
        gx, gy = (F.conv2d(padded, kernel[None, None]) for kernel in (sobel, sobel.T.contiguous()))
        return (gx.square() + gy.square()).sqrt().sum(0)[0]

    scores = torch.stack([torch.zeros_like(logits), logits])
    predicted = torch.tanh(contours(scores.softmax(0)))
    true = (contours(torch.stack([1 - mask, mask])) > 1.5).float()
    inter, union = (predicted * true).sum(), predicted.square().sum() + true.square().sum()
    return 1 - 2 * (inter + 1) / (union + 1)


def test_contour_loss_is_nldfs():
    torch.manual_seed(0)
    logits, masks = torch.randn(3, 1, 12, 9) * 2, torch.zeros(3, 1, 12, 9)
    masks[0, :, 3:8, 2:6] = 1
    masks[1, :, :, 4:] = 0.3  # a soft edge: 2 * 4 * .3 is a contour
    masks[2, :, 6:] = 0.1  # and this is none
    each = [literal_contour_loss(one[0], mask[0]) for one, mask in zip(logits, masks, strict=True)]
    torch.testing.assert_close(contour_loss(logits, masks), torch.stack(each).mean(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        SaliencyLoss(bce=0, contour=2)((logits,), masks), 2 * torch.stack(each).mean(), rtol=1e-5, atol=1e-6
    )


def test_contour_loss_has_a_gradient_on_flat_maps_and_falls_with_overlap():
    masks = torch.zeros(1, 1, 16, 16)
    masks[..., 4:12, 4:12] = 1
    flat = torch.zeros(1, 1, 16, 16, requires_grad=True)
    contour_loss(flat, masks).backward()
    assert bool(torch.isfinite(flat.grad).all())
    losses = [float(contour_loss((torch.roll(masks, shift, -1) - 0.5) * 20, masks)) for shift in (0, 1, 4)]
    assert losses == sorted(losses)
    assert losses[0] == pytest.approx(0, abs=0.02)


def test_step_decay_takes_a_tenth_every_so_often():
    factor = Schedule(100, decay="step", every=30)
    assert [factor(step) for step in (0, 29, 30, 59, 60, 99)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.001])
    for wrong in ({"decay": "step"}, {"decay": "none", "every": 3}):
        with pytest.raises(ArnError, match=r"schedule\.every"):
            Schedule(10, **wrong)


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


def test_absolute_error_is_of_the_probabilities():
    logits, masks = torch.randn(2, 1, 4, 5), torch.rand(2, 1, 4, 5)
    expected = (torch.sigmoid(logits) - masks).abs().mean()
    torch.testing.assert_close(SaliencyLoss(bce=0, mae=2)((logits,), masks), 2 * expected)
    together = SaliencyLoss()((logits,), masks) + expected
    torch.testing.assert_close(SaliencyLoss(mae=1)((logits,), masks), together)
