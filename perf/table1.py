"""Table 1's rows RBD and MB under every reading of "F": python -m perf table1 [--every 20] [--steps]

Scores the training-free methods on ECSSD as the paper may have, and prints how far each reading lies from the printed
figure. `--steps` scores RBD again with one step at a time changed: what the description leaves open, and what another
implementation may lack. It is there for explaining a distance, not for choosing constants. docs/classical.md has both
tables at `--every 1`. Writes outputs/perf/table1.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import skimage.segmentation

from arn.classical import METHODS
from arn.classical import robust_background as rbd
from arn.data.images import read_mask, read_picture
from arn.data.layout import Pair
from arn.metrics.functional import Totals, eight_bits, score_row
from arn.metrics.measures.f_measure import f_of
from arn.metrics.protocols import PROTOCOLS, Protocol
from perf.common import ecssd, versions, write_json

# MAE and F on ECSSD as printed; "MB" may be either of two methods.
PRINTED = {"rbd": (0.1769, 0.6778), "mb": (0.1741, 0.7133), "mb_plus": (0.1741, 0.7133)}

MEASURES = ("mae", "f")
FIXED = 224  # pixels: the side of the square that networks of the time work on


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf table1", description=__doc__)
    parser.add_argument("--every", type=int, default=20, help="take every so-manieth picture (default 20)")
    parser.add_argument("--steps", action="store_true", help="also RBD with one step changed at a time")
    chosen = parser.parse_args(arguments)
    pairs = ecssd(chosen.every)
    content: dict[str, Any] = {
        "versions": versions("numpy", "numba", "scipy", "scikit-image", "opencv-python-headless"),
        "pictures": len(pairs),
        "printed": PRINTED,
        "readings": {method: readings(METHODS[method], pairs) for method in PRINTED},
    }
    show_readings(content["readings"], len(pairs))
    if chosen.steps:
        content["steps"] = steps(pairs)
    print(f"written: {write_json('table1.json', content)}")


# ------------------------------------------------------------------------------------------------------------ readings


def readings(method: Callable[[np.ndarray], np.ndarray], pairs: Sequence[Pair]) -> dict[str, float]:
    """The MAE and every F of a method's 8-bit maps, the name of each saying how it is read."""
    totals = {name: Totals(protocol, MEASURES) for name, protocol in PROTOCOLS.items()}
    fixed = Totals("arn2018", MEASURES)
    for pair in pairs:
        saliency, mask = eight_bits(method(read_picture(pair.picture))), read_mask(pair.mask)
        for total in totals.values():
            total.add(score_row(saliency, mask, total.protocol, MEASURES, pair.stem))
        small = (cv2.resize(one, (FIXED, FIXED), interpolation=cv2.INTER_LINEAR) for one in (saliency, mask))
        fixed.add(score_row(*small, fixed.protocol, MEASURES, pair.stem))
    scores, square = totals["arn2018"].compute(), fixed.compute()
    adaptive = f_of(np.array([scores["adaptive_precision"]]), np.array([scores["adaptive_recall"]]))
    return {
        "MAE": scores["mae"],
        f"MAE, scored at {FIXED} x {FIXED}": square["mae"],
        "max F of averaged precision and recall (arn2018)": scores["max_f_dataset"],
        f"the same, scored at {FIXED} x {FIXED}": square["max_f_dataset"],
        "the same, map as it is, strict and smoothed (salmetric)": totals["salmetric"].compute()["max_f"],
        "max of the averaged F curve (pysod)": totals["pysod"].compute()["max_f"],
        "average of the pictures' own maxima": scores["mean_best_f"],
        "F at the adaptive threshold, averaged": scores["adaptive_f"],
        "F of precision and recall at the adaptive threshold, averaged": float(adaptive[0]),
        "mean F over thresholds, of averaged precision and recall": scores["mean_f_dataset"],
        "mean F over thresholds, of the averaged F curve": scores["mean_f_picture"],
    }


def show_readings(found: dict[str, dict[str, float]], pictures: int) -> None:
    print(f"{pictures} pictures of ECSSD; in brackets the distance from Table 1's row")
    print("| reading | " + " | ".join(found) + " |")
    print("| --- |" + " ---: |" * len(found))
    for name in found["rbd"]:
        cells = []
        for method, values in found.items():
            printed = PRINTED[method][0 if name.startswith("MAE") else 1]
            cells.append(f"{values[name]:.4f} ({values[name] - printed:+.4f})")
        print(f"| {name} | " + " | ".join(cells) + " |")


