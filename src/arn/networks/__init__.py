"""Networks in pure torch: ``forward(pictures) -> tuple of logits``, the final map's first.

Pictures are float32 RGB in 0..1, B x 3 x H x W; each network holds its own normalisation and input size. The contract
is :class:`arn.networks.base.SaliencyNetwork`. Members load on first use: a config can be named without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arn.networks.amulet import Amulet
    from arn.networks.arn import ARN
    from arn.networks.attention import SelfAttention
    from arn.networks.backbones import VGG16, Backbone, ResNet50, Timm, build_backbone
    from arn.networks.base import GradientFreeNetwork, SaliencyNetwork
    from arn.networks.dhsnet import DHSNet
    from arn.networks.ksr_approx import KSRApprox
    from arn.networks.nldf import NLDF
    from arn.networks.rcl import LocalResponseNorm, RecurrentConv
    from arn.networks.srm import SRM
    from arn.networks.summary import StageRow, check_batch_norm, count_parameters, stage_table
    from arn.networks.ucf import UCF

_HOMES = {
    "ARN": "arn",
    "Amulet": "amulet",
    "Backbone": "backbones",
    "DHSNet": "dhsnet",
    "GradientFreeNetwork": "base",
    "KSRApprox": "ksr_approx",
    "LocalResponseNorm": "rcl",
    "NLDF": "nldf",
    "RecurrentConv": "rcl",
    "ResNet50": "backbones",
    "SRM": "srm",
    "SaliencyNetwork": "base",
    "SelfAttention": "attention",
    "StageRow": "summary",
    "Timm": "backbones",
    "UCF": "ucf",
    "VGG16": "backbones",
    "build_backbone": "backbones",
    "check_batch_norm": "summary",
    "count_parameters": "summary",
    "stage_table": "summary",
}

__all__ = [
    "ARN",
    "NLDF",
    "SRM",
    "UCF",
    "VGG16",
    "Amulet",
    "Backbone",
    "DHSNet",
    "GradientFreeNetwork",
    "KSRApprox",
    "LocalResponseNorm",
    "RecurrentConv",
    "ResNet50",
    "SaliencyNetwork",
    "SelfAttention",
    "StageRow",
    "Timm",
    "build_backbone",
    "check_batch_norm",
    "count_parameters",
    "stage_table",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"arn.networks.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'arn.networks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
