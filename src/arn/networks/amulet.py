"""Amulet, aggregating multi-level convolutional features (P. Zhang et al., ICCV 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from arn.networks.backbones import VGG16, Backbone
from arn.networks.base import SaliencyNetwork
from arn.networks.common import check_side, conv_relu, fit, foreground_logit, initialise

WIDTH = 64


def _bring(in_channels: int, channels: int, source: int, target: int) -> nn.Module:
    """From one tap's stride to another's: kernel = stride, transposed where it enlarges, 1 x 1 where equal."""
    factor = max(source, target) // min(source, target)
    kind = nn.Conv2d if source <= target else nn.ConvTranspose2d
    return kind(in_channels, channels, factor, stride=factor)


class Combination(nn.Module):
    """Every tap at the resolution of the one of this stride, 64 channels each, mixed to 64, enlarged to the picture."""

    def __init__(self, backbone: Backbone, stride: int) -> None:
        super().__init__()
        self.index = backbone.strides.index(stride)
        self.bring = nn.ModuleList(
            _bring(channels, WIDTH, source, stride)
            for source, channels in zip(backbone.strides, backbone.channels, strict=True)
        )
        self.mix = nn.Sequential(*conv_relu(nn.Conv2d(WIDTH * len(self.bring), WIDTH, 1)))
        self.enlarge = nn.ConvTranspose2d(WIDTH, WIDTH, stride, stride=stride)

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        size = taps[self.index].shape
        brought = [fit(bring(tap), size) for bring, tap in zip(self.bring, taps, strict=True)]
        return fit(self.enlarge(self.mix(torch.cat(brought, dim=1))), taps[0].shape)


class Amulet(SaliencyNetwork):
    """Amulet: features of all levels combined at each of five resolutions, predicted coarse to fine, and fused.

    All five taps of VGG16 with BatchNorm are combined at each one's resolution (:class:`Combination`). The coarsest
    predicts two scores, each finer one from its 64 channels and the coarser scores, the finest by a transposed
    convolution.

    Returns six logit maps, B x 1 x H x W: the fusion, then the predictions fine to coarse.
    """

    def __init__(self, input_size: int = 256) -> None:
        super().__init__()
        self.input_size = input_size
        self.backbone = VGG16(strides=(1, 2, 4, 8, 16), batch_norm=True)
        strides = self.backbone.strides[::-1]
        self.combinations = nn.ModuleList(Combination(self.backbone, stride) for stride in strides)
        self.predict = nn.ModuleList(
            [
                nn.Conv2d(WIDTH, 2, 3, padding=1),
                *(nn.Conv2d(WIDTH + 2, 2, 3, padding=1) for _ in strides[1:-1]),
                nn.ConvTranspose2d(WIDTH + 2, 2, 3, padding=1),
            ]
        )
        self.fuse = nn.Sequential(
            *conv_relu(nn.Conv2d(2 * len(strides), WIDTH, 1)),
            *conv_relu(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)),
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
        return tuple(map(foreground_logit, (self.fuse(torch.cat(scores, dim=1)), *scores)))
