"""Networks in pure torch: ``forward(pictures) -> tuple of logits``, the final map's first.

Pictures are float32 RGB in 0..1, B x 3 x H x W; each network holds its own normalisation and input size.
"""

from arn.networks.amulet import Amulet
from arn.networks.arn import ARN
from arn.networks.attention import SelfAttention
from arn.networks.backbones import VGG16, Backbone, ResNet50, Timm, build_backbone
from arn.networks.dhsnet import DHSNet
from arn.networks.ksr_approx import KSRApprox
from arn.networks.nldf import NLDF
from arn.networks.rcl import LocalResponseNorm, RecurrentConv
from arn.networks.srm import SRM
from arn.networks.summary import StageRow, count_parameters, stage_table
from arn.networks.ucf import UCF

__all__ = [
    "ARN",
    "NLDF",
    "SRM",
    "UCF",
    "VGG16",
    "Amulet",
    "Backbone",
    "DHSNet",
    "KSRApprox",
    "LocalResponseNorm",
    "RecurrentConv",
    "ResNet50",
    "SelfAttention",
    "StageRow",
    "Timm",
    "build_backbone",
    "count_parameters",
    "stage_table",
]
