"""Self-attention over positions: ARN eq. 1-4, after SAGAN (Zhang et al., arXiv 1805.08318)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arn.networks.attention_blocks import BlockedAttention, wide

EXPORTED_BLOCK = 2**22
"""Most attention weights that an exported graph holds at once for one picture: 16 MB."""

WHOLE = 2**16
"""Attention weights of one picture up to which they are held as they are: 256 KB, no more than the features."""


def position_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``softmax(query^T key) value`` with unscaled logits: B x C1 x N, B x C1 x M, B x C x M, C >= C1 -> B x C x N.

    The N x M matrix is never held, but for a few hundred positions. Logits and exponentials are float32 where the
    operands are bfloat16 or float16. The result has the layout of channels_last features.
    """
    if torch.compiler.is_exporting():
        return _exported_attention(query, key, value)
    if query.device.type != "cpu" or torch.compiler.is_compiling():
        return _streamed_attention(query, key, value)
    with torch.autocast("cpu", enabled=False):
        if query.shape[2] * key.shape[2] <= WHOLE:
            weights = torch.softmax(wide(query).transpose(1, 2) @ wide(key), dim=2)
            return (weights.to(value.dtype) @ value.transpose(1, 2)).transpose(1, 2)
        out: Tensor = BlockedAttention.apply(query, key, value)
        return out


def _streamed_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """By torch's fused kernels, some of which silently build the matrix where widths differ or operands are strided.

    Zero channels added to query and key leave every logit as it is.
    """
    padding = value.shape[1] - query.shape[1]
    q, k = (F.pad(t.transpose(1, 2), (0, padding)).contiguous().unsqueeze(1) for t in (query, key))
    v = value.transpose(1, 2).contiguous().unsqueeze(1)
    out = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return out.squeeze(1).transpose(1, 2)


def _exported_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """In matrix products and softmax, which every runtime has; a graph has fixed shapes, so blocks are written out."""
    rows = max(EXPORTED_BLOCK // key.shape[2], 1)
    values = value.transpose(1, 2)
    blocks = [torch.softmax(q.transpose(1, 2) @ key, dim=2) @ values for q in query.split(rows, dim=2)]
    return torch.cat(blocks, dim=1).transpose(1, 2)


class SelfAttention(nn.Module):
    """Self-attention block, ARN eq. 1-4: every position is answered by a weighted sum over all positions.

    ``s_ij = f(x_i)^T g(x_j)`` (eq. 1), ``b_ji = exp(s_ij) / sum_i exp(s_ij)`` (eq. 2, over the attended positions i),
    ``o_j = sum_i b_ji h(x_i)`` (eq. 3, a matrix product: the printed Hadamard product does not fit the shapes) and
    ``y = gamma * o + x`` (eq. 4). gamma starts at 0, so the block starts as the identity. Logits are not scaled.

    Args:
        channels: C of the input and output, B x C x H x W.
        reduction: C / C1; 8 in the paper.
        key_pool: attend to max-pooled positions, ``key_pool`` x ``key_pool`` to one (1: every position, the paper). An
            ablation that divides the cost by its square; not in the paper.
    """

    def __init__(self, channels: int, reduction: int = 8, key_pool: int = 1) -> None:
        super().__init__()
        inner = max(channels // reduction, 1)
        if key_pool < 1:
            raise ValueError(f"attention.key_pool must be 1 or more, not {key_pool}")
        self.key_pool = key_pool
        self.f = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.h = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        attended = x
        if self.key_pool > 1:
            attended = F.max_pool2d(x, self.key_pool, ceil_mode=True)
        o = position_attention(self.g(x).flatten(2), self.f(attended).flatten(2), self.h(attended).flatten(2))
        return self.gamma * o.reshape(x.shape) + x

    def extra_repr(self) -> str:
        return f"key_pool={self.key_pool}"
