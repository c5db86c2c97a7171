"""The shipped networks and training-free methods on six pictures of ECSSD: python -m perf gallery [--every 20]

The pictures are chosen by rank, not by eye: all are ordered by the MAE of `mb_plus`, and those at 5, 23, 41, 59, 77 and
95 percent are drawn, so that good and bad both show. Writes outputs/perf/gallery.jpg; the one of `--every 1` is
docs/figures/ecssd_methods.jpg.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from arn.classical import METHODS
from arn.data.images import read_mask, read_picture
from arn.data.layout import Pair
from arn.inference.loading import load
from arn.inference.weights import SHIPPED, shipped
from arn.metrics.functional import eight_bits, score
from perf.common import OUTPUT, ecssd

RANKED_BY = "mb_plus"
RANKS = (0.05, 0.23, 0.41, 0.59, 0.77, 0.95)
CELL = (148, 112)  # pixels, width and height that a picture is fitted into
GAP, HEAD = 4, 18  # pixels


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf gallery", description=__doc__)
    parser.add_argument("--every", type=int, default=20, help="rank every so-manieth picture (default 20)")
    chosen = parser.parse_args(arguments)
    pairs = ranked(ecssd(chosen.every))
    shown = [pairs[round(rank * (len(pairs) - 1))] for rank in RANKS]
    OUTPUT.mkdir(parents=True, exist_ok=True)
    path = OUTPUT / "gallery.jpg"
    draw(shown).save(path, quality=85, optimize=True)
    print(f"{', '.join(pair.stem for pair in shown)} of {len(pairs)} pictures\nwritten: {path}")


def ranked(pairs: list[Pair]) -> list[Pair]:
    """`pairs`, that with the smallest MAE of `RANKED_BY` first."""

    def error(pair: Pair) -> float:
        saliency = eight_bits(METHODS[RANKED_BY](read_picture(pair.picture)))
        return float(score(saliency, read_mask(pair.mask), "arn2018", measures=("mae",))["mae"])

    return sorted(pairs, key=error)


def draw(pairs: list[Pair]) -> Image.Image:
    """A row per picture: itself, its mask, and the map of every method, under a line of their names."""
    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {SHIPPED[name]: load(name).predict for name in shipped()}
    methods |= METHODS
    names = ("picture", "mask", *methods)
    step_x, step_y = CELL[0] + GAP, CELL[1] + GAP
    sheet = Image.new("RGB", (step_x * len(names) - GAP, HEAD + step_y * len(pairs) - GAP), "white")
    text, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, name in enumerate(names):
        text.text((column * step_x + CELL[0] // 2, HEAD // 2), name, "black", font, anchor="mm")
    for row, pair in enumerate(pairs):
        picture = read_picture(pair.picture)
        columns = (picture, read_mask(pair.mask), *(eight_bits(method(picture)) for method in methods.values()))
        for column, content in enumerate(columns):
            cell = _fitted(content)
            left, top = (CELL[0] - cell.width) // 2, (CELL[1] - cell.height) // 2
            sheet.paste(cell, (column * step_x + left, HEAD + row * step_y + top))
    return sheet


def _fitted(content: np.ndarray) -> Image.Image:
    image = Image.fromarray(content)
    image.thumbnail(CELL, Image.Resampling.LANCZOS)
    return image
