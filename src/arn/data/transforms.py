"""From a stored picture to what a network eats: squashed to a square, as the paper does, and augmented by seed."""

from __future__ import annotations

import os
import random
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from arn.data.images import Mask, Picture
from arn.errors import ArnError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it looks for updates over the network at import otherwise


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """H x W (x C) uint8 -> height x width (x C): area-averaged when it shrinks, bilinear when it grows."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


class Augmentation:
    """Training augmentation: a function of (seed, epoch, index), whatever the workers and wherever a run was resumed.

    Args:
        flip: chance of a horizontal flip (.5 in the paper, which names nothing else).
        crop: smallest share of each side that a random crop keeps; 1 crops nothing.
        colour: strength of brightness, contrast, saturation and hue changes, usually 0 to 1; at most 2.5.
        gray: chance of losing all colour.
        seed: of the run.

    Raises ArnError, naming ``data.augment.KEY``, for a number out of its range.
    """

    def __init__(
        self, flip: float = 0.5, crop: float = 1.0, colour: float = 0.0, gray: float = 0.0, seed: int = 0
    ) -> None:
        if not 0 < crop <= 1:
            raise ArnError(f"data.augment.crop is the share of a side that is kept, over 0 and at most 1, not {crop}")
        for key, value, high in (("flip", flip, 1), ("colour", colour, 2.5), ("gray", gray, 1)):
            if not 0 <= value <= high:
                raise ArnError(f"data.augment.{key}={value}: must be within 0 and {high}")
        self.flip, self.crop, self.colour, self.gray, self.seed = flip, crop, colour, gray, seed
        self._pipelines: dict[int, Any] = {}
        self.plain = crop == 1 and not colour and not gray  # nothing but a flip, which needs no library

    def load(self) -> None:
        """Import what :meth:`__call__` needs before workers are forked: W&B's import hook refuses to run in them."""
        if not self.plain:
            import albumentations  # noqa: F401

    def _pipeline(self, size: int) -> Any:
        if size not in self._pipelines:
            import albumentations as A

            steps: list[Any] = []
            if self.crop < 1:
                area = {"interpolation": cv2.INTER_AREA, "mask_interpolation": cv2.INTER_AREA}
                steps.append(A.RandomResizedCrop((size, size), scale=(self.crop**2, 1.0), ratio=(0.8, 1.25), **area))
            if self.flip:
                steps.append(A.HorizontalFlip(p=self.flip))
            if self.colour:
                around = (1 - 0.4 * self.colour, 1 + 0.4 * self.colour)
                hue = (-0.05 * self.colour, 0.05 * self.colour)
                steps.append(A.ColorJitter(brightness=around, contrast=around, saturation=around, hue=hue, p=0.8))
            if self.gray:
                steps.append(A.ToGray(p=self.gray))
            self._pipelines[size] = A.Compose(steps)
        return self._pipelines[size]

    def into(self, places: tuple[Picture, Mask], picture: Picture, mask: Mask, epoch: int, index: int) -> None:
        """Write what :meth:`__call__` returns into a picture and a mask of a batch, size x size x 3 and size x size."""
        size = places[1].shape[0]
        if not self.plain:
            picture, mask = self(picture, mask, size, epoch, index)
        # For a flip alone, the same draw as albumentations makes for its one step, at the cost of a single copy.
        flipped = self.plain and random.Random(self._key(epoch, index)).random() < self.flip
        for place, image in zip(places, (picture, mask), strict=True):
            image = resize(image, size, size)
            if flipped:
                cv2.flip(image, 1, place)
            else:
                place[...] = image

    def _key(self, epoch: int, index: int) -> int:
        return int(np.random.SeedSequence([self.seed, epoch, index]).generate_state(1)[0])

    def __call__(self, picture: Picture, mask: Mask, size: int, epoch: int, index: int) -> tuple[Picture, Mask]:
        """uint8 picture H x W x 3 and gray mask H x W -> the pair at size x size."""
        pipeline = self._pipeline(size)
        pipeline.set_random_seed(self._key(epoch, index))
        if self.crop == 1:
            picture, mask = resize(picture, size, size), resize(mask, size, size)
        out = pipeline(image=picture, mask=mask)
        return out["image"], out["mask"]
