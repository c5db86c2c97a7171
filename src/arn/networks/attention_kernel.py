"""Attention weights of a block of the matrix in one pass: logits, 2^logit and its sum, in the fastest cache throughout.

Compiled by numba on the first call, once per machine. torch needs three operations for it, each a pass through the
second cache, and a fourth for bfloat16.

Logits are in units of 2^-23 of log2. Rounded to an integer, such a number holds the exponent of 2^logit where a float32
has its own, and below it the fraction f; a polynomial p(1 + f) = 2^f, fitted for the least relative error, gives the
mantissa: within 7.5e-8 for float32 (degree 5), 7.5e-5 for bfloat16 (degree 3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from arn.compiled import njit

Array = Any  # numba infers the types of arguments

UNIT = 2.0**23
"""Of the logits and shifts that `weigh` takes."""

WIDTH = 8
"""Channels that a pass over the keys takes: query and key have a multiple of it."""

_FLOAT, _INT = np.float32, np.int32
_LEAST = _FLOAT(-100 * UNIT)  # 2^-100 of the largest weight and less is as good as nothing, and no denormal number
_MOST = _INT(_FLOAT(64 * UNIT).view(np.int32))  # a logit more than 64 above its row's shift raises it
_MANTISSA, _EXPONENT, _ONE = _INT(0x7FFFFF), _INT(-0x800000), _INT(0x3F800000)
_HALF, _LOW = _INT(0x8000), _INT(16)  # of bfloat16, which is the upper half of a float32

# No flag that lets inf be ignored; nnan only lets max be an instruction: rows with a NaN are marked by the caller.
_FAST = {"contract", "reassoc", "nsz", "nnan"}

_A0, _A1, _A2, _A3, _A4, _A5 = (
    _FLOAT(one) for one in (0.4982859147, 0.3537553148, 0.1078349388, 0.03864472299, -0.0003985427885, 0.001877576608)
)
_B0, _B1, _B2, _B3 = (_FLOAT(one) for one in (0.452134328, 0.4777727605, -0.008006386634, 0.07802451679))


def _to_bits(context: Any, number: Any) -> Any:
    return types.int32(types.float32), lambda _, builder, __, arguments: builder.bitcast(arguments[0], ir.IntType(32))


def _to_number(context: Any, bits: Any) -> Any:
    return types.float32(types.int32), lambda _, builder, __, arguments: builder.bitcast(arguments[0], ir.FloatType())


_bits: Any = intrinsic(_to_bits)
_number: Any = intrinsic(_to_number)


@njit(fastmath=_FAST)
def _power(logit: Array) -> Array:
    """2^(logit / UNIT), to float32's precision."""
    whole = _INT(max(logit, _LEAST))
    m: Array = _number((whole & _MANTISSA) | _ONE)
    p = _A0 + m * (_A1 + m * (_A2 + m * (_A3 + m * (_A4 + m * _A5))))
    return _number(_INT(_bits(p) + (whole & _EXPONENT)))


@njit(fastmath=_FAST)
def _rough_power(logit: Array) -> Array:
    """2^(logit / UNIT), to more than bfloat16's precision."""
    whole = _INT(max(logit, _LEAST))
    m: Array = _number((whole & _MANTISSA) | _ONE)
    p = _B0 + m * (_B1 + m * (_B2 + m * _B3))
    return _number(_INT(_bits(p) + (whole & _EXPONENT)))


@njit(fastmath=_FAST)
def _logits(query: Array, keys: Array, shift: Array, logits: Array) -> None:
    """query . keys - shift of one query."""
    for first in range(0, len(query), WIDTH):
        some = keys[first : first + WIDTH]
        a, b, c, d = query[first], query[first + 1], query[first + 2], query[first + 3]
        e, f, g, h = query[first + 4], query[first + 5], query[first + 6], query[first + 7]
        if first == 0:
            for j in range(len(logits)):
                logits[j] = (
                    a * some[0, j] + b * some[1, j] + c * some[2, j] + d * some[3, j]
                    + e * some[4, j] + f * some[5, j] + g * some[6, j] + h * some[7, j] - shift
                )  # fmt: skip
        else:
            for j in range(len(logits)):
                logits[j] += (
                    a * some[0, j] + b * some[1, j] + c * some[2, j] + d * some[3, j]
                    + e * some[4, j] + f * some[5, j] + g * some[6, j] + h * some[7, j]
                )  # fmt: skip


def _row(logits: Array, weights: Array) -> tuple[Array, Array]:
    """2^logit into weights; their sum, and the bits of the largest logit above 0."""
    raise TypeError("only compiled code has rows: what follows stands for this function there")


@overload(_row, jit_options={"fastmath": _FAST})
def _compiled_row(logits: Array, weights: Array) -> Any:
    def row(logits: Array, weights: Array) -> tuple[Array, Array]:
        total, top = _FLOAT(0), _INT(0)
        for j in range(len(logits)):
            top = max(top, _bits(logits[j]))  # of positive floats the bits are in order
            weight = _power(logits[j])
            total += weight
            weights[j] = weight
        return total, top

    def bfloat16_row(logits: Array, weights: Array) -> tuple[Array, Array]:
        total, top = _FLOAT(0), _INT(0)
        for j in range(len(logits)):
            top = max(top, _bits(logits[j]))
            weight = _rough_power(logits[j])
            total += weight
            weights[j] = np.uint16((_bits(weight) + _HALF) >> _LOW)
        return total, top

    return bfloat16_row if weights.dtype == types.uint16 else row


@njit(cache=True, nogil=True, fastmath=_FAST)
def weigh(query: Array, keys: Array, shift: Array, weights: Array, sums: Array, shrink: Array) -> bool:
    """``weights = 2^((query keys - shift) / UNIT)``, and their sums added to ``sums``.

    A row with a logit far above its shift gets that logit as its new shift; ``sums`` is scaled down with it, by
    ``shrink``, and so must the caller scale what it has summed up.

    Args:
        query, keys: R x C1 and C1 x M float32, C1 a multiple of WIDTH.
        shift, sums: R float32, changed in place.
        weights: R x M, written: float32, or bfloat16 as uint16.
        shrink: R float32, written: 1 where the shift held.

    Returns whether any shift was raised.
    """
    logits = np.empty(keys.shape[1], np.float32)
    raised = False
    for row in range(len(query)):
        _logits(query[row], keys, shift[row], logits)
        total, top = _row(logits, weights[row])
        shrink[row] = _FLOAT(1)
        if top > _MOST:
            raised = True
            excess: Array = _number(top)
            for j in range(len(logits)):
                logits[j] -= excess
            shift[row] += excess
            shrink[row] = _power(-excess)
            sums[row] *= shrink[row]
            total, top = _row(logits, weights[row])
        sums[row] += total
    return raised
