"""ARN: train, ablate and honestly benchmark the attentional recurrent network for salient object detection.

>>> import arn
>>> arn.saliency("dog.jpg")                    # its map: float32 in 0..1, H x W
>>> arn.cutout(PIL.Image.open("dog.jpg"))      # the object with transparency, as an image of PIL again
>>> network = arn.load("outputs/train/latest") # a network of your own; arn.load() is the one that comes along
>>> network(pictures)                          # paths, bytes, images, arrays, tensors; lists and generators of them
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arn import lazy

__version__ = "0.1.0"

if TYPE_CHECKING:
    from arn import data, metrics, networks
    from arn.inference.anything import cutout, saliency
    from arn.inference.loading import load

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {"inference.loading": "load", "inference.anything": "saliency cutout", "data": "", "metrics": "", "networks": ""},
    "__version__",
)
