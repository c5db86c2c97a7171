"""Feature extractors that the networks stand on: VGG16 with ARN's taps or others, ResNet-50, any `timm` network.

A backbone holds its own normalisation, so it is fed RGB in 0..1 and nobody can feed it wrongly.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from arn.networks.common import conv_relu, initialise, recomputed
from arn.networks.efficientnet import EfficientNetLite0


class Backbone(nn.Module):
    """Pictures in, one feature map a tap out, shallow to deep.

    Attributes:
        name: as the config names it (``vgg16``, ``timm:tf_efficientnet_lite0``).
        strides: of the taps, by which they are known: px of the picture to a position of the feature.
        channels: of the taps.
        weights_file: what :meth:`load_imagenet` looks for.
    """

    mean: Tensor
    std: Tensor
    features: Any
    torchvision_weights: ClassVar[str]

    def __init__(
        self,
        name: str,
        channels: Sequence[int],
        strides: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.name = name
        self.weights_file = f"{name.removeprefix('timm:')}_fp16.safetensors"
        self.channels, self.strides = tuple(channels), tuple(strides)
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))

    def normalise(self, pictures: Tensor) -> Tensor:
        """B x 3 x H x W in 0..1 -> what the pretrained weights expect."""
        return (pictures - self.mean) / self.std

    def load_imagenet(self, folder: Path | None) -> str:
        """Load ImageNet weights: a file in ``folder``, else the well-known download, else none with a loud warning.

        Returns where they came from: a file name, ``torchvision``, ``timm`` or ``random``.
        """
        path = None if folder is None else folder / self.weights_file
        if path is not None and path.is_file():
            from safetensors.torch import load_file

            self.load_features({name: tensor.float() for name, tensor in load_file(path).items()})
            return path.name
        try:
            return self.download_imagenet()
        except Exception as error:  # a hub has many ways to be out of reach; each of them ends in the same warning
            warnings.warn(
                f"\n{'!' * 100}\nNO IMAGENET WEIGHTS: {self.name} starts from random numbers and will score far "
                "below the published figures.\n"
                f"Looked for {path or self.weights_file}, then online ({type(error).__name__}).\n"
                f"Put the file there, or set pretrained=false to train from scratch on purpose.\n{'!' * 100}",
                stacklevel=2,
            )
            return "random"

    def load_features(self, state: dict[str, Tensor]) -> None:
        """Load a state dict with the names of torchvision or `timm`."""
        self.features.load_state_dict(state)

    def download_imagenet(self) -> str:
        """Load the weights from torchvision's or `timm`'s hub; raises whatever the hub raises when out of reach."""
        from torchvision.models import get_weight

        weights = get_weight(self.torchvision_weights)
        self.load_features(weights.get_state_dict(progress=False, check_hash=True))
        return "torchvision"


VGG16_STRIDES = (2, 4, 8, 16)


class VGG16(Backbone):
    """VGG16 (Simonyan and Zisserman 2015) up to conv5_3, tapped at the end of each block that is asked for.

    Taps, after ReLU, of stride 1, 2, 4, 8 and 16: conv1_2 (64 channels), conv2_2 (128), conv3_3 (256), conv4_3 (512),
    conv5_3 (512). The input is RGB 0..255 minus the mean pixel (123.68, 116.779, 103.939).

    Args:
        strides: of the taps, ascending; the paper of ARN has 2 to 16.
        batch_norm: BatchNorm between each convolution and its ReLU (Amulet, UCF). ImageNet weights are those of the
            plain VGG16 all the same; the BatchNorm starts as scale 1 and shift 0.

    Attributes:
        recompute: in training keep only the input of each span of layers between two taps; not with BatchNorm, whose
            statistics would be counted twice.
    """

    recompute = False
    torchvision_weights = "VGG16_Weights.IMAGENET1K_FEATURES"

    def __init__(self, strides: Sequence[int] = VGG16_STRIDES, batch_norm: bool = False) -> None:
        blocks = {1: (64, 2), 2: (128, 2), 4: (256, 3), 8: (512, 3), 16: (512, 3)}  # by stride
        super().__init__(
            "vgg16",
            channels=[blocks[stride][0] for stride in strides],
            strides=strides,
            mean=[value / 255 for value in (123.68, 116.779, 103.939)],
            std=[1 / 255] * 3,
        )
        self.weights_file = "vgg16_features_fp16.safetensors"
        layers: list[nn.Module] = []
        width, taps = 3, []
        for stride, (channels, depth) in blocks.items():
            if stride > 1:
                layers.append(nn.MaxPool2d(2, 2))
            for _ in range(depth):
                layers += conv_relu(nn.Conv2d(width, channels, 3, padding=1), batch_norm)
                width = channels
            if stride in strides:
                taps.append(len(layers))
        self.features = nn.Sequential(*layers)  # without BatchNorm, numbered as in torchvision's vgg16().features
        self.taps = tuple(taps)

    def initialise(self) -> None:
        """He initialisation and zero biases: what ImageNet weights are loaded over."""
        initialise(self.features, "msra")

    def convolutions(self) -> list[nn.Conv2d]:
        """conv1_1 to conv5_3."""
        return [layer for layer in self.features if isinstance(layer, nn.Conv2d)]

    def forward(self, pictures: Tensor) -> list[Tensor]:
        x, features, start = self.normalise(pictures), [], 0
        for stop in self.taps:
            x = recomputed(self.features[start:stop], x, self.recompute)
            features.append(x)
            start = stop
        return features

    def load_features(self, state: dict[str, Tensor]) -> None:
        numbers = sorted({int(name.split(".")[1]) for name in state if name.startswith("features.")})
        for layer, number in zip(self.convolutions(), numbers, strict=True):
            layer.load_state_dict({part: state[f"features.{number}.{part}"] for part in ("weight", "bias")})


class ResNet50(Backbone):
    """torchvision's ResNet-50 (He et al. 2016, the stride on the 3 x 3 convolution) up to its deepest tap.

    Taps, after ReLU, of stride 4, 8, 16 and 32: 256, 512, 1024 and 2048 channels.
    """

    STAGES: ClassVar = {4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"}  # by stride
    torchvision_weights = "ResNet50_Weights.IMAGENET1K_V1"  # by the training recipe of the networks' own time

    def __init__(self, strides: Sequence[int] = (4, 8, 16, 32)) -> None:
        from torchvision.models import resnet50

        super().__init__(
            "resnet50",
            channels=[64 * stride for stride in strides],
            strides=strides,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        )
        whole = resnet50(weights=None)
        stages = [name for stride, name in self.STAGES.items() if stride <= strides[-1]]
        self.features = nn.ModuleDict(
            {name: whole.get_submodule(name) for name in ("conv1", "bn1", "relu", "maxpool", *stages)}
        )
        self.taps = tuple(self.STAGES[stride] for stride in strides)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        x, features = self.normalise(pictures), []
        for name, layer in self.features.items():
            x = layer(x)
            if name in self.taps:
                features.append(x)
        return features

    def load_features(self, state: dict[str, Tensor]) -> None:
        super().load_features({name: state[name] for name in state if name.partition(".")[0] in self.features})


def import_timm() -> ModuleType:
    """`timm`, without the W&B client that it would import beside itself wherever one is installed."""
    unwanted = "wandb" not in sys.modules
    if unwanted:
        sys.modules["wandb"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("timm")
    finally:
        if unwanted:
            del sys.modules["wandb"]


class Timm(Backbone):
    """Any `timm` network that offers ``features_only``.

    ``tf_efficientnet_lite0`` is our own, equal to the last bit, so that ARN-Lite does not wait for `timm`'s import.

    Args:
        strides: of the features to tap, ascending; None: all of 2 to 32 that the network has.

    Raises ValueError if `timm` does not know the model, or it has no feature of a stride asked for.
    """

    def __init__(self, model: str, strides: Sequence[int] | None = None) -> None:
        features: Any
        if model == "tf_efficientnet_lite0":
            features = EfficientNetLite0()
            offered, channels, mean, std = features.strides, features.channels, features.mean, features.std
        else:
            timm = import_timm()
            if model not in timm.list_models():
                raise ValueError(f"timm knows no model named {model!r}; `timm.list_models()` has them all")
            features = timm.create_model(model, features_only=True)
            offered, channels = features.feature_info.reduction(), features.feature_info.channels()
            config = timm.data.resolve_model_data_config(features)
            mean, std = config["mean"], config["std"]
        offered = [int(stride) for stride in offered]
        wanted = [stride for stride in offered if 2 <= stride <= 32] if strides is None else list(strides)
        missing = [stride for stride in wanted if stride not in offered]
        if missing:
            raise ValueError(f"{model} has no feature of stride(s) {missing}; its strides are {offered}")
        indices = [offered.index(stride) for stride in wanted]
        super().__init__(f"timm:{model}", [channels[index] for index in indices], wanted, mean, std)
        self.indices = indices
        self.features = features

    def forward(self, pictures: Tensor) -> list[Tensor]:
        features = self.features(self.normalise(pictures))
        return [features[index] for index in self.indices]

    def download_imagenet(self) -> str:
        model = self.name.removeprefix("timm:")
        self.load_features(import_timm().create_model(model, features_only=True, pretrained=True).state_dict())
        return "timm"


BACKBONES: dict[str, Callable[..., Backbone]] = {"vgg16": VGG16, "resnet50": ResNet50}
"""What ``network.backbone`` names beside ``timm:NAME``; each takes the strides of its taps, and has some of its own."""


def build_backbone(name: str, strides: Sequence[int] | None = None) -> Backbone:
    """One of :data:`BACKBONES` or ``timm:NAME``. Raises ValueError for another name, or strides that it lacks."""
    if name.startswith("timm:"):
        return Timm(name.removeprefix("timm:"), strides or None)
    if name not in BACKBONES:
        raise ValueError(f"network.backbone must be {', '.join(BACKBONES)} or timm:NAME, not {name!r}")
    if name == "vgg16" and strides is not None and tuple(strides) != VGG16_STRIDES:
        raise ValueError("network.strides: vgg16 has the paper's taps of strides 2, 4, 8, 16")
    return BACKBONES[name](strides) if strides else BACKBONES[name]()
