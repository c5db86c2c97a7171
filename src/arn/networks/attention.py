"""Self-attention over positions: ARN eq. 1-4, after SAGAN (Zhang et al., arXiv 1805.08318)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EXPORTED_BLOCK = 2**22
"""Most attention weights that an exported graph holds at once for one picture: 16 MB."""

WHOLE = 2**16
"""Attention weights of one picture up to which they are held as they are: 256 KB, no more than the features."""

ROWS, KEYS = 512, 800
"""Queries (a thread) and keys of one block: its weights, 1.6 MB, stay in the cache between the steps. Measured for
float32 and bfloat16 at 112 x 112 positions with 64 to 2048 rows and 400 to 3200 keys: flat around this."""

SAMPLE = 16
"""Every so-manieth key is looked at for the shift of a row's logits."""

LARGEST_SUM = 2.0**64
"""A row whose weights in one block sum to more has a logit far above those of the sample."""


def position_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``softmax(query^T key) value`` with unscaled logits, without ever holding the N x M matrix.

    On CPU by :class:`BlockedAttention`, elsewhere by `scaled_dot_product_attention`; the matrix of a few hundred
    positions is held. Logits and exponentials are float32 where the operands are bfloat16 or float16.

    Args:
        query: B x C1 x N.
        key: B x C1 x M, the attended positions.
        value: B x C x M with C >= C1.

    Returns:
        B x C x N, with the layout of channels_last features: each position's channels lie side by side.
    """
    if torch.compiler.is_exporting():
        return _exported_attention(query, key, value)
    if query.device.type != "cpu" or torch.compiler.is_compiling():
        return _streamed_attention(query, key, value)
    with torch.autocast("cpu", enabled=False):
        if query.shape[2] * key.shape[2] <= WHOLE:
            weights = torch.softmax(_wide(query).transpose(1, 2) @ _wide(key), dim=2)
            return (weights.to(value.dtype) @ value.transpose(1, 2)).transpose(1, 2)
        out: Tensor = BlockedAttention.apply(query, key, value)
        return out


def _streamed_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """By torch's fused kernels, which stream over the keys only where all widths agree; with a value wider than the key
    some silently build the matrix. Zero channels added to query and key leave every logit as it is, so padding them to
    the value's width is exact. Strided operands are copied for the same reason.
    """
    padding = value.shape[1] - query.shape[1]
    q, k = (F.pad(t.transpose(1, 2), (0, padding)).contiguous().unsqueeze(1) for t in (query, key))
    v = value.transpose(1, 2).contiguous().unsqueeze(1)
    out = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return out.squeeze(1).transpose(1, 2)


def _exported_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same in matrix products and softmax, which every runtime has, over blocks of query positions.

    A runtime knows no streaming attention and would hold the matrix; an exported graph has fixed shapes, so the blocks
    are written out.
    """
    rows = max(EXPORTED_BLOCK // key.shape[2], 1)
    values = value.transpose(1, 2)
    blocks = [torch.softmax(q.transpose(1, 2) @ key, dim=2) @ values for q in query.split(rows, dim=2)]
    return torch.cat(blocks, dim=1).transpose(1, 2)


class BlockedAttention(torch.autograd.Function):
    """``softmax(query^T key) value`` on CPU, block after block of the matrix, forwards and again backwards.

    torch's own streaming kernel wants queries and keys as wide as the values: eight times the arithmetic of the logits
    here. What makes the blocks cheap:

    - The logits come out of the matrix product ready for ``exp2``, which is the fastest exponential of torch on CPU:
      queries are multiplied by log2 e, and one more channel subtracts the row's shift.
    - The shift keeps the exponentials in range and cancels out. Any number near the row's largest logit will do, so it
      is the largest over a sample of the keys. From the block on where this fails (the sum tells), the shift follows
      the largest logit so far, and what was summed before is scaled down with it.
    - Of bfloat16 operands only the two products with 64 and more channels are bfloat16; logits, exponentials and sums
      are float32.

    Backwards the weights are computed anew from the rows' logarithms of the sums; only those are kept beside operands
    and result, so that memory is linear in the number of positions.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """B x C1 x N, B x C1 x M, B x C x M -> B x C x N."""
        narrow = value.dtype if value.dtype == torch.bfloat16 else _wide(value).dtype
        queries, keys = _wide(query).transpose(1, 2) * math.log2(math.e), _wide(key)
        values = value.to(narrow).transpose(1, 2).contiguous()
        batch, positions, _ = queries.shape
        out = values.new_empty(batch, positions, value.shape[1])
        sums = queries.new_empty(batch, positions)  # log2 of the sums of 2^logit
        for index in range(batch):
            _attend(queries[index], keys[index], values[index], out[index], sums[index])
        out = out.to(value.dtype)
        ctx.save_for_backward(query, key, value, out, sums)
        return out.transpose(1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, out, sums = ctx.saved_tensors
        narrow = value.dtype if value.dtype == torch.bfloat16 else _wide(value).dtype
        with torch.autocast("cpu", enabled=False):
            found = [
                _attend_backwards(
                    _wide(query[index]).t(),
                    _wide(key[index]),
                    value[index].to(narrow).t().contiguous(),
                    out[index],
                    sums[index],
                    gradients[0][index].to(narrow).t().contiguous(),
                )
                for index in range(len(query))
            ]
        d_query, d_key, d_value = (torch.stack(one) for one in zip(*found, strict=True))
        return d_query.to(query.dtype), d_key.to(key.dtype), d_value.to(value.dtype).transpose(1, 2)


def _wide(x: Tensor) -> Tensor:
    """In float32, or float64 as it is."""
    return x if x.dtype == torch.float64 else x.float()


def _spans(length: int, size: int) -> Iterator[slice]:
    """0 .. length in equal parts of at most ``size``."""
    size = -(-length // -(-length // size))
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def _blocks(queries: int, keys: int) -> tuple[list[slice], list[slice]]:
    return list(_spans(queries, ROWS * torch.get_num_threads())), list(_spans(keys, KEYS))


class _Scratch:
    """Memory for one block after the other."""

    def __init__(self, rows: list[slice], keys: list[slice], dtype: torch.dtype) -> None:
        self.memory = torch.empty(rows[0].stop * keys[0].stop, dtype=dtype)
        self.views: dict[tuple[int, int], Tensor] = {}

    def block(self, rows: int, keys: int) -> Tensor:
        if (rows, keys) not in self.views:
            self.views[rows, keys] = self.memory[: rows * keys].view(rows, keys)
        return self.views[rows, keys]


def _attend(query: Tensor, key: Tensor, value: Tensor, out: Tensor, sums: Tensor) -> None:
    """One picture: query N x C1 in units of log2, key C1 x M, value M x C; writes out, N x C, and log2 sums, N."""
    rows, columns = _blocks(len(query), key.shape[1])
    keys = torch.cat([key, torch.ones_like(key[:1])])
    parts = [(keys[:, span], value[span], span.stop - span.start) for span in columns]
    sample = key[:, ::SAMPLE].contiguous()
    scratch = _Scratch(rows, columns, query.dtype)
    narrow = _Scratch(rows, columns, value.dtype) if value.dtype != query.dtype else None

    for part in rows:
        queries = query[part]
        shift = (queries @ sample).amax(1, keepdim=True)
        shifted = torch.cat([queries, -shift], dim=1)
        total, found = torch.zeros_like(shift), queries.new_zeros(len(queries), value.shape[1])
        outgrown = False
        for some_keys, some_values, count in parts:
            weights = torch.mm(shifted, some_keys, out=scratch.block(len(queries), count))
            if not outgrown:
                added = weights.exp2_().sum(1, keepdim=True)
                outgrown = not float(added.max()) < LARGEST_SUM  # neither is infinity or NaN
                if outgrown:
                    torch.mm(shifted, some_keys, out=weights)
            if outgrown:
                excess = weights.amax(1, keepdim=True).clamp_(min=0)
                shift += excess
                shifted[:, -1:] = -shift
                shrink = torch.exp2(-excess)
                total *= shrink
                found *= shrink
                added = weights.sub_(excess).exp2_().sum(1, keepdim=True)
            total += added
            if narrow is None:
                found.addmm_(weights, some_values)
            else:
                found += narrow.block(len(queries), count).copy_(weights) @ some_values
        out[part] = found.div_(total)
        sums[part] = (shift + total.log2_()).squeeze(1)


def _attend_backwards(
    query: Tensor, key: Tensor, value: Tensor, out: Tensor, sums: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One picture: query N x C1, key C1 x M, value M x C, out and its gradient N x C, log2 sums N -> the gradients,
    C1 x N, C1 x M, M x C.

    With weights P, ``dV = P^T dO``, ``dS = P * (dO V^T - d)`` where ``d = sum over channels of dO * O``,
    ``dQ = dS K`` and ``dK = dS^T Q``. d is subtracted inside the product, before anything is rounded to bfloat16.
    """
    rows, columns = _blocks(len(query), key.shape[1])
    scaled = torch.cat([query * math.log2(math.e), -sums[:, None]], dim=1)
    keys = torch.cat([key, torch.ones_like(key[:1])])
    dot = -(_wide(gradient) * _wide(out)).sum(1, keepdim=True)
    parts = [dot.to(value.dtype)]
    if value.dtype != query.dtype:
        parts.append((dot - _wide(parts[0])).to(value.dtype))  # what rounding has cut off
    left = torch.cat([gradient, *parts], dim=1)
    right = torch.cat([value, value.new_ones(len(value), len(parts))], dim=1).t()
    # The narrow products as C1 x anything: torch's are four times as slow the other way round.
    queries, narrow_key = query.t().to(value.dtype).contiguous(), key.to(value.dtype).contiguous()
    d_query, d_key, d_value = (torch.zeros_like(t, dtype=query.dtype) for t in (queries, narrow_key, value))
    scratch, slopes = _Scratch(rows, columns, query.dtype), _Scratch(rows, columns, value.dtype)
    narrow = _Scratch(rows, columns, value.dtype) if value.dtype != query.dtype else None
    for span in columns:
        for part in rows:
            weights = scratch.block(part.stop - part.start, span.stop - span.start)
            torch.mm(scaled[part], keys[:, span], out=weights).exp2_()
            if narrow is not None:
                weights = narrow.block(*weights.shape).copy_(weights)
            slope = torch.mm(left[part], right[:, span], out=slopes.block(*weights.shape))
            _add_product(d_value[span], weights.t(), gradient[part])
            slope.mul_(weights)
            _add_product(d_query[:, part], narrow_key[:, span], slope.t())
            _add_product(d_key[:, span], queries[:, part], slope)
    return d_query, d_key, d_value


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add ``a @ b`` in the total's own type."""
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b


class SelfAttention(nn.Module):
    """Self-attention block, ARN eq. 1-4: every position is answered by a weighted sum over all positions.

    ``s_ij = f(x_i)^T g(x_j)`` (eq. 1), ``b_ji = exp(s_ij) / sum_i exp(s_ij)`` (eq. 2, over the attended positions i),
    ``o_j = sum_i b_ji h(x_i)`` (eq. 3, a matrix product: the printed Hadamard product does not fit the shapes) and
    ``y = gamma * o + x`` (eq. 4). f and g are 1 x 1 convolutions to C / 8 channels, h to C. gamma starts at 0, so the
    block starts as the identity. Logits are not scaled.

    Args:
        channels: C of the input and output, B x C x H x W.
        reduction: C / C1; 8 in the paper.
        key_pool: attend to max-pooled positions, ``key_pool`` x ``key_pool`` to one (1: every position, the paper). An
            ablation that divides the cost by its square; not in the paper.
    """

    def __init__(self, channels: int, reduction: int = 8, key_pool: int = 1) -> None:
        super().__init__()
        inner = max(channels // reduction, 1)
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
