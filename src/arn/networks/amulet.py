"""Amulet, aggregating multi-level convolutional features (P. Zhang et al., ICCV 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from arn.networks.backbones import VGG16
from arn.networks.common import check_side, fit, foreground_logit, initialise

WIDTH = 64


def _norm_relu(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def _bring(in_channels: int, channels: int, source: int, target: int) -> nn.Module:
    """From one level's resolution to another's: kernel = stride, transposed where it enlarges, 1 x 1 where equal."""
    factor = 2 ** abs(source - target)
    kind = nn.Conv2d if source <= target else nn.ConvTranspose2d
    return kind(in_channels, channels, factor, stride=factor)


class Combination(nn.Module):
    """Every tap at the resolution of one level, 64 channels each, mixed to 64 and enlarged to the picture.

    Args:
        tap_channels: of levels 1 to 5.
        level: whose resolution, stride 2^(level - 1).
    """

    def __init__(self, tap_channels: Sequence[int], level: int) -> None:
        super().__init__()
        self.level = level
        self.bring = nn.ModuleList(
            _bring(channels, WIDTH, source, level) for source, channels in enumerate(tap_channels, start=1)
        )
        self.mix = nn.Sequential(nn.Conv2d(WIDTH * len(tap_channels), WIDTH, 1), *_norm_relu(WIDTH))
        self.enlarge = nn.ConvTranspose2d(WIDTH, WIDTH, 2 ** (level - 1), stride=2 ** (level - 1))

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        size = taps[self.level - 1].shape
        brought = [fit(bring(tap), size) for bring, tap in zip(self.bring, taps, strict=True)]
        return fit(self.enlarge(self.mix(torch.cat(brought, dim=1))), taps[0].shape)


class Amulet(nn.Module):
    """Amulet: features of all levels combined at each of five resolutions, predicted coarse to fine, and fused.

    VGG16 with BatchNorm, taps conv1_2 to conv5_3 (256, 128, 64, 32, 16 wide at 256 px). At each resolution all five are
    combined (:class:`Combination`) and enlarged to the picture's size. The coarsest predicts two scores by a 3 x 3
    convolution; each finer one from its 64 channels and the coarser scores (66), the finest by a transposed
    convolution. The five pairs of scores are fused: 1 x 1 to 64, 3 x 3 to 64, BatchNorm and ReLU after each, 3 x 3 to
    two.

    Fidelity. Layers, kernels, widths, biases, order of concatenation, Xavier initialisation, the six losses: as in the
    authors' prototxt. From memory of the paper: the start from VGG16's ImageNet weights. Departure: two scores leave as
    their difference, which is the same map, loss and gradient. BatchNorm keeps torch's running averages at test.

    Args:
        input_size: side of the square that pictures are resized to when a map is made, px.

    Shapes:
        pictures: B x 3 x H x W, RGB in 0..1, at least 32 px a side. Returns six logit maps, B x 1 x H x W: the fusion,
        then the predictions fine to coarse.

    Raises:
        ValueError: pictures below 32 px.
    """

    def __init__(self, input_size: int = 256) -> None:
        super().__init__()
        self.input_size = input_size
        self.backbone = VGG16(levels=(1, 2, 3, 4, 5), batch_norm=True)
        levels = self.backbone.levels[::-1]
        self.combinations = nn.ModuleList(Combination(self.backbone.channels, level) for level in levels)
        self.predict = nn.ModuleList(
            [
                nn.Conv2d(WIDTH, 2, 3, padding=1),
                *(nn.Conv2d(WIDTH + 2, 2, 3, padding=1) for _ in levels[1:-1]),
                nn.ConvTranspose2d(WIDTH + 2, 2, 3, padding=1),
            ]
        )
        self.fuse = nn.Sequential(
            nn.Conv2d(2 * len(levels), WIDTH, 1),
            *_norm_relu(WIDTH),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            *_norm_relu(WIDTH),
            nn.Conv2d(WIDTH, 2, 3, padding=1),
        )
        initialise(self.modules(), "xavier")
        self.backbone.initialise()

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        check_side(pictures)
        taps: Sequence[Tensor] = self.backbone(pictures)
        scores: list[Tensor] = []  # coarse to fine
        for combine, predict in zip(self.combinations, self.predict, strict=True):
            scores.append(predict(torch.cat([combine(taps), *scores[-1:]], dim=1)))
        scores.reverse()
        return tuple(foreground_logit(one) for one in (self.fuse(torch.cat(scores, dim=1)), *scores))
