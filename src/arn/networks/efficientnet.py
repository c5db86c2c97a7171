"""EfficientNet-Lite0 (Tan and Le 2019; the Lite variant without squeeze-and-excitation, with ReLU6, 2020) as features.

Equal to `timm`'s ``tf_efficientnet_lite0`` with ``features_only=True``: names of the weights, outputs, and for one seed
the random numbers it starts from. It saves the import of `timm` and torchvision, which takes longer than torch's.
"""

from __future__ import annotations

import math
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

# Each stage: expansion, channels out, blocks, kernel, stride of its first block.
STAGES = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)
STEM = 32
# The stages that end a resolution; their outputs are the features.
TAPS = (0, 1, 2, 4, 6)

normalisation = partial(nn.BatchNorm2d, eps=1e-3)


class SameConv(nn.Conv2d):
    """A convolution with stride 2, padded as TensorFlow pads: ceil(side / 2) out, the odd row at the bottom right."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, right = (max((math.ceil(side / stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:])
        x = F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def convolution(wide: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride > 1:
        return SameConv(wide, out, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(wide, out, kernel, padding=kernel // 2, groups=groups, bias=False)


class Separable(nn.Module):
    """Depthwise, then pointwise without activation: the first stage's block."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = convolution(channels, channels, kernel, stride, groups=channels)
        self.bn1 = normalisation(channels)
        self.conv_pw = convolution(channels, out)
        self.bn2 = normalisation(out)
        self.skip = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.conv_dw(x)), inplace=True)
        y = self.bn2(self.conv_pw(y))
        return x + y if self.skip else y


class Inverted(nn.Module):
    """Wider, depthwise, narrow again without activation (Sandler et al. 2018)."""

    def __init__(self, channels: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.conv_pw = convolution(channels, wide)
        self.bn1 = normalisation(wide)
        self.conv_dw = convolution(wide, wide, kernel, stride, groups=wide)
        self.bn2 = normalisation(wide)
        self.conv_pwl = convolution(wide, out)
        self.bn3 = normalisation(out)
        self.skip = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.conv_pw(x)), inplace=True)
        y = F.relu6(self.bn2(self.conv_dw(y)), inplace=True)
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.skip else y


class EfficientNetLite0(nn.Module):
    """B x 3 x H x W, normalised by ``mean`` and ``std``, to five feature maps, shallow to deep."""

    strides = (2, 4, 8, 16, 32)
    channels = tuple(STAGES[index][1] for index in TAPS)
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = convolution(3, STEM, 3, 2)
        self.bn1 = normalisation(STEM)
        # `timm` tries an attention layer here and throws it away; its random numbers are drawn, so that a seed means
        # the same network.
        nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        channels, stages = STEM, []
        for expansion, out, blocks, kernel, stride in STAGES:
            stage: list[nn.Module] = []
            for index in range(blocks):
                step = stride if index == 0 else 1
                if expansion == 1:
                    stage.append(Separable(channels, out, kernel, step))
                else:
                    stage.append(Inverted(channels, out, expansion, kernel, step))
                channels = out
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*stages)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels // layer.groups
                nn.init.normal_(layer.weight, 0, math.sqrt(2 / fan_out))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu6(self.bn1(self.conv_stem(x)), inplace=True)
        features = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index in TAPS:
                features.append(x)
        return features
