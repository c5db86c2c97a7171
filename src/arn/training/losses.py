"""Losses on the tuple of logits that every network returns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def iou_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - soft intersection over union, per picture, averaged (Rahman and Wang 2016; 1 is added above and below).

    Args:
        logits, masks: B x 1 x H x W, masks in 0..1.

    Returns:
        A scalar in 0..1.
    """
    probability = torch.sigmoid(logits)
    both = (probability * masks).sum((1, 2, 3))
    either = (probability + masks).sum((1, 2, 3)) - both
    return (1 - (both + 1) / (either + 1)).mean()


class SaliencyLoss(nn.Module):
    """A weighted sum of terms on the final map, and the same on every side output.

    Args:
        bce: weight of binary cross-entropy, the mean over pixels. The ARN paper names no loss; cross-entropy is what
            its sources use.
        iou: weight of :func:`iou_loss`.
        side_weight: weight of each side output's loss; its mask is area-averaged to the side output's resolution.

    Shapes:
        outputs: tuple of logits, B x 1 x h x w each; masks: B x 1 x H x W in 0..1. Returns a scalar.
    """

    def __init__(self, bce: float = 1.0, iou: float = 0.0, side_weight: float = 1.0) -> None:
        super().__init__()
        self.bce, self.iou, self.side_weight = bce, iou, side_weight

    def one(self, logits: Tensor, masks: Tensor) -> Tensor:
        loss = logits.new_zeros(())
        if self.bce:
            loss = loss + self.bce * F.binary_cross_entropy_with_logits(logits, masks)
        if self.iou:
            loss = loss + self.iou * iou_loss(logits, masks)
        return loss

    def forward(self, outputs: Sequence[Tensor], masks: Tensor) -> Tensor:
        final, *sides = outputs
        loss = self.one(final, masks)
        for side in sides if self.side_weight else ():
            small = (
                masks if side.shape == masks.shape else F.adaptive_avg_pool2d(masks, (side.shape[-2], side.shape[-1]))
            )
            loss = loss + self.side_weight * self.one(side, small)
        return loss
