"""The recurrent convolutional layer (RCL) that sharpens shallow features: ARN eq. 5-8, after Liang and Hu 2015."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORMS = ("lrn", "none")


class RCLOptions(TypedDict, total=False):
    """Of :class:`RecurrentConv`, and ``enabled`` and ``channels`` of ARN: what a config is checked against."""

    enabled: bool
    channels: int | Sequence[int]
    steps: int
    norm: str
    lrn_window: int | None
    lrn_alpha: float
    lrn_beta: float


class LocalResponseNorm(nn.Module):
    """Normalisation across neighbouring channels, ARN eq. 8.

    ``y_k = x_k * (1 + alpha / N * sum of x_j^2 over the N channels around k) ** -beta``, channels outside the tensor
    counting as zero. Equal to :class:`torch.nn.LocalResponseNorm` with ``k = 1``, whose window is lopsided where N is
    even: so even is refused. The sum is a 1 x 1 convolution, which on CPU costs a fifth of torch's own form.

    Args:
        channels: K, channels of the input, B x K x H x W.
        window: N, odd. Default K / 8 + 1 rounded up to odd, as in the RCL's re-implementations (K = 64 gives 9).
        alpha, beta: constants of eq. 8; .001 and .75 in the re-implementations of the RCL, unstated in the ARN paper.

    Raises ValueError for a window that is even or not positive.
    """

    band: Tensor

    def __init__(self, channels: int, window: int | None = None, alpha: float = 1e-3, beta: float = 0.75) -> None:
        super().__init__()
        window = (channels // 8 + 1) | 1 if window is None else window
        if window < 1 or window % 2 == 0:
            raise ValueError(f"the LRN window must be odd and positive, not {window}")
        self.window, self.alpha, self.beta = window, alpha, beta
        place = torch.arange(channels)
        band = ((place[:, None] - place[None, :]).abs() <= window // 2).float() * (alpha / window)
        self.register_buffer("band", band[:, :, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        scale = 1.0 + F.conv2d(x.square(), self.band.to(x.dtype))
        if self.beta == 0.75:  # s^-3/4 as r * sqrt(r) with r = s^-1/2: several times faster than a general power
            r = scale.rsqrt()
            return x * (r * r.sqrt())
        return x * scale.pow(-self.beta)

    def extra_repr(self) -> str:
        return f"window={self.window}, alpha={self.alpha}, beta={self.beta}"


class RecurrentConv(nn.Module):
    """Recurrent convolutional layer, ARN eq. 5-8.

    ``x(0) = LRN(ReLU(Wf * u + b))`` and ``x(t) = LRN(ReLU(Wf * u + Wr * x(t - 1) + b))`` for t = 1 .. T, both banks of
    kernels 3 x 3 and shared over time.

    Args:
        in_channels: C of the input u, B x C x H x W.
        channels: K of the state and the output, B x K x H x W.
        steps: T >= 0. T = 0 is one convolution; the recurrent bank then gets no gradient.
        norm: ``"lrn"`` (eq. 8) or ``"none"``.
        lrn_window, lrn_alpha, lrn_beta: see :class:`LocalResponseNorm`.

    Raises ValueError for ``steps`` below 0 or above 100, or an unknown ``norm``.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 64,
        steps: int = 3,
        norm: str = "lrn",
        lrn_window: int | None = None,
        lrn_alpha: float = 1e-3,
        lrn_beta: float = 0.75,
    ) -> None:
        super().__init__()
        if not 0 <= steps <= 100:
            raise ValueError(f"rcl.steps must be 0 or more and at most 100, not {steps}")
        if norm not in NORMS:
            raise ValueError(f"rcl.norm must be one of {', '.join(NORMS)}, not {norm!r}")
        self.steps = steps
        self.feed_forward = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.recurrent = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.recurrent.requires_grad_(steps > 0)  # an unused parameter that waits for a gradient would stall DDP
        self.norm: nn.Module = (
            LocalResponseNorm(channels, lrn_window, lrn_alpha, lrn_beta) if norm == "lrn" else nn.Identity()
        )

    def forward(self, u: Tensor) -> Tensor:
        drive = self.feed_forward(u)
        x = self.norm(F.relu(drive))
        for _ in range(self.steps):
            x = self.norm(F.relu(drive + self.recurrent(x)))
        return cast(Tensor, x)

    def extra_repr(self) -> str:
        return f"steps={self.steps}"
