"""Figures of a bench, as a paper prints them: PR curves (its Fig. 5), bars (Fig. 6), F against threshold, maps side by
side (Fig. 4). PNG and SVG, at print size; colours of Okabe and Ito, told apart by their dashes and hatches, too."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arn.evaluation.cache import Cache
from arn.evaluation.results import ranked
from arn.files import digest
from arn.metrics.measures import labels
from arn.provenance import code_version

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C00")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (7, 2)), (0, (3, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....")

_COLUMN, _PAGE = 3.4, 7.0  # inches: the width of a column, and of the page, in the field's two-column papers
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "lines.linewidth": 1.3,
    "svg.fonttype": "none",
    "svg.hashsalt": "arn",  # the same figure is the same file
}
_DPI = 250
# By kind of file, without what would make the same figure another file.
_METADATA: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None}}

Drawn = dict[str, bytes]
"""File name -> content."""


def slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_")


def draw_all(bench: Mapping[str, Any], cache: Cache) -> Drawn:
    """Every curve and bar of every view, PNG and SVG."""
    files: Drawn = {}
    several = len(bench["protocols"]) > 1
    for view in bench["views"]:
        entries = [one for one in bench["scores"] if one["view"] == view["id"] and one["curves"]]
        if not entries or "precision" not in entries[0]["curves"]:
            continue
        name = slug(view["label"] + (f"_{view['protocol']}" if several else ""))
        title = f"{view['label']}, protocol {view['protocol']}"
        for kind, draw in (("pr", _pr), ("f_threshold", _f_threshold), ("bars", _bars)):
            needed = [_needed(kind, one) for one in entries]
            key = digest("figure", kind, code_version("arn.report.figures"), title, repr(needed))
            for suffix, data in _kept(cache, key, partial(draw, title, entries)):
                files[f"{kind}_{name}.{suffix}"] = data
    return files


def _needed(kind: str, entry: Mapping[str, Any]) -> Any:
    if kind == "bars":
        values = entry["values"]
        return entry["method"], values["adaptive_precision"], values["adaptive_recall"], values["adaptive_f"]
    curves = entry["curves"]
    return entry["method"], entry["values"]["max_f"], *(curves[name] for name in ("precision", "recall", "f_curve"))


def _kept(cache: Cache, key: bytes, draw: Callable[[], Any]) -> list[tuple[str, bytes]]:
    keys = {kind: digest(key, kind) for kind in _METADATA}
    stored = [(kind, data) for kind, one in keys.items() if (data := cache.get(one)) is not None]
    if len(stored) == len(keys):
        return stored
    drawn = _written(draw)
    for kind, data in drawn:
        cache.put(keys[kind], data)
    return drawn


def _written(draw: Callable[[], Any]) -> list[tuple[str, bytes]]:
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure = draw()
        found = []
        for kind, metadata in _METADATA.items():
            out = io.BytesIO()
            figure.savefig(out, format=kind, dpi=_DPI, metadata=metadata)
            found.append((kind, out.getvalue()))
    return found


def _figure(width: float, height: float, layout: Any = "constrained") -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def _line(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}


def _pr(title: str, entries: Sequence[Mapping[str, Any]]) -> Any:
    figure = _figure(_COLUMN, 2.9)
    axes = figure.subplots()
    lowest = 1.0
    for number, one in enumerate(entries):
        precision, recall = np.array(one["curves"]["precision"]), np.array(one["curves"]["recall"])
        axes.plot(recall, precision, label=f"{one['method']} ({one['values']['max_f']:.3f})", **_line(number))
        lowest = min(lowest, float(precision[recall > 0.02].min(initial=1.0)))
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(max(0.0, lowest - 0.05), 1.0), title=title)
    axes.legend(loc="lower left", title="method (max F)", title_fontsize=7)
    return figure


def _f_threshold(title: str, entries: Sequence[Mapping[str, Any]]) -> Any:
    figure = _figure(_COLUMN, 2.9)
    axes = figure.subplots()
    for number, one in enumerate(entries):
        f = np.array(one["curves"]["f_curve"])
        axes.plot(one["curves"]["thresholds"], f, label=one["method"], **_line(number))
        best = int(f.argmax())
        axes.plot(one["curves"]["thresholds"][best], f[best], "o", markersize=3, color=_line(number)["color"])
    axes.set(xlabel="threshold", ylabel=r"F ($\beta^2 = 0.3$)", xlim=(0, 255), ylim=(0, 1), title=title)
    axes.legend(loc="lower center")
    return figure


def _bars(title: str, entries: Sequence[Mapping[str, Any]]) -> Any:
    ordered = ranked(entries, "adaptive_f")
    figure = _figure(max(_COLUMN, min(_PAGE, 0.55 * len(ordered) + 1.2)), 2.6)
    axes, places = figure.subplots(), np.arange(len(ordered))
    names = (("adaptive_precision", "precision"), ("adaptive_recall", "recall"), ("adaptive_f", "F"))
    for number, (key, label) in enumerate(names):
        heights = [one["values"][key] for one in ordered]
        style = {"color": COLOURS[number], "hatch": HATCHES[number], "edgecolor": "white", "linewidth": 0.4}
        axes.bar(places + 0.27 * (number - 1), heights, 0.25, label=label, **style)
    axes.set_xticks(places, [one["method"] for one in ordered], rotation=30 if len(ordered) > 4 else 0)
    axes.set(ylim=(0, 1.0), title=f"{title}, adaptive threshold")
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, -0.12 if len(ordered) <= 4 else -0.3))
    return figure


# ----------------------------------------------------------------------------------------------------------- a training


def draw_training(logged: Iterable[Mapping[str, str]]) -> Drawn:
    """The learning curve of a run, ``training.png`` and ``.svg``: loss of every epoch, and both validation scores.

    `logged`: rows of a run's ``csv/metrics.csv``, an empty string where a step did not log a value.
    """
    rows = list(logged)

    def column(name: str) -> tuple[list[float], list[float]]:
        found = [(float(row["step"]) + 1, float(row[name])) for row in rows if row.get(name)]
        return [step for step, _ in found], [value for _, value in found]

    def draw() -> Any:
        figure = _figure(_PAGE, 2.4)
        shown = (("train/loss_step", "training loss"), ("val/max_f", "validation max F"), ("val/mae", "validation MAE"))
        for number, (axes, (name, label)) in enumerate(zip(figure.subplots(1, 3), shown, strict=True)):
            steps, values = column(name)
            if name.startswith("train"):
                axes.plot(steps, values, color="#bbbbbb", linewidth=0.5)
                steps, values = column("train/loss_epoch")
            axes.plot(steps, values, color=COLOURS[number], marker="o", markersize=3)
            axes.set(xlabel="step", ylabel=label)
        return figure

    return {f"training.{suffix}": data for suffix, data in _written(draw)}


# -------------------------------------------------------------------------------------------------------------- sweeps


def draw_sweep(report: Mapping[str, Any]) -> Drawn:
    """A figure for each test set of a sweep's report, PNG and SVG: both scores, seed by seed, and their means.

    Against the key that the variants differ in, where it is one number (T); bars otherwise, with the reference's mean
    as a line across.
    """
    files: Drawn = {}
    draw, kind = (_against, f"against_{slug(report['axis'])}") if report["axis"] else (_variant_bars, "variants")
    for dataset in report["datasets"]:
        for suffix, data in _written(partial(draw, report, dataset)):
            files[f"{kind}_{slug(dataset)}.{suffix}"] = data
    return files


def _two_scores(
    report: Mapping[str, Any], dataset: str, height: float, remark: str = ""
) -> tuple[Any, list[tuple[str, Any, str, dict[str, Any]]]]:
    """A figure, and of each score: colour, axes, label, and its entry by variant."""
    figure = _figure(_PAGE, height)
    figure.suptitle(f"{dataset}, protocol {report['protocols'][0]['name']}{remark}", fontsize=8)
    parts = []
    for colour, axes, score in zip(COLOURS[:2], figure.subplots(1, 2), ("max_f", "mae"), strict=True):
        entries = [one for one in report["scores"] if one["dataset"] == dataset and one["score"] == score]
        label = f"{labels()[score].text} ({'higher' if labels()[score].higher else 'lower'} is better)"
        parts.append((colour, axes, label, {one["variant"]: one for one in entries}))
    return figure, parts


def _against(report: Mapping[str, Any], dataset: str) -> Any:
    key = report["axis"]
    at = {one["name"]: one["settings"][key] for one in report["variants"]}
    figure, parts = _two_scores(report, dataset, 2.6)
    for colour, axes, label, mine in parts:
        places = [at[name] for name in mine]
        means, errors = [one["mean"] for one in mine.values()], [one["sd"] or 0.0 for one in mine.values()]
        axes.errorbar(places, means, yerr=errors, color=colour, marker="o", markersize=4, capsize=3, elinewidth=0.8)
        for place, one in zip(places, mine.values(), strict=True):
            values = list(one["by_seed"].values())
            axes.plot([place] * len(values), values, ".", color="#777777", markersize=3, zorder=1)
        if all(isinstance(place, int) for place in places):
            axes.set_xticks(sorted(places))
        axes.set(xlabel="T" if key == "network.rcl.steps" else key, ylabel=label)
    return figure


def _variant_bars(report: Mapping[str, Any], dataset: str) -> Any:
    names = [one["name"] for one in report["variants"]]
    figure, parts = _two_scores(report, dataset, 0.9 + 0.32 * len(names), "; axes do not begin at 0")
    for number, (colour, axes, label, mine) in enumerate(parts):
        places = np.arange(len(names))[::-1]
        means, errors = [mine[name]["mean"] for name in names], [mine[name]["sd"] or 0.0 for name in names]
        style: dict[str, Any] = {"color": colour, "height": 0.62, "edgecolor": "white", "linewidth": 0.4}
        axes.barh(places, means, xerr=errors, error_kw={"elinewidth": 0.8, "capsize": 3}, **style)
        for place, name in zip(places, names, strict=True):
            values = list(mine[name]["by_seed"].values())
            axes.plot(values, [place] * len(values), ".", color="black", markersize=3, zorder=3)
        axes.axvline(mine[report["reference"]]["mean"], color="#777777", linewidth=0.8, linestyle=DASHES[1])
        everything = [value for one in mine.values() for value in one["by_seed"].values()]
        reach = max(max(everything) - min(everything), 1e-3)
        # Bars from zero would hide what an ablation is about; the title says that they are not.
        axes.set_xlim(max(0.0, min(everything) - reach), max(everything) + 0.35 * reach)
        axes.set_yticks(places, names if number == 0 else [""] * len(names))
        axes.set(xlabel=label)
        axes.grid(axis="y", visible=False)
    return figure


# --------------------------------------------------------------------------------------------------- maps side by side


def choose_rows(errors: NDArray[np.float64], each: int = 2) -> list[tuple[int, str]]:
    """Which pictures the grid shows, and why: by rule, so that nobody can choose what flatters.

    `errors`: methods x pictures, the MAE. `each` pictures of every kind: ``easy`` and ``hard`` have the lowest and the
    highest mean over the methods; at ``disagree`` the methods' standard deviation is largest. Ties go to the first.
    """
    mean, spread = errors.mean(axis=0), errors.std(axis=0)
    kinds = [(mean, "easy"), (-mean, "hard"), (-spread, "disagree")]
    chosen: dict[int, str] = {}
    for by, why in kinds if len(errors) > 1 else kinds[:2]:
        fresh = [one for one in np.argsort(by, kind="stable").tolist() if one not in chosen]
        chosen |= dict.fromkeys(fresh[:each], why)
    return list(chosen.items())


_Row = tuple[str, str, Sequence[NDArray[np.uint8]], Sequence[float]]


def grid(title: str, names: Sequence[str], rows: Sequence[_Row], cache: Cache) -> list[tuple[str, bytes]]:
    """Pictures, masks and maps; a row is (stem, why it is shown, [picture, mask, each method's map], [MAE of each])."""
    parts: list[str | bytes] = ["grid", code_version("arn.report.figures"), title, repr(list(names))]
    for stem, why, images, errors in rows:
        parts += [stem, why, repr(list(errors)), *(image.tobytes() for image in images)]
    return _kept(cache, digest(*parts), lambda: _grid(title, names, rows))


def _grid(title: str, names: Sequence[str], rows: Sequence[_Row]) -> Any:
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = 2 + len(names)
    each = min(1.3, _PAGE / columns)
    heights = [min(1.0, images[0].shape[0] / images[0].shape[1]) for _, _, images, _ in rows]
    layout = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    figure = _figure(each * columns, each * sum(heights) + 0.17 * len(rows) + 0.65, layout)
    figure.suptitle(title, fontsize=8)
    cells = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for line, (stem, why, images, errors) in zip(cells, rows, strict=True):
        for number, (axes, image) in enumerate(zip(line, images, strict=True)):
            gray: dict[str, Any] = {} if image.ndim == 3 else {"cmap": "gray", "vmin": 0, "vmax": 255}
            axes.imshow(image, interpolation="antialiased", **gray)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if number == 0:
                axes.set_ylabel(why, fontsize=6)
                axes.set_xlabel(stem, fontsize=5, labelpad=1)
            elif number > 1:
                axes.set_xlabel(f"{errors[number - 2]:.3f}", fontsize=5, labelpad=1)
    for axes, name in zip(cells[0], ["picture", "mask", *names], strict=True):
        axes.set_title(name, fontsize=7, pad=2)
    return figure
