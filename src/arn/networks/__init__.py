"""Networks in pure torch: ``forward(pictures) -> tuple of logits``, the final map's first.

Pictures are float32 RGB in 0..1, B x 3 x H x W; each network holds its own normalisation and input size. The contract
is :class:`arn.networks.base.SaliencyNetwork`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arn import lazy

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

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "amulet": "Amulet",
        "arn": "ARN",
        "attention": "SelfAttention",
        "backbones": "Backbone ResNet50 Timm VGG16 build_backbone",
        "base": "GradientFreeNetwork SaliencyNetwork",
        "dhsnet": "DHSNet",
        "ksr_approx": "KSRApprox",
        "nldf": "NLDF",
        "rcl": "LocalResponseNorm RecurrentConv",
        "srm": "SRM",
        "summary": "StageRow check_batch_norm count_parameters stage_table",
        "ucf": "UCF",
    },
)
