"""SRM, stagewise refinement (T. Wang et al., ICCV 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arn.networks.backbones import ResNet50
from arn.networks.base import SaliencyNetwork
from arn.networks.common import check_side, foreground_logit, initialise, resample

BINS = (6, 3, 2, 1)


class Backbones(nn.Module):
    """The two ResNet-50, with weights of their own: all of one, the other up to its 1024-channel stage."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ResNet50(strides=(32,))
        self.second = ResNet50(strides=(8, 16))

    def load_imagenet(self, folder: Path | None) -> str:
        """Both from the same weights."""
        source = self.first.load_imagenet(folder)
        if source != "random":
            self.second.load_features(self.first.features.state_dict())
        return source

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """-> features of strides 8 and 16, of the second, and 32, of the first."""
        return [*self.second(pictures), *self.first(pictures)]


class PyramidPooling(nn.Module):
    """A feature joined by its averages over bins, each through a 1 x 1 convolution.

    Bins have side ceil(side / bins) and the last may be smaller: at 23 wide 4, 8, 12 and 23, at 45 wide 8, 15, 23, 45.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, 512, 1, bias=False) for _ in BINS)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x]
        for bins, conv in zip(BINS, self.convs, strict=True):
            kernel = [-(-side // bins) for side in x.shape[-2:]]
            pooled = F.avg_pool2d(x, kernel, ceil_mode=True)
            parts.append(resample(conv(pooled), x.shape, align_corners=True))
        return torch.cat(parts, dim=1)


class Stage(nn.Module):
    """Pyramid pooling, two convolutions, the coarser scores beside them, two more; biases and ReLU as the authors'."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pyramid = PyramidPooling(channels)
        self.squeeze = nn.Sequential(
            nn.Conv2d(channels + 512 * len(BINS), 256, 3, padding=1, bias=False),
            nn.Conv2d(256, 64, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
        )
        self.predict = nn.Sequential(
            nn.Conv2d(2 + 64, 2, 3, padding=1, bias=False), nn.Conv2d(2, 2, 3, padding=1, bias=False)
        )

    def forward(self, coarser: Tensor, feature: Tensor) -> Tensor:
        scores = resample(coarser, feature.shape, align_corners=True)
        return self.predict(torch.cat([scores, self.squeeze(self.pyramid(feature))], dim=1))


class SRM(SaliencyNetwork):
    """Stagewise refinement: a coarse map of stride 32, refined at stride 16 and 8 by a second network with pyramids.

    All three maps are enlarged to the picture for the loss. 353 = 32 x 11 + 1: with corners aligned every enlargement
    is exact.

    The ResNet-50s are torchvision's; the authors' normalise before each block. Their BatchNorm on stored statistics is
    ``freeze_backbone_norm=true``.

    Returns logits of stages 3, 2 and 1, B x 1 x H x W.
    """

    def __init__(self, input_size: int = 353) -> None:
        super().__init__()
        self.input_size = input_size
        self.backbone = Backbones()
        self.coarse = nn.Sequential(nn.Conv2d(2048, 256, 3, padding=1, bias=False), nn.Conv2d(256, 2, 1))
        self.stages = nn.ModuleList(Stage(channels) for channels in reversed(self.backbone.second.channels))
        initialise(self.new_layers(), "msra")

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        check_side(pictures)
        features: Sequence[Tensor] = self.backbone(pictures)
        scores = [self.coarse(features[-1])]
        for stage, feature in zip(self.stages, features[-2::-1], strict=True):
            scores.append(stage(scores[-1], feature))
        return tuple(resample(foreground_logit(one), pictures.shape, align_corners=True) for one in reversed(scores))
