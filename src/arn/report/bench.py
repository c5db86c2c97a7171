"""A bench as files: tables, figures, a page."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from arn.data.maps import MapFile
from arn.data.transforms import resize
from arn.evaluation.bench import Bench
from arn.evaluation.cache import Cache
from arn.evaluation.results import view_id
from arn.evaluation.scoring import map_key
from arn.evaluation.work import Workers
from arn.files import slugs, write_atomically
from arn.inference.methods import MapFolder
from arn.report import table1
from arn.report.browser import levels, media, spread, view_rows
from arn.report.figures import as_files, choose_rows, draw_all, grid, use_style
from arn.report.latex import Form, latex
from arn.report.page import write_page
from arn.report.tables import markdown, per_image_csv, scores_csv
from arn.report.xlsx import scores_xlsx

GRID_SIDE = 320  # px, longer side of a picture in the grid of maps


def write_bench(bench: Bench, content: dict[str, Any], folder: Path, cache: Cache, workers: Workers) -> None:
    """Write everything below `folder`, each file whole; `content` is that of bench.json."""
    by_view = [(view, {one.name: bench.rows_of(one, view) for one in bench.of(view.dataset)}) for view in bench.views]
    labelled = [(name, view.dataset, view.label, rows) for view, of in by_view for name, rows in of.items()]
    files = {
        # First: by it the next bench knows the folder for one of ours, also where this one is killed.
        "bench.json": (json.dumps(content, allow_nan=False) + "\n").encode(),
        "scores.csv": scores_csv(content).encode(),
        "per_image.csv": per_image_csv(labelled).encode(),
        "table.md": markdown(content, bench.columns).encode(),
        "table.tex": latex(content, bench.columns, Form(bench.request.latex, bench.request.marks)).encode(),
    }
    extra = []
    if content["printed"]:
        files |= {"table1.md": table1.markdown(content).encode(), "table1.tex": table1.latex(content).encode()}
        extra = [table1.section(content)]
    if bench.request.xlsx:
        files["scores.xlsx"] = scores_xlsx(content)
    pictures = [Pictures(bench, dataset, cache) for dataset in bench.sources]
    # Worker processes draw the thumbnails while this one draws the figures.
    with ThreadPoolExecutor(1) as thread:
        drawing = {}
        for one in pictures if bench.request.browser else ():
            drawing[one.dataset] = thread.submit(media, one.source, one.chosen, one.maps, cache, workers)
        if bench.request.figures:
            with use_style(bench.request.style):
                for one in pictures:
                    files |= one.grid()
                files |= {f"figures/{name}": data for name, data in draw_all(content, cache).items()}
        thumbnails = {dataset: future.result() for dataset, future in drawing.items()}
    for name, data in files.items():
        write_atomically(folder / name, data)
    shown = {view_id(view): view_rows(of) for view, of in by_view}
    note = "; ".join(one.note for one in pictures if bench.request.browser and one.note)
    write_page(folder / "index.html", content, {"view_rows": shown, "media": thumbnails, "note": note}, extra)


class Pictures:
    """The pictures of a data set beside the maps of a bench.

    `stems` are those that were scored; `errors`, methods x pictures, their MAE under the first protocol, or zeros.
    """

    def __init__(self, bench: Bench, dataset: str, cache: Cache) -> None:
        self.dataset, self.cache = dataset, cache
        self.name = slugs(list(bench.sources))[dataset]  # of files
        self.source, self.methods = bench.sources[dataset], bench.of(dataset)
        view = next(view for view in bench.views if view.dataset == dataset)
        tables = [bench.rows_of(method, view) for method in self.methods]
        self.stems = tables[0].stems
        unmeasured = np.zeros(len(self.stems))
        self.errors = np.array([rows["mae"] if "mae" in rows.measures else unmeasured for rows in tables])
        self.at = {stem: index for index, stem in enumerate(self.source.stems)}
        folders = [method for method in self.methods if isinstance(method, MapFolder)]
        self.files = {method.name: method.find(dataset, self.source).files for method in folders}
        # Those that the page's browser shows, as indices into the source.
        self.chosen = [self.at[self.stems[number]] for number in spread(self.errors, bench.request.browser)]

    def maps(self, index: int) -> dict[str, MapFile | bytes]:
        """Of a picture, by method: the file that holds the map, or its key in the cache."""
        stem = self.source.stems[index]
        return {
            one.name: self.files[one.name][stem] if isinstance(one, MapFolder) else map_key(one, self.source, index)
            for one in self.methods
        }

    @property
    def note(self) -> str:
        """What the page says where it does not show all of them."""
        part = f"{self.dataset}: {len(self.chosen)} of {len(self.stems):,} pictures are drawn, spread evenly from the "
        part += "easiest to the hardest by the methods' mean MAE"
        return part if len(self.chosen) < len(self.stems) else ""

    def grid(self) -> dict[str, bytes]:
        """The figure of easy, hard and disputed pictures."""
        rows = []
        for number, why in choose_rows(self.errors):
            index = self.at[self.stems[number]]
            picture, mask = self.source.read(index)
            native: list[Any] = [picture, mask, *(levels(place, self.cache) for place in self.maps(index).values())]
            scale = min(1.0, GRID_SIDE / max(mask.shape))
            height, width = (max(1, round(side * scale)) for side in mask.shape)
            images = [resize(image, height, width) for image in native]
            rows.append((self.stems[number], why, images, self.errors[:, number].tolist()))
        title = f"{self.dataset}: lowest and highest mean MAE, and largest disagreement (MAE below each map)"
        drawn = grid(title, [method.name for method in self.methods], rows, self.cache)
        return as_files(f"figures/grid_{self.name}", drawn)
