"""Attention on CPU, block after block of the matrix that nobody holds."""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

ROWS, KEYS = 512, 800
"""Queries and keys of one block, which is one thread's: its weights, 1.6 MB in float32, stay in the cache between the
steps. With keys of more than eight channels, fewer of them."""

SAMPLE = 64
"""Every 64th key is looked at for the shift of a row's logits."""

COMPILED = 2**26
"""Attention weights of one picture from which on the compiled kernel, and threads of our own, are worth their start:
torch's threads spin for some milliseconds after each operation."""

T = TypeVar("T")
_Memory = dict[Any, Tensor]  # a thread's blocks, by shape and use


class BlockedAttention(torch.autograd.Function):
    """``softmax(query^T key) value`` on CPU, block after block of the matrix, forwards and again backwards.

    torch's own streaming kernel wants queries and keys as wide as the values: eight times the arithmetic of the logits
    here. Each block is one thread's, and its weights stay in the cache.

    - Logits are in units of log2, for exponentials are powers of two to a processor. A compiled kernel makes a block's
      weights in one pass (:mod:`arn.networks.attention_kernel`), torch the product with the values.
    - A shift keeps the exponentials in range and cancels out: the largest logit over a sample of the keys. Where a
      block has a logit far above it, the shift is raised to that, and what was summed before is scaled down.
    - Of bfloat16 operands only the two wide products are bfloat16; logits, exponentials and sums are float32.

    Backwards the weights are computed anew from the logarithms of their sums, so that memory is linear in the number of
    positions. The blocks, and the order within each, are the same for any number of threads.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """B x C1 x N, B x C1 x M, B x C x M -> B x C x N."""
        narrow = value.dtype if value.dtype == torch.bfloat16 else wide(value).dtype
        values = value.to(narrow).transpose(1, 2).contiguous()
        problems = [_Blocks(wide(q), wide(k), narrow) for q, k in zip(query, key, strict=True)]
        out = values.new_empty(len(query), query.shape[2], value.shape[1])
        sums = torch.empty(out.shape[:2], dtype=wide(query).dtype)  # log2 of the sums of 2^logit
        parts = [(picture, rows) for picture, problem in enumerate(problems) for rows in problem.rows]

        def work(left: Iterator[tuple[int, slice]]) -> None:
            memory: _Memory = {}
            for picture, rows in left:
                _attend(problems[picture], rows, values[picture], out[picture, rows], sums[picture, rows], memory)

        # Each part's result is its own, whoever comes to compute it.
        left = iter(parts)
        _in_threads(work, [left] * (torch.get_num_threads() if problems[0].large else 1))
        out = out.to(value.dtype)
        ctx.save_for_backward(query, key, value, out, sums)
        return out.transpose(1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, out, sums = ctx.saved_tensors
        narrow = value.dtype if value.dtype == torch.bfloat16 else wide(value).dtype
        with torch.autocast("cpu", enabled=False):
            found = [
                _attend_backwards(
                    _Blocks(wide(query[index]), wide(key[index]), narrow),
                    value[index].to(narrow).t().contiguous(),
                    out[index],
                    sums[index],
                    gradients[0][index].to(narrow).t().contiguous(),
                )
                for index in range(len(query))
            ]
        d_query, d_key, d_value = (torch.stack(one) for one in zip(*found, strict=True))
        return d_query.to(query.dtype), d_key.to(key.dtype), d_value.to(value.dtype).transpose(1, 2)


def wide(x: Tensor) -> Tensor:
    """In float32, or float64 as it is."""
    return x if x.dtype == torch.float64 else x.float()


class _Blocks:
    """The matrix of one picture, by its blocks: spans of the N queries (``rows``) and of the M keys (``columns``).

    Args:
        query, key: C1 x N and C1 x M, float32 or float64.
        dtype: of the weights.

    Attributes:
        unit: of logits and shifts, in log2.
        weigh: writes a block's weights; see :func:`_weigh`.
        large: worth the kernel, and several threads.
    """

    def __init__(self, query: Tensor, key: Tensor, dtype: torch.dtype) -> None:
        query, key = query.detach(), key.detach()
        width = len(query)
        self.key, self.dtype = key, dtype
        self.large = query.shape[1] * key.shape[1] >= COMPILED
        self.unit, self.weigh = 1.0, _weigh
        if self.large and query.dtype == torch.float32:
            from arn.networks.attention_kernel import UNIT, WIDTH

            padding = -width % WIDTH
            query, key = F.pad(query, (0, 0, 0, padding)), F.pad(key, (0, 0, 0, padding))
            self.unit, self.weigh = UNIT, _compiled
        self.rows = _spans(query.shape[1], ROWS)
        self.columns = _spans(key.shape[1], KEYS if width <= 8 else KEYS // 2)
        self.queries = query.t() * (math.log2(math.e) * self.unit)
        self.queries = self.queries.contiguous()
        self.keys = [key[:, span].contiguous() for span in self.columns]
        self.sample = key[:, ::SAMPLE].contiguous()
        self.doubt = 0 * key.sum()  # not 0 where a key is infinite or no number

    def weights(self, rows: slice, column: int, memory: _Memory) -> Tensor:
        span = self.columns[column]
        return _scratch(memory, rows.stop - rows.start, span.stop - span.start, self.dtype)


def _spans(length: int, size: int) -> list[slice]:
    """0 .. length in equal parts of at most ``size``."""
    size = -(-length // -(-length // size))
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _scratch(memory: _Memory, rows: int, columns: int, dtype: torch.dtype, use: str = "weights") -> Tensor:
    found = memory.get((rows, columns, dtype, use))
    if found is None:
        found = memory[rows, columns, dtype, use] = torch.empty(rows, columns, dtype=dtype)
    return found


def _weigh(
    queries: Tensor, keys: Tensor, shift: Tensor, weights: Tensor, sums: Tensor, shrink: Tensor, memory: _Memory
) -> bool:
    """By torch what :func:`arn.networks.attention_kernel.weigh` does, with shifts that follow each larger logit."""
    logits = weights
    if weights.dtype != queries.dtype:
        logits = _scratch(memory, weights.shape[0], weights.shape[1], queries.dtype, "logits")
    torch.mm(queries, keys, out=logits).sub_(shift[:, None])
    excess = logits.amax(1).clamp_(min=0)
    raised = bool(excess.any())
    if raised:
        logits.sub_(excess[:, None])
        shift += excess
    torch.exp2(excess.neg_(), out=shrink)
    sums.mul_(shrink).add_(logits.exp2_().sum(1))
    if logits is not weights:
        weights.copy_(logits)
    return raised


def _compiled(
    queries: Tensor, keys: Tensor, shift: Tensor, weights: Tensor, sums: Tensor, shrink: Tensor, memory: _Memory
) -> bool:
    from arn.networks.attention_kernel import weigh

    bits = weights.view(torch.uint16) if weights.dtype == torch.bfloat16 else weights
    return bool(weigh(*(one.numpy() for one in (queries, keys, shift, bits, sums, shrink))))


def _attend(blocks: _Blocks, rows: slice, value: Tensor, out: Tensor, sums: Tensor, memory: _Memory) -> None:
    """For some rows of one picture, with value M x C, writes out, R x C, and log2 sums, R."""
    queries = blocks.queries[rows]
    shift = (queries @ blocks.sample).amax(1)
    total, shrink = torch.zeros_like(shift), torch.empty_like(shift)
    found = queries.new_zeros(len(queries), value.shape[1])
    for column, span in enumerate(blocks.columns):
        weights = blocks.weights(rows, column, memory)
        if blocks.weigh(queries, blocks.keys[column], shift, weights, total, shrink, memory):
            found *= shrink[:, None]
        _add_product(found, weights, value[span])
    total += (shift - shift) + blocks.doubt  # where logits are infinite or no numbers, nothing can be said
    out.copy_(found.div_(total[:, None]))
    sums.copy_((shift / blocks.unit).add_(total.log2_()))


def _attend_backwards(
    blocks: _Blocks, value: Tensor, out: Tensor, sums: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One picture: value M x C, out and its gradient N x C, log2 sums N -> the gradients, C1 x N, C1 x M, M x C.

    With weights P, ``dV = P^T dO``, ``dS = P * (dO V^T - d)`` where ``d = sum over channels of dO * O``,
    ``dQ = dS K`` and ``dK = dS^T Q``. d is subtracted inside the product, before anything is rounded to bfloat16.
    """
    dtype = value.dtype
    dot = -(wide(gradient) * wide(out)).sum(1, keepdim=True)
    parts = [dot.to(dtype)]
    if dtype != blocks.queries.dtype:
        parts.append((dot - wide(parts[0])).to(dtype))  # what rounding has cut off
    left = torch.cat([gradient, *parts], dim=1)
    right = torch.cat([value, value.new_ones(len(value), len(parts))], dim=1).t()
    width = len(blocks.key)
    # The narrow products as C1 x anything: torch's are four times as slow the other way round.
    queries = (blocks.queries.t()[:width] / (math.log2(math.e) * blocks.unit)).to(dtype).contiguous()
    keys = blocks.key.to(dtype).contiguous()
    shift = sums * blocks.unit
    d_key, d_value = (torch.zeros_like(one, dtype=blocks.queries.dtype) for one in (keys, value))

    def work(columns: Sequence[int]) -> Tensor:
        """Some columns of blocks; returns what they add to the gradient of the queries."""
        memory: _Memory = {}
        d_query = torch.zeros_like(queries, dtype=blocks.queries.dtype)
        for column in columns:
            span = blocks.columns[column]
            for rows in blocks.rows:
                weights = blocks.weights(rows, column, memory)
                # The shift is not below any logit by more than rounding, so it is not raised by more than that.
                held, total, shrink = (shift[rows].clone() for _ in range(3))  # the last two are of no use here
                blocks.weigh(blocks.queries[rows], blocks.keys[column], held, weights, total, shrink, memory)
                slope = _scratch(memory, weights.shape[0], weights.shape[1], dtype, "slope")
                torch.mm(left[rows], right[:, span], out=slope)
                _add_product(d_value[span], weights.t(), gradient[rows])
                slope.mul_(weights)
                _add_product(d_query[:, rows], keys[:, span], slope.t())
                _add_product(d_key[:, span], queries[:, rows], slope)
        return d_query

    count = torch.get_num_threads() if blocks.large else 1
    columns = range(len(blocks.columns))
    d_query = functools.reduce(torch.add, _in_threads(work, [columns[first::count] for first in range(count)]))
    return d_query, d_key, d_value


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b


def _in_threads(work: Callable[[T], Any], shares: Sequence[T]) -> list[Any]:
    """``work`` of each share in as many threads as torch may use, whose operations keep to their thread."""
    threads = min(torch.get_num_threads(), len(shares))
    if threads == 1:
        return [work(share) for share in shares]
    inference = torch.is_inference_mode_enabled()

    def run(share: T) -> Any:
        with torch.inference_mode(inference), torch.no_grad():
            return work(share)

    pool = _pool(torch.get_num_threads())
    running = [pool.submit(run, share) for share in shares]
    wait(running)
    return [one.result() for one in running]


@functools.lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads whose torch operations use one thread each."""
    all_there = threading.Barrier(threads)

    def begin() -> None:
        torch.get_num_threads()  # what a thread asks first sets its number to the common one
        torch.set_num_threads(1)  # of this thread, and the common one, of threads that are yet to ask
        all_there.wait()

    pool = ThreadPoolExecutor(threads, "attention", begin)
    wait([pool.submit(int) for _ in range(threads)])
    torch.set_num_threads(threads)
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads are not inherited
