"""Losses on the tuple of logits that every network returns."""

from __future__ import annotations

import math
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


def contour_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """NLDF's boundary term: 1 - overlap of predicted and true contours, per picture, averaged (Luo et al. 2017).

    A contour is the Sobel gradient magnitude, edges repeated, summed over the two classes' probabilities p and 1 - p:
    through tanh of the prediction, 1 where it is over 1.5 of the mask. With I the sum of their products, the term is
    1 - 2 (I + 1) / (sum of squares of both + 1), as in the authors' source; a perfect prediction is slightly below 0,
    and a picture where neither has a contour is at -1.

    Args:
        logits, masks: B x 1 x H x W, masks in 0..1.
    """
    predicted = torch.tanh(2 * _gradient(torch.sigmoid(logits)))
    true = (2 * _gradient(masks) > 1.5).to(predicted.dtype)
    both = (predicted * true).sum((1, 2, 3))
    squares = predicted.square().sum((1, 2, 3)) + true.sum((1, 2, 3))
    return (1 - 2 * (both + 1) / (squares + 1)).mean()


def _gradient(x: Tensor) -> Tensor:
    """Sobel gradient magnitude of B x 1 x H x W: 4 at a straight step of 1."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 2:] - padded[..., :-2]
    down = padded[..., 2:, :] - padded[..., :-2, :]
    gx = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
    gy = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    return (gx.square() + gy.square() + 1e-12).sqrt()  # the root alone has no derivative at 0


class SaliencyLoss(nn.Module):
    """A weighted sum of terms on the final map, and the same on every side output.

    Masks are area-averaged to the resolution of the logits that they meet.

    Args:
        bce: weight of binary cross-entropy. The ARN paper names no loss; cross-entropy is what its sources use.
        iou: weight of :func:`iou_loss`.
        contour: weight of :func:`contour_loss`.
        mae: weight of the mean absolute error of the probabilities, which draws them to 0 and 1.
        side_weight: weight of each side output's loss.
        reduction: of the cross-entropy over pixels: ``mean``, or ``sum`` (over pixels, the mean over pictures), for
            which the learning rates of networks trained in Caffe are made.

    Shapes:
        outputs: tuple of logits, B x 1 x h x w each; masks: B x 1 x H x W in 0..1. Returns a scalar.

    Raises:
        ValueError: an unknown ``reduction``, a weight below 0.
    """

    def __init__(
        self,
        bce: float = 1.0,
        iou: float = 0.0,
        contour: float = 0.0,
        side_weight: float = 1.0,
        reduction: str = "mean",
        mae: float = 0.0,
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "sum"):
            raise ValueError(f"loss.reduction must be mean or sum, not {reduction!r}")
        weights = {"bce": bce, "iou": iou, "contour": contour, "mae": mae, "side_weight": side_weight}
        for key, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"{key}={weight}: a weight is at least 0")
        self.bce, self.iou, self.contour, self.mae, self.side_weight = bce, iou, contour, mae, side_weight
        self.reduction = reduction

    def one(self, logits: Tensor, masks: Tensor) -> Tensor:
        if masks.shape != logits.shape:
            masks = F.adaptive_avg_pool2d(masks, (logits.shape[-2], logits.shape[-1]))
        loss = logits.new_zeros(())
        if self.bce:
            entropy = F.binary_cross_entropy_with_logits(logits, masks)
            pixels = masks[0].numel() if self.reduction == "sum" else 1
            loss = loss + self.bce * pixels * entropy
        if self.iou:
            loss = loss + self.iou * iou_loss(logits, masks)
        if self.contour:
            loss = loss + self.contour * contour_loss(logits, masks)
        if self.mae:
            loss = loss + self.mae * (torch.sigmoid(logits) - masks).abs().mean()
        return loss

    def forward(self, outputs: Sequence[Tensor], masks: Tensor) -> Tensor:
        loss = self.one(outputs[0], masks)
        for side in outputs[1:] if self.side_weight else ():
            loss = loss + self.side_weight * self.one(side, masks)
        return loss