# --------------------------------------------------------------------------------------------------------------- steps


def _lab_of_mean_rgb(picture: np.ndarray, *constants: float) -> rbd.Regions:
    regions = _segment(picture, *constants)
    labels = regions.labels.ravel()
    size = np.bincount(labels)
    rgb = np.stack([np.bincount(labels, picture[..., k].ravel()) / size for k in range(3)], axis=1)
    return regions._replace(colours=cv2.cvtColor(rgb[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0])


def _skimage_slic(colours: np.ndarray, pixels: float, compactness: float) -> tuple[np.ndarray, int]:
    picture = cv2.cvtColor(colours, cv2.COLOR_LAB2RGB)  # skimage scales what it gets, then converts it itself
    count = max(1, round(picture.shape[0] * picture.shape[1] / pixels))
    labels = skimage.segmentation.slic(picture, count, compactness, max_num_iter=10, start_label=0)
    return labels.astype(np.int32), int(labels.max()) + 1


_segment, _gaussian, _colour_scale, _geodesic = rbd.segment, rbd.gaussian, rbd.colour_scale, rbd.geodesic_distances

# What is changed -> keyword arguments of `rbd`, and stand-ins for names of its module.
STEPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as described": ({}, {}),
    # What the description leaves open.
    "Lab of the mean RGB colour": ({}, {"segment": _lab_of_mean_rgb}),
    "skimage's SLIC": ({}, {"slic": _skimage_slic}),
    "smoothness cut at 3 sigma, too": ({}, {"gaussian": lambda d, sigma, cut=None: _gaussian(d, sigma)}),
    # Other values in use.
    "sigmas constant, 7 and 10": (
        {},
        {"colour_scale": lambda *a: _colour_scale(*a)._replace(geodesic_sigma=7.0, smoothness_sigma=10.0)},
    ),
    "position sigma .25": ({"position_sigma": 0.25}, {}),
    "about 250 superpixels": ({"superpixel": 480.0}, {}),
    # Steps left out.
    "no frame removal": ({"remove_frame": False}, {}),
    "distances not clipped": ({}, {"geodesic_distances": lambda colour, linked, clip: _geodesic(colour, linked)}),
    "no Otsu cut": ({}, {"otsu": lambda contrast: 0.0}),
    "no certain background": ({}, {"CERTAIN_CONNECTIVITY": np.inf}),
    "background weight 1": ({"background_weight": 1.0}, {}),
    "the last three together": (
        {"background_weight": 1.0},
        {"otsu": lambda contrast: 0.0, "CERTAIN_CONNECTIVITY": np.inf},
    ),
    "no optimisation: contrast after the Otsu cut": ({}, {"optimise": lambda smoothness, background, fg: fg}),
    "no optimisation, no Otsu cut": (
        {},
        {"optimise": lambda smoothness, background, fg: fg, "otsu": lambda contrast: 0.0},
    ),
}


def steps(pairs: Sequence[Pair]) -> dict[str, dict[str, float]]:
    """RBD's scores with each of `STEPS` in turn."""
    protocol: Protocol = PROTOCOLS["arn2018"]
    columns = ("mae", "max_f_dataset", "max_f_picture", "adaptive_f")
    found: dict[str, dict[str, float]] = {}
    print("\n| RBD | " + " | ".join(columns) + " |")
    print("| --- |" + " ---: |" * len(columns))
    for name, (constants, stand_ins) in STEPS.items():
        total = Totals(protocol, MEASURES)
        with ExitStack() as changed:
            for what, stand_in in stand_ins.items():
                changed.enter_context(patch.object(rbd, what, stand_in))
            for pair in pairs:
                saliency = eight_bits(rbd.rbd(read_picture(pair.picture), **constants))
                total.add(score_row(saliency, read_mask(pair.mask), protocol, MEASURES, pair.stem))
        scores = total.compute()
        found[name] = {column: scores[column] for column in columns}
        print(f"| {name} | " + " | ".join(f"{scores[column]:.4f}" for column in columns) + " |", flush=True)
    return found
