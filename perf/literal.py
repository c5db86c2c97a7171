"""ARN as a straightforward reader of the paper writes it: the yardstick of every ratio in `make perf`.

Channels first, float32, the attention matrix held whole, torch's own LRN, the feed-forward term of the RCL computed
anew at each step: eq. 1-8 line by line, without a thought for time or memory. Equal to `arn.networks.ARN` in outputs
and gradients (tests/test_perf.py); it takes over the weights of one. Beside it the floor: VGG16 and nothing else.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arn.networks import ARN, VGG16, SaliencyNetwork


class LiteralAttention(nn.Module):
    """Eq. 1-4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.f = nn.Conv2d(channels, channels // 8, 1)
        self.g = nn.Conv2d(channels, channels // 8, 1)
        self.h = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        f, g, h = (layer(x).view(batch, -1, height * width) for layer in (self.f, self.g, self.h))
        logits = torch.bmm(g.transpose(1, 2), f)  # row j, column i: s_ij
        weights = torch.softmax(logits, dim=2)
        o = torch.bmm(h, weights.transpose(1, 2))
        return self.gamma * o.view(batch, channels, height, width) + x


class LiteralRCL(nn.Module):
    """Eq. 5-8."""

    def __init__(self, in_channels: int, channels: int = 64, steps: int = 3) -> None:
        super().__init__()
        self.steps = steps
        self.feed_forward = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.recurrent = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.LocalResponseNorm((channels // 8 + 1) | 1, alpha=1e-3, beta=0.75, k=1.0)

    def forward(self, u: Tensor) -> Tensor:
        x = self.norm(F.relu(self.feed_forward(u)))
        for _ in range(self.steps):
            x = self.norm(F.relu(self.feed_forward(u) + self.recurrent(x)))
        return x


class LiteralStage(nn.Module):
    """One step from deep to shallow."""

    def __init__(self, deep: int, tap: int, channels: int) -> None:
        super().__init__()
        self.local = LiteralRCL(tap)
        self.upsample = nn.ModuleDict({"conv": nn.ConvTranspose2d(deep, channels, 4, stride=2, padding=1)})
        self.convs = nn.Sequential(
            nn.Sequential(nn.Conv2d(channels + 64, channels, 3, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()),
        )
        self.attention = LiteralAttention(channels)

    def forward(self, deep: Tensor, tap: Tensor) -> Tensor:
        up = F.relu(self.upsample["conv"](deep))
        return self.attention(self.convs(torch.cat([up, self.local(tap)], dim=1)))


class LiteralVGG16(nn.Module):
    """torchvision's layers up to conv5_3, tapped at the end of blocks 2 to 5; RGB in 0..1 in."""

    mean: Tensor
    std: Tensor
    TAPS = (8, 15, 22, 29)

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import vgg16

        self.features = vgg16(weights=None).features[:30]
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.register_buffer("mean", torch.empty(1, 3, 1, 1))
        self.register_buffer("std", torch.empty(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        x, taps = (pictures - self.mean) / self.std, []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.TAPS:
                taps.append(x)
        return taps


class LiteralARN(SaliencyNetwork):
    """The paper's network; B x 3 x S x S in 0..1, S a multiple of 16, to logits B x 1 x S x S. Parameters are named as
    those of `arn.networks.ARN`, so that its state dict can be loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = LiteralVGG16()
        self.deepest = LiteralAttention(512)
        self.stages = nn.ModuleList(
            LiteralStage(deep, tap, channels)
            for deep, tap, channels in ((512, 512, 256), (256, 256, 128), (128, 128, 64))
        )
        self.predict = nn.Conv2d(64, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        *shallow, deepest = self.backbone(pictures)
        x = self.deepest(deepest)
        for stage, tap in zip(self.stages, reversed(shallow), strict=True):
            x = stage(x, tap)
        return (F.interpolate(self.predict(x), size=pictures.shape[-2:], mode="bilinear", align_corners=False),)


class Floor(nn.Module):
    """VGG16's own forward, up to conv5_3, by torch's own convolutions on the weights of an ARN."""

    def __init__(self, backbone: VGG16) -> None:
        super().__init__()
        self.backbone = VGG16()
        self.backbone.load_state_dict(backbone.state_dict())
        for index, layer in enumerate(self.backbone.features):
            if isinstance(layer, nn.Conv2d):
                plain = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1)
                plain.load_state_dict(layer.state_dict())
                self.backbone.features[index] = plain
        self.to(memory_format=torch.channels_last)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        return (self.backbone(pictures)[-1],)


def literal(network: ARN) -> LiteralARN:
    """The literal program with the weights of a network of ``network=arn``, in float32.

    Options unchanged, but that it may have ``side_outputs``: their layers make no map and are left out.
    """
    made = LiteralARN()
    made.load_state_dict({n: w for n, w in network.state_dict().items() if not n.startswith("side_predict.")})
    return made.train(network.training)
