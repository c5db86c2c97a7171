"""ARN, the attentional recurrent network (Sun, Li, Guan 2018, arXiv 1808.01634, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arn.networks.attention import SelfAttention
from arn.networks.backbones import VGG16, build_backbone
from arn.networks.base import SaliencyNetwork
from arn.networks.common import check_side, conv_relu, fit, initialise, recomputed, resample
from arn.networks.rcl import RCLOptions, RecurrentConv


class AttentionOptions(TypedDict, total=False):
    enabled: bool
    strides: Literal["all"] | Sequence[int]
    key_pool: int
    reduction: int


class DecoderOptions(TypedDict, total=False):
    channels: int | Sequence[int]
    convs: int
    batch_norm: bool


class Upsample(nn.Module):
    """Transposed convolution and ReLU, then cut or edge-repeated to the size of the tap it will meet.

    The kernel is a multiple of the stride, so that every output pixel sees the same number of inputs (no checkerboard).
    """

    def __init__(self, in_channels: int, channels: int, batch_norm: bool) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, channels, 4, stride=2, padding=1, bias=not batch_norm)
        self.norm = nn.BatchNorm2d(channels) if batch_norm else nn.Identity()

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        # Odd picture sizes: poolings round down (VGG16) or up (timm), so twice the deep side is off by at most one.
        return fit(F.relu(self.norm(self.conv(x))), size)


class Stage(nn.Module):
    """One step back up: upsample the deeper map, concatenate the tap enhanced by ``local``, convolve, attend.

    With ``recompute``, in training nothing of ``local`` but the tap is kept.
    """

    def __init__(
        self,
        deep_channels: int,
        local: nn.Module,
        local_channels: int,
        channels: int,
        convs: int,
        attention: nn.Module,
        batch_norm: bool,
        recompute: bool,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.local = local
        self.upsample = Upsample(deep_channels, channels, batch_norm)
        widths = [channels + local_channels] + [channels] * convs
        made = (nn.Conv2d(wide, out, 3, padding=1, bias=not batch_norm) for wide, out in pairwise(widths))
        self.convs = nn.Sequential(*(nn.Sequential(*conv_relu(conv, batch_norm)) for conv in made))
        self.attention = attention

    def forward(self, deep: Tensor, tap: Tensor) -> Tensor:
        up = self.upsample(deep, tap.shape[-2:])
        return self.attention(self.convs(torch.cat([up, recomputed(self.local, tap, self.recompute)], dim=1)))


class ARN(SaliencyNetwork):
    """Attentional recurrent network: RCL-enhanced shallow taps, self-attention on the way from deep to shallow.

    The deepest tap passes self-attention (S5). At each shallower level the map is upsampled, concatenated with that
    level's RCL-enhanced tap, convolved and attended again. From the shallowest level a 3 x 3 convolution predicts one
    logit a position; the logits are brought to the picture's size bilinearly.

    Args:
        backbone: ``vgg16`` (the paper) or ``timm:NAME``.
        strides: of the taps of a `timm` backbone, e.g. 4, 8, 16, 32; None: all of 2 to 32 that it has.
        rcl: ``enabled`` (False: one 3 x 3 convolution and ReLU of the same width in its place), ``channels`` (one
            width, or one a tap from deep to shallow), and the options of :class:`RecurrentConv`.
        attention: ``enabled`` (False: the identity), ``strides`` (of the taps where it stands: ``all`` or a list),
            ``key_pool``, ``reduction``.
        decoder: ``channels`` (width of each stage below the deepest, deep to shallow), ``convs`` (3 x 3 convolutions
            after each concatenation), ``batch_norm``.
        side_outputs: also predict from every deeper stage, for deep supervision.
        recompute: in training keep only the inputs of VGG16's blocks and of the RCLs, and compute the rest anew in the
            backward pass: less memory, more time, the same gradients.

    Returns logits: the final map's, B x 1 x H x W, then with ``side_outputs`` one a deeper stage at its own resolution,
    shallow to deep.

    Raises ValueError for an option that does not exist or does not fit the backbone.
    """

    def __init__(
        self,
        backbone: str = "vgg16",
        strides: Sequence[int] | None = None,
        input_size: int = 224,
        rcl: Annotated[Mapping[str, Any] | None, RCLOptions] = None,
        attention: Annotated[Mapping[str, Any] | None, AttentionOptions] = None,
        decoder: Annotated[Mapping[str, Any] | None, DecoderOptions] = None,
        side_outputs: bool = False,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        for name, given, options in (
            ("rcl", rcl, RCLOptions),
            ("attention", attention, AttentionOptions),
            ("decoder", decoder, DecoderOptions),
        ):
            unknown = (given or {}).keys() - options.__annotations__.keys()
            if unknown:
                raise ValueError(f"network.{name} has no option {', '.join(sorted(unknown))}")
        rcl = {"enabled": True, "channels": 64, **(rcl or {})}
        attention = {"enabled": True, "strides": "all", **(attention or {})}
        decoder = {"channels": (256, 128, 64), "convs": 2, "batch_norm": False, **(decoder or {})}
        if decoder["convs"] < 1 or min(decoder["channels"], default=1) < 1:
            raise ValueError("decoder.convs and each of decoder.channels must be at least 1")
        self.input_size = input_size
        self.backbone = build_backbone(backbone, strides)
        widths = self._build_stages(rcl, attention, decoder, recompute)
        self.predict = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.side_predict = nn.ModuleList(
            nn.Conv2d(width, 1, 3, padding=1) for width in (widths[-2::-1] if side_outputs else ())
        )
        initialise(self.new_layers(), _he)
        if isinstance(self.backbone, VGG16):
            self.backbone.recompute = recompute
            self.backbone.initialise()

    def _build_stages(
        self, rcl: Mapping[str, Any], attention: Mapping[str, Any], decoder: Mapping[str, Any], recompute: bool
    ) -> list[int]:
        """``deepest`` and ``stages``; returns the channels of each one's output, deep to shallow."""
        below = self.backbone.strides[-2::-1]  # every tap but the deepest, deep to shallow
        channels = _per_tap("network.decoder.channels", decoder["channels"], len(below))
        local_channels = _per_tap("network.rcl.channels", rcl["channels"], len(below))
        attended = self._attended(attention)
        attention_options = {key: attention[key] for key in ("reduction", "key_pool") if key in attention}
        rcl_options = {key: value for key, value in rcl.items() if key not in ("enabled", "channels")}

        def attend(stride: int, width: int) -> nn.Module:
            return SelfAttention(width, **attention_options) if stride in attended else nn.Identity()

        widths = [self.backbone.channels[-1], *channels]
        self.deepest = attend(self.backbone.strides[-1], widths[0])
        self.stages = nn.ModuleList()
        taps = self.backbone.channels[-2::-1]
        for stride, tap, local_width, (deep, width) in zip(below, taps, local_channels, pairwise(widths), strict=True):
            local: nn.Module = (
                RecurrentConv(tap, local_width, **rcl_options)
                if rcl["enabled"]
                else nn.Sequential(*conv_relu(nn.Conv2d(tap, local_width, 3, padding=1), batch_norm=False))
            )
            attend_here, convs, batch_norm = attend(stride, width), decoder["convs"], decoder["batch_norm"]
            self.stages.append(Stage(deep, local, local_width, width, convs, attend_here, batch_norm, recompute))
        return widths

    def _attended(self, attention: Mapping[str, Any]) -> set[int]:
        """Strides of the taps where attention stands."""
        if not attention["enabled"]:
            return set()
        strides = attention["strides"]
        if strides == "all":
            return set(self.backbone.strides)
        unknown = sorted(set(strides) - set(self.backbone.strides))
        if unknown:
            raise ValueError(
                f"network.attention.strides names {unknown}; "
                f"{self.backbone.name} has strides {list(self.backbone.strides)}"
            )
        return set(strides)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        check_side(pictures)
        features = self.backbone(pictures)
        x = self.deepest(features[-1])
        passed = []
        for stage, tap in zip(self.stages, features[-2::-1], strict=True):
            passed.append(x)
            x = stage(x, tap)
        final = resample(self.predict(x).float(), pictures.shape)
        sides = (head(s).float() for head, s in zip(self.side_predict, reversed(passed), strict=False))
        return (final, *sides)


def _he(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """He initialisation [section 4.3]; with stride s only 1 / s^2 of a transposed kernel meets an output pixel."""
    fan = layer.weight[0, 0].numel() * layer.in_channels // (layer.stride[0] * layer.stride[1])
    nn.init.normal_(layer.weight, std=(2.0 / fan) ** 0.5)


def _per_tap(key: str, widths: int | Sequence[int], taps: int) -> list[int]:
    each = [int(widths)] * taps if isinstance(widths, int) else [int(width) for width in widths]
    if len(each) != taps:
        raise ValueError(f"{key} needs one width, or {taps} from deep to shallow, not {len(each)}")
    return each
