"""What several networks share: sizes that must meet, two-class scores as one logit, layers and their initialisation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

SMALLEST_SIDE = 32

FILLERS: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier": partial(nn.init.kaiming_uniform_, nonlinearity="linear"),
    "msra": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
}
"""Caffe's: uniform of variance 1 / fan-in, and normal of variance 2 / fan-in. Of a transposed convolution Caffe takes
the outputs' channels for the fan-in, and so does torch."""


def check_side(pictures: Tensor) -> None:
    """Raises ValueError for B x 3 x H x W pictures of which a side is below 32 px: the deepest map would be empty."""
    height, width = pictures.shape[-2:]
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(f"pictures must be at least {SMALLEST_SIDE} px a side, not {height} x {width}")


def fit(x: Tensor, size: Sequence[int]) -> Tensor:
    """Cut x, B x C x h x w, at its lower and right edges to ``size`` (.., H, W), or repeat the edge where it is short.

    Odd picture sizes: poolings round down, so that a map enlarged by a whole factor can be off the map it meets.
    """
    height, width = int(size[-2]), int(size[-1])
    short = (height - x.shape[-2], width - x.shape[-1])
    if short[0] > 0 or short[1] > 0:
        x = F.pad(x, (0, max(short[1], 0), 0, max(short[0], 0)), mode="replicate")
    return x[..., :height, :width]


def recomputed(module: Callable[[Tensor], Tensor], x: Tensor, recompute: bool) -> Tensor:
    """``module(x)``, in training with nothing kept but x: the backward pass computes the rest anew.

    For modules that draw no random numbers and keep no statistics.
    """
    if recompute and torch.is_grad_enabled():
        found: Tensor = checkpoint(module, x, use_reentrant=False, preserve_rng_state=False)
        return found
    return module(x)


def resample(x: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """B x C x h x w brought to ``size`` (.., H, W) bilinearly; as it is where it has that size."""
    height, width = int(size[-2]), int(size[-1])
    if x.shape[-2:] == (height, width):
        return x
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=align_corners)


def foreground_logit(scores: Tensor) -> Tensor:
    """Two-class scores, B x 2 x H x W (background, salient) -> one logit, B x 1 x H x W, float32.

    ``softmax(scores)[1] = sigmoid(scores[1] - scores[0])``: map, cross-entropy and gradients are those of the softmax.
    """
    return (scores[:, 1:] - scores[:, :1]).float()


def conv_relu(conv: nn.Conv2d, batch_norm: bool = True) -> list[nn.Module]:
    """A convolution, BatchNorm if wanted, and ReLU."""
    norm = [nn.BatchNorm2d(conv.out_channels)] if batch_norm else []
    return [conv, *norm, nn.ReLU(inplace=True)]


def initialise(layers: Iterable[nn.Module], fill: str | Callable[[nn.Conv2d | nn.ConvTranspose2d], object]) -> None:
    """For each convolution: weights by one of :data:`FILLERS` or a function of the layer, biases zero."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            if isinstance(fill, str):
                FILLERS[fill](layer.weight)
            else:
                fill(layer)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
