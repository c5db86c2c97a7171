"""UCF, uncertain convolutional features (P. Zhang et al., ICCV 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arn.networks.backbones import VGG16
from arn.networks.base import SaliencyNetwork
from arn.networks.common import check_side, conv_relu, fit, foreground_logit, initialise, resample


class ReformulatedDropout(nn.Module):
    """R-dropout: ``relu(m * x / (1 - rate))`` with a Bernoulli mask m over every element, drawn for each picture."""

    sample: int | None = None
    """In evaluation, the number of the mask to take, the same for every picture; none with None."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"network.dropout.rate must be at least 0 and below 1, not {rate}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.sample is not None:
            kept = np.random.default_rng(self.sample).random(tuple(x.shape[1:])) >= self.rate
            return F.relu(x * torch.from_numpy(kept).to(x) / (1 - self.rate))
        return F.relu(F.dropout(x, self.rate, self.training))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class HybridUpsample(nn.Module):
    """Twice the size as the sum of a transposed convolution and of a 1 x 1 convolution enlarged bilinearly.

    The kernel is a multiple of the stride, so that every output pixel sees the same number of inputs (no checkerboard).
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        if kernel not in (2, 4):
            raise ValueError(f"network.upsample_kernel must be 2 or 4, multiples of the stride, not {kernel}")
        self.learned = nn.ConvTranspose2d(channels, channels, kernel, stride=2, padding=(kernel - 2) // 2)
        self.smooth = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        return fit(self.learned(x), size) + resample(self.smooth(x), size)


class Decode(nn.Module):
    """A block of VGG16 mirrored: hybrid upsampling, then 3 x 3 convolutions of these widths, the input's first."""

    def __init__(self, widths: Sequence[int], kernel: int) -> None:
        super().__init__()
        self.upsample = HybridUpsample(widths[0], kernel)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += conv_relu(nn.Conv2d(before, after, 3, padding=1))
        self.convs = nn.Sequential(*layers)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        return self.convs(self.upsample(x, size))


class UCF(SaliencyNetwork):
    """Uncertain convolutional features: an encoder with random masks on its features, and a mirrored decoder.

    VGG16 with BatchNorm to pool5, the last activation of chosen blocks under R-dropout; five steps of hybrid
    upsampling, each followed by the mirrored block's convolutions; a 3 x 3 convolution to two scores.

    The weakest of the compared networks, all from memory of the paper: tables should say "UCF (reconstructed)".
    BatchNorm's statistics are those of masked features: without masks (``samples=0``) a network that knows its training
    pictures by heart does not find them.

    Args:
        dropout: ``rate``; ``levels``: blocks of the encoder, 1 to 5, whose last activation is masked; ``samples``: the
            masks over which a map is averaged in evaluation, each a pass through the network; 0 takes none.
        upsample_kernel: side of the transposed convolutions, 2 or 4.

    Raises ValueError for an option out of its range.
    """

    def __init__(
        self, input_size: int = 448, dropout: Mapping[str, Any] | None = None, upsample_kernel: int = 4
    ) -> None:
        super().__init__()
        dropout = {"rate": 0.5, "levels": (3, 4, 5), "samples": 4, **(dropout or {})}
        self.input_size = input_size
        self.backbone = VGG16(strides=(1, 2, 4, 8, 16), batch_norm=True)
        unknown = sorted(set(dropout["levels"]) - {1, 2, 3, 4, 5})
        if unknown:
            raise ValueError(f"network.dropout.levels names {unknown}; VGG16 has blocks 1 to 5")
        if dropout["samples"] < 0:
            raise ValueError(f"network.dropout.samples must be 0 or more, not {dropout['samples']}")
        self.samples = dropout["samples"] if dropout["rate"] else 0
        for level in dropout["levels"]:  # in place of that block's last ReLU
            self.backbone.features[self.backbone.taps[level - 1] - 1] = ReformulatedDropout(dropout["rate"])
        widths = [(512, 512, 512, 512), (512, 512, 512, 256), (256, 256, 256, 128), (128, 128, 64), (64, 64)]
        self.decoder = nn.ModuleList(Decode(one, upsample_kernel) for one in widths)
        self.predict = nn.Conv2d(64, 2, 3, padding=1)
        initialise(self.new_layers(), "xavier")
        self.backbone.initialise()

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        check_side(pictures)
        if self.training or not self.samples:
            return (self._logits(pictures),)
        masked = [layer for layer in self.backbone.features if isinstance(layer, ReformulatedDropout)]
        try:
            total = torch.zeros_like(pictures[:, :1])
            for sample in range(self.samples):
                for place, layer in enumerate(masked):
                    layer.sample = len(masked) * sample + place
                total = total + torch.sigmoid(self._logits(pictures).float())
        finally:
            for layer in masked:
                layer.sample = None
        return (torch.logit(total / self.samples, eps=1e-6),)

    def _logits(self, pictures: Tensor) -> Tensor:
        """One pass, with the masks as they stand."""
        taps: Sequence[Tensor] = self.backbone(pictures)
        x = F.max_pool2d(taps[-1], 2)
        for decode, tap in zip(self.decoder, taps[::-1], strict=True):
            x = decode(x, tap.shape)
        return foreground_logit(self.predict(x))
