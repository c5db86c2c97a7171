"""How long a method takes for a picture, alone."""

from __future__ import annotations

import time

import numpy as np

from arn.data.sources import Source
from arn.evaluation.cache import Cache
from arn.files import digest
from arn.inference.methods import Method
from arn.provenance import processor


def time_maker(method: Method, source: Source, pictures: int, cache: Cache) -> float | None:
    """Median seconds a picture, made one at a time and with nothing beside it, reading and scoring apart.

    On up to `pictures` spread evenly over the set, after two that warm up; None for 0. Remembered per processor.
    """
    if pictures <= 0:
        return None
    chosen = np.unique(np.linspace(0, len(source.stems) - 1, pictures).round().astype(int))
    of_pictures = digest(*(source.digests(int(index))[0] for index in chosen))
    key = digest("seconds", method.fingerprint, method.device, processor(), of_pictures)

    def measure() -> float:
        taken = []
        for turn, index in enumerate([*chosen[:2], *chosen]):
            picture = source.picture(int(index))
            begun = time.perf_counter()
            method.maps([picture])
            if turn >= min(2, len(chosen)):
                taken.append(time.perf_counter() - begun)
        return float(np.median(taken))

    return float(cache.kept(key, measure, "seconds"))
