"""DHSNet, the deep hierarchical saliency network (Liu and Han, CVPR 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from arn.networks.backbones import VGG16
from arn.networks.base import SaliencyNetwork
from arn.networks.common import check_side, initialise, resample
from arn.networks.rcl import RCLOptions, RecurrentConv

WIDTH = 64


class Refinement(nn.Module):
    """One step back up: a coarser map, refined by a recurrent layer that also sees the backbone's tap of this level."""

    def __init__(self, tap_channels: int, rcl: Mapping[str, Any], predict_kernel: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(tap_channels, WIDTH, 1)
        self.rcl = RecurrentConv(WIDTH + 1, WIDTH, **rcl)
        self.predict = nn.Conv2d(WIDTH, 1, predict_kernel, padding=predict_kernel // 2)

    def forward(self, coarser: Tensor, tap: Tensor) -> Tensor:
        saliency = resample(torch.sigmoid(coarser), tap.shape)
        # The sigmoid brings the tap to the range of the map beside it.
        return self.predict(self.rcl(torch.cat([torch.sigmoid(self.squeeze(tap)), saliency], dim=1)))


class DHSNet(SaliencyNetwork):
    """Deep hierarchical saliency network: a coarse map from the whole picture at once, refined in four recurrent steps.

    One fully connected layer reads all of VGG16's conv5_3 and predicts a map of twice its side (78.7 of the 93.8
    million parameters at 224 px). Each step, at conv4_3, conv3_3, conv2_2 and conv1_2, squeezes the tap to 64 channels,
    joins the coarser map, and passes an RCL and a convolution to one logit. Every map is supervised.

    Unlike in popular re-implementations, the recurrent layers are recurrent, share their kernels over time, and use
    LRN, not BatchNorm.

    Args:
        input_size: side of the square pictures, px; it sets the size of the fully connected layer.
        rcl: options of :class:`RecurrentConv`.
        predict_kernel: of the convolution that predicts each map.

    Returns logits, B x 1 x h x w, at the resolutions of conv1_2 (the picture's), conv2_2, conv3_3, conv4_3 and the
    coarse map.
    Raises ValueError for an even ``predict_kernel``.
    """

    def __init__(
        self,
        input_size: int = 224,
        rcl: Annotated[Mapping[str, Any] | None, RCLOptions] = None,
        predict_kernel: int = 3,
    ) -> None:
        super().__init__()
        if predict_kernel % 2 == 0:
            raise ValueError(f"network.predict_kernel must be odd, not {predict_kernel}")
        self.input_size = input_size
        self.grid = input_size // 16
        self.backbone = VGG16(strides=(1, 2, 4, 8, 16))
        self.coarse = nn.Linear(self.backbone.channels[-1] * self.grid**2, (2 * self.grid) ** 2)
        self.steps = nn.ModuleList(
            Refinement(channels, rcl or {}, predict_kernel) for channels in self.backbone.channels[-2::-1]
        )
        self.backbone.initialise()
        initialise(self.steps.modules(), "msra")
        nn.init.normal_(self.coarse.weight, std=self.coarse.in_features**-0.5)
        nn.init.zeros_(self.coarse.bias)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        check_side(pictures)
        features: Sequence[Tensor] = self.backbone(pictures)
        deep = resample(features[-1], (self.grid, self.grid))
        side = 2 * self.grid
        logits = [self.coarse(deep.flatten(1)).reshape(-1, 1, side, side)]
        for step, tap in zip(self.steps, features[-2::-1], strict=True):
            logits.append(step(logits[-1], tap))
        return tuple(one.float() for one in reversed(logits))
