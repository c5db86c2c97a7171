"""A bench as files: tables, figures, a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arn.data.images import read_map
from arn.data.transforms import resize
from arn.evaluation.bench import Bench
from arn.evaluation.cache import Cache
from arn.evaluation.results import view_id
from arn.evaluation.scoring import map_key
from arn.evaluation.work import Workers, stored_map
from arn.files import write_atomically
from arn.inference.methods import MapFolder
from arn.report.browser import media, spread, view_rows
from arn.report.figures import choose_rows, draw_all, grid, slug
from arn.report.page import write_page
from arn.report.tables import latex, markdown, per_image_csv, scores_csv

GRID_SIDE = 320  # px, longer side of a picture in the grid of maps


def write_bench(bench: Bench, content: dict[str, Any], folder: Path, cache: Cache, workers: Workers) -> None:
    """Write everything below `folder`, each file whole.

    Args:
        content: of bench.json.
    """
    labelled = [
        (method.name, view.dataset, view.label, bench.rows_of(method, view))
        for view in bench.views
        for method in bench.of(view.dataset)
    ]
    files = {
        "scores.csv": scores_csv(content).encode(),
        "per_image.csv": per_image_csv(labelled).encode(),
        "table.md": markdown(content, bench.columns).encode(),
        "table.tex": latex(content, bench.columns).encode(),
        "bench.json": (json.dumps(content, allow_nan=False) + "\n").encode(),
    }
    pictures = [Pictures(bench, dataset, cache) for dataset in bench.sources]
    # Worker processes draw the thumbnails while this one draws the figures.
    with ThreadPoolExecutor(1) as thread:
        drawing = {one.dataset: thread.submit(one.media, workers) for one in pictures if bench.request.browser}
        if bench.request.figures:
            for one in pictures:
                files |= one.grid()
            files |= {f"figures/{name}": data for name, data in draw_all(content, cache).items()}
        thumbnails = {dataset: future.result() for dataset, future in drawing.items()}
    for name, data in files.items():
        write_atomically(folder / name, data)
    rows = {
        view_id(view): view_rows({method.name: bench.rows_of(method, view) for method in bench.of(view.dataset)})
        for view in bench.views
    }
    note = "; ".join(one.note for one in pictures if bench.request.browser and one.note)
    write_page(folder / "index.html", content, {"view_rows": rows, "media": thumbnails, "note": note})


class Pictures:
    """The pictures of a data set beside the maps of a bench, from the easiest to the hardest.

    Attributes:
        stems: those that were scored.
        errors: methods x pictures, the MAE under the first protocol; zeros where it was not measured.
    """

    def __init__(self, bench: Bench, dataset: str, cache: Cache) -> None:
        self.bench, self.dataset, self.cache = bench, dataset, cache
        self.source, self.methods = bench.sources[dataset], bench.of(dataset)
        view = next(view for view in bench.views if view.dataset == dataset)
        tables = [bench.rows_of(method, view) for method in self.methods]
        self.stems = tables[0].stems
        measured = "mae" in tables[0].measures
        self.errors = (
            np.array([rows["mae"] for rows in tables]) if measured else np.zeros((len(tables), len(self.stems)))
        )
        self.at = {stem: index for index, stem in enumerate(self.source.stems)}
        self.maps = self._maps()

    def _maps(self) -> Callable[[int], dict[str, Path | bytes]]:
        """Of a picture, by method: the file that holds the map, or its key in the cache."""
        files = {method.name: method.files(self.dataset) for method in self.methods if isinstance(method, MapFolder)}

        def maps(index: int) -> dict[str, Path | bytes]:
            stem = self.source.stems[index]
            return {
                method.name: files[method.name][stem]
                if isinstance(method, MapFolder)
                else map_key(method, self.source, index)
                for method in self.methods
            }

        return maps

    @property
    def chosen(self) -> list[int]:
        """Those that the page's browser shows, as indices into the source."""
        return [self.at[self.stems[number]] for number in spread(self.errors, self.bench.request.browser)]

    @property
    def note(self) -> str:
        """What the page says where it does not show all of them."""
        count = len(self.chosen)
        return (
            f"{self.dataset}: {count} of {len(self.stems):,} pictures are drawn, spread evenly from the "
            "easiest to the hardest by the methods' mean MAE"
            if count < len(self.stems)
            else ""
        )

    def media(self, workers: Workers) -> dict[str, dict[str, Any]]:
        return media(self.source, self.chosen, self.maps, self.cache, workers)

    def grid(self) -> dict[str, bytes]:
        """The figure of easy, hard and disputed pictures."""
        rows = []
        for number, why in choose_rows(self.errors):
            index = self.at[self.stems[number]]
            images = _small([*self.source.read(index), *self._levels(self.maps(index))])
            rows.append((self.stems[number], why, images, [float(error) for error in self.errors[:, number]]))
        title = f"{self.dataset}: lowest and highest mean MAE, and largest disagreement (MAE below each map)"
        drawn = grid(title, [method.name for method in self.methods], rows, self.cache)
        return {f"figures/grid_{slug(self.dataset)}.{suffix}": data for suffix, data in drawn}

    def _levels(self, maps: Mapping[str, Path | bytes]) -> list[Any]:
        places = maps.values()
        return [read_map(place) if isinstance(place, Path) else stored_map(self.cache, place) for place in places]


def _small(images: Sequence[NDArray[np.uint8]], side: int = GRID_SIDE) -> list[NDArray[np.uint8]]:
    height, width = images[0].shape[:2]
    scale = min(1.0, side / max(height, width))
    return [resize(image, max(1, round(height * scale)), max(1, round(width * scale))) for image in images]
