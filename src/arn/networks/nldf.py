"""NLDF, non-local deep features (Luo et al., CVPR 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arn.networks.backbones import VGG16
from arn.networks.base import SaliencyNetwork
from arn.networks.common import check_side, fit, foreground_logit, initialise, resample

WIDTH = 128
GLOBAL_SIDE = 11  # of pool5 at 352 px: what the unpadded convolutions of the global branch reduce to one position


def contrast(x: Tensor) -> Tensor:
    """x minus its 3 x 3 average, edges repeated: B x C x H x W."""
    return x - F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def _fill(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.trunc_normal_(layer.weight, std=0.01, a=-0.02, b=0.02)  # TensorFlow cuts at two deviations
    else:
        nn.init.normal_(layer.weight, std=0.01)


class Enlarge(nn.Module):
    """Transposed convolution and ReLU, to the size of the feature it will meet: twice, or one more.

    TensorFlow's `SAME` cuts one row and column before and two after, or one after where the size to meet is odd.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, channels, 5, stride=2, padding=1)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        return F.relu(fit(self.conv(x), size))


class NLDF(SaliencyNetwork):
    """Non-local deep features: multi-resolution local features with their contrast, and one global score.

    VGG16's five pooled features pass a 3 x 3 convolution and ReLU (F) and are joined by their contrast C. From deep to
    shallow, [F, C, deeper] is enlarged by transposed convolutions, at last to two scores. Three unpadded convolutions
    reduce pool5 to one global pair of scores, which is added everywhere. The boundary term of the loss is
    :func:`arn.training.losses.contour_loss`.

    At other inputs than 352 px, which the authors' program refuses, pool5 is brought to 11 x 11 bilinearly.

    Returns one logit map at half the pictures' resolution, rounded down: the grid on which the authors train.
    """

    def __init__(self, input_size: int = 352) -> None:
        super().__init__()
        self.input_size = input_size
        self.backbone = VGG16(strides=(1, 2, 4, 8, 16))
        self.local = nn.ModuleList(nn.Conv2d(channels, WIDTH, 3, padding=1) for channels in self.backbone.channels)
        self.enlarge = nn.ModuleList(  # deep to shallow: each takes F, C and, but for the first, what is below it
            Enlarge((2 + deeper) * WIDTH, (1 + deeper) * WIDTH) for deeper in range(4)
        )
        self.join = nn.Conv2d(6 * WIDTH, 5 * WIDTH, 1)
        self.local_score = nn.Conv2d(5 * WIDTH, 2, 1)
        self.whole = nn.Sequential(
            nn.Conv2d(self.backbone.channels[-1], WIDTH, 5),
            nn.ReLU(inplace=True),
            nn.Conv2d(WIDTH, WIDTH, 5),
            nn.ReLU(inplace=True),
            nn.Conv2d(WIDTH, WIDTH, 3),
        )
        self.global_score = nn.Conv2d(WIDTH, 2, 1)
        initialise(self.new_layers(), _fill)
        self.backbone.initialise()

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        check_side(pictures)
        pooled = [F.max_pool2d(tap, 2) for tap in self.backbone(pictures)]
        pairs = []
        for conv, feature in zip(self.local, pooled, strict=True):
            local = F.relu(conv(feature))
            pairs.append(torch.cat([local, contrast(local)], dim=1))
        x = pairs.pop()
        for enlarge in self.enlarge:
            shallower = pairs.pop()
            x = torch.cat([shallower, enlarge(x, shallower.shape)], dim=1)
        local_score = self.local_score(self.join(x))
        global_score = self.global_score(self.whole(resample(pooled[-1], (GLOBAL_SIDE, GLOBAL_SIDE))))
        return (foreground_logit(local_score + global_score),)
