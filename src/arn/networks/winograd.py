"""3 x 3 convolution by Winograd's minimal filtering (Lavin and Gray, arXiv 1509.09308), for inference on CPU.

torch's direct convolution runs near the peak of the arithmetic units; this one needs a quarter of the multiplications.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TILE = 4
"""Outputs a side of a tile, from TILE + 2 inputs: F(4 x 4, 3 x 3)."""

WORTH = 128
"""Channels in and out from which on the transforms cost less than they save, measured at 28 to 112 px."""

SMALLEST = 24 * 24
"""Positions of a picture, whatever the batch, from which on the kernels' own transform is worth it."""

CHUNK = 2**22
"""Bytes of transformed input that are worked on at once, and stay in the cache."""

LARGEST = 3 * 2**23
"""Bytes of transformed kernels in one piece."""

# Section 4.3 of the paper: outputs = A^T [(G g G^T) * (B^T d B)] A. Over a tile in one step: the Kronecker products.
_B = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]]
_B += [[0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
_G = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # times 24
_A = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


def _over_a_tile(rows: list[list[int]], divisor: int = 1) -> Tensor:
    one = torch.tensor(rows, dtype=torch.float64) / divisor
    return torch.kron(one, one).float()


_INPUT, _KERNEL, _OUTPUT = _over_a_tile(_B), _over_a_tile(_G, 24), _over_a_tile(_A)


class Conv3x3(nn.Conv2d):
    """A 3 x 3 convolution of stride 1 that keeps the size; by :func:`winograd` where that is faster."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if self._worth(x):
            return winograd(x, self.weight, self.bias)
        return super().forward(x)

    def _worth(self, x: Tensor) -> bool:
        if x.device.type != "cpu" or x.dtype != torch.float32 or self.weight.dtype != torch.float32:
            return False
        if min(self.in_channels, self.out_channels) < WORTH or torch.is_grad_enabled():
            return False
        if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return False
        positions = x.shape[-2] * x.shape[-1]
        height, width = (-(-side // TILE) * TILE for side in x.shape[-2:])
        return positions >= SMALLEST and height * width <= 1.1 * positions


def winograd(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``conv2d(x, weight, bias, padding=1)`` without gradients: B x C x H x W and K x C x 3 x 3 -> B x K x H x W.

    Float32. The largest error is some 4e-6 of the largest output, direct convolution's some 2e-6. The result is in
    channels_last.
    """
    batch, channels, height, width = x.shape
    kernels, span = len(weight), TILE + 2
    down, across = -(-height // TILE), -(-width // TILE)
    margins = (0, 0, 1, TILE * across - width + 1, 1, TILE * down - height + 1)
    padded = F.pad(x.permute(0, 2, 3, 1), margins).contiguous()
    along, over, step, _ = padded.stride()
    # 36 matrices of C x K, by parts: what is larger than 32 MB, glibc takes from the system each time anew.
    count = -(-kernels * span**2 * channels * 4 // LARGEST)
    parts = [slice(kernels * one // count, kernels * (one + 1) // count) for one in range(count)]
    transformed = [
        (_KERNEL @ weight[part].permute(2, 3, 0, 1).reshape(9, -1)).view(span**2, -1, channels).transpose(1, 2)
        for part in parts
    ]
    out = x.new_empty(batch, down, TILE, across, TILE, kernels)
    rows = min(max(CHUNK // (span**2 * across * max(channels, kernels) * 4), 1), down)
    for picture in range(batch):
        for top in range(0, down, rows):
            high = min(rows, down - top)
            tiles = padded.as_strided(
                (span, span, high, across, channels),
                (over, step, TILE * over, TILE * step, 1),
                padded.storage_offset() + picture * along + top * TILE * over,
            )
            spectrum = (_INPUT @ tiles.reshape(span**2, -1)).view(span**2, -1, channels)
            for part, kernel in zip(parts, transformed, strict=True):
                products = torch.bmm(spectrum, kernel).view(span**2, -1)
                found = (_OUTPUT @ products).view(TILE, TILE, high, across, -1)
                if bias is not None:
                    found += bias[part]
                out[picture, top : top + high, ..., part] = found.permute(2, 0, 3, 1, 4)
    return out.view(batch, TILE * down, TILE * across, kernels)[:, :height, :width].permute(0, 3, 1, 2)
