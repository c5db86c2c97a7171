"""Maps of a video that stand still where the picture does: an average over time with a motion check, and a measure.

A network sees each frame alone, so that noise and compression make its maps flicker although nothing moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from arn.errors import ArnError
from arn.inference.methods import Map, Picture

Floats = NDArray[np.float32]

WORKING_SIDE = 320  # px, longer side at which pictures are compared
BLUR = 2.0  # px there, sigma: noise averages out, what moved does not
THRESHOLD = 5.0  # gray levels of 255 in any channel, above which a pixel moved
MARGIN = 9  # px there, on a side: around what moved the map is new too
CUT = 0.5  # share of pixels that moved, above which all have: a cut, a pan


def shrink(picture: Picture) -> Floats:
    """uint8 RGB H x W x 3 -> the same, smoothed, at the working size."""
    scale = min(1.0, WORKING_SIDE / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), BLUR), np.float32)


def moved(before: Floats, after: Floats) -> NDArray[np.bool_]:
    """Where two shrunken pictures differ, with a margin: bool at the working size; everywhere after a cut."""
    changed = np.abs(after - before).max(axis=2) > THRESHOLD
    if changed.mean() > CUT:
        return np.ones_like(changed)
    around = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)
    return np.asarray(cv2.dilate(changed.astype(np.uint8), around), bool)


class Smoother:
    """Maps of consecutive frames -> their running average, begun anew wherever the picture moved.

    The average's own picture is kept, smoothed likewise, and each new frame is compared with that: slow movement, too
    little to be seen from one frame to the next, is found as soon as the average has become stale.

    Args:
        weight: of the past, from 0 (maps come out as they are) to below 1: the average is over 1 / (1 - weight) frames.

    Raises ArnError for another weight.
    """

    def __init__(self, weight: float) -> None:
        if not 0 <= weight < 1:
            raise ArnError(f"smoothing={weight}: must be at least 0 and below 1")
        self.weight = np.float32(weight)
        self.past: tuple[Floats, Map] | None = None

    def __call__(self, picture: Picture, saliency: Map) -> Map:
        """uint8 RGB H x W x 3 and its map, float32 H x W in 0..1 -> the map to use, alike."""
        if not self.weight:
            return saliency
        seen = shrink(picture)
        if self.past is not None:
            before, average = self.past
            kept = np.where(moved(before, seen), np.float32(0), self.weight)
            seen += kept[..., None] * (before - seen)
            kept = cv2.resize(kept, saliency.shape[::-1], interpolation=cv2.INTER_LINEAR)
            saliency = saliency + kept * (average - saliency)
        self.past = seen, saliency
        return saliency


def flicker(pictures: Iterable[Picture], maps: Iterable[Map]) -> float:
    """Mean absolute change of the map from one frame to the next, over all pixels where the picture stands still.

    Pictures are uint8 RGB H x W x 3 of one size, maps float32 H x W in 0..1; the result is in 0..1, and NaN where
    nothing ever stands still. A pixel stands still between two frames if none within `MARGIN` differs by more than
    `THRESHOLD` gray levels in any channel, both pictures smoothed by `BLUR` at a longer side of `WORKING_SIDE`; and
    none does if more than `CUT` of them differ.
    """
    change = count = 0.0
    frames = ((shrink(picture), saliency) for picture, saliency in zip(pictures, maps, strict=True))
    for (before, old), (after, new) in pairwise(frames):
        still = (~moved(before, after)).astype(np.uint8)
        still = cv2.resize(still, new.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
        change += float(np.abs(new - old)[still].sum(dtype=np.float64))
        count += int(still.sum())
    return change / count if count else float("nan")
