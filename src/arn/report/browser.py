"""What the page's browser of pictures shows: thumbnails, and each picture's scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arn.data.maps import MapFile
from arn.data.sources import Source
from arn.evaluation.cache import Cache
from arn.evaluation.work import Workers, stored_map
from arn.files import digest
from arn.metrics.functional import Rows
from arn.metrics.measures import per_picture
from arn.provenance import code_version
from arn.report.page import thumbnail


@dataclass(frozen=True)
class Shown:
    """Some pictures of a data set (`source` has these alone) and their maps."""

    source: Source
    maps: Sequence[Mapping[str, MapFile | bytes]]  # of each, by method: the file that holds the map, or its key
    keys: Sequence[Sequence[bytes]]  # of each: what the thumbnails of picture, mask and maps are known by
    cache: Cache


def thumbnails(shown: Shown) -> dict[str, dict[str, Any]]:
    """Stem -> picture, mask and maps as data URIs."""
    found = {}
    for index, (stem, maps, keys) in enumerate(zip(shown.source.stems, shown.maps, shown.keys, strict=True)):
        uris = [data.decode() for key in keys if (data := shown.cache.get(key))]
        if len(uris) < len(keys):
            picture, mask = shown.source.read(index)
            drawn = [levels(place, shown.cache) for place in maps.values()]
            uris = [thumbnail(np.zeros_like(mask) if one is None else one) for one in (picture, mask, *drawn)]
            for key, uri in zip(keys, uris, strict=True):
                shown.cache.put(key, uri.encode(), "thumbnail")
        found[stem] = {"picture": uris[0], "mask": uris[1], "maps": dict(zip(maps, uris[2:], strict=True))}
    return found


def levels(place: MapFile | bytes, cache: Cache) -> NDArray[np.uint8] | None:
    """The map in a file, or in the cache under a key; None where the cache has it no more."""
    return place.read() if isinstance(place, MapFile) else stored_map(cache, place)


def media(
    source: Source,
    indices: Sequence[int],
    maps: Callable[[int], Mapping[str, MapFile | bytes]],
    cache: Cache,
    workers: Workers,
) -> dict[str, dict[str, Any]]:
    """Thumbnails of these pictures, in their order; what is not in the cache is drawn by the workers.

    `maps`: of a picture, by method: the file that holds the map, or its key in the cache.
    """
    version = code_version("arn.report.page", "arn.report.browser", "arn.data.maps")

    def keys(index: int) -> list[bytes]:
        contents = [place.key() if isinstance(place, MapFile) else place for place in maps(index).values()]
        return [digest("thumbnail", version, one) for one in (*source.digests(index), *contents)]

    def jobs() -> Iterator[tuple[int, Shown]]:
        for start in range(0, len(indices), 16):
            part = indices[start : start + 16]
            yield len(part), Shown(source.only(part), list(map(maps, part)), list(map(keys, part)), cache)

    # Reading them from the cache is quicker than starting processes.
    drawn = not indices or all(cache.get(key) for key in keys(indices[0]))
    found: dict[str, Any] = {}
    for _, some in workers.map(thumbnails, jobs(), 0 if drawn else len(indices)):
        found |= some
    return {source.stems[index]: found[source.stems[index]] for index in indices}


def spread(errors: NDArray[np.float64], most: int) -> list[int]:
    """At most `most` pictures, evenly from the lowest to the highest mean of `errors`, methods x pictures."""
    order = np.argsort(errors.mean(axis=0), kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int))
    return sorted(int(one) for one in order[places])


def view_rows(tables: Mapping[str, Rows]) -> dict[str, Any]:
    """The per-picture scores of a view's methods, rounded to what can be seen."""
    first = next(iter(tables.values()))
    names = per_picture(first.measures)
    return {
        "stems": list(first.stems),
        "scores": {method: {name: np.round(of[name], 4).tolist() for name in names} for method, of in tables.items()},
    }
