"""Networks in pure torch: ``forward(pictures) -> tuple of logits``, the final map's first.

Pictures are float32 RGB in 0..1, B x 3 x H x W; each network holds its own normalisation and input size.
"""

from arn.networks.arn import ARN
from arn.networks.attention import SelfAttention
from arn.networks.backbones import VGG16, Backbone, Timm, build_backbone
from arn.networks.rcl import LocalResponseNorm, RecurrentConv
from arn.networks.summary import StageRow, count_parameters, stage_table

__all__ = [
    "ARN",
    "VGG16",
    "Backbone",
    "LocalResponseNorm",
    "RecurrentConv",
    "SelfAttention",
    "StageRow",
    "Timm",
    "build_backbone",
    "count_parameters",
    "stage_table",
]
