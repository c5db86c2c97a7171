"""ARN: train, ablate and honestly benchmark the attentional recurrent network for salient object detection.

>>> import arn
>>> saliency = arn.load("outputs/train/.../checkpoints/best.ckpt")
>>> saliency.predict(picture)   # uint8 RGB, H x W x 3  ->  float32 map in 0..1, H x W
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arn import lazy

__version__ = "0.1.0"

if TYPE_CHECKING:
    from arn import data, metrics, networks
    from arn.inference.loading import load

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, {"inference.loading": "load", "data": "", "metrics": "", "networks": ""}, "__version__"
)
