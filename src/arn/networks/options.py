"""The keys of the mappings that networks take, and their types: what a config is checked against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict


class RCLOptions(TypedDict, total=False):
    """See :class:`arn.networks.rcl.RecurrentConv`."""

    enabled: bool
    channels: int | Sequence[int]
    steps: int
    norm: str
    lrn_window: int | None
    lrn_alpha: float
    lrn_beta: float


class AttentionOptions(TypedDict, total=False):
    """See :class:`arn.networks.attention.SelfAttention`."""

    enabled: bool
    strides: Literal["all"] | Sequence[int]
    key_pool: int
    reduction: int


class DecoderOptions(TypedDict, total=False):
    channels: int | Sequence[int]
    convs: int
    batch_norm: bool
