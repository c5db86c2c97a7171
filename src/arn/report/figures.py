"""Figures of a bench, as a paper prints them: PR curves (its Fig. 5), bars (Fig. 6), F against threshold, maps side by
side (Fig. 4). PNG and SVG, at print size; colours of Okabe and Ito, told apart by their dashes and hatches, too."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.evaluation.results import ranked
from arn.files import digest, listed, slugs
from arn.metrics.measures import labels
from arn.provenance import code_version
from arn.report.tables import to_csv

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
    "axes.prop_cycle": f"cycler('color', {list(COLOURS)})",
}
_OVER: ContextVar[dict[Any, Any] | None] = ContextVar("style", default=None)  # over our style, see `use_style`
_DPI = 250
# By kind of file, without what would make the same figure another file.
_METADATA: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None}}

Report = Mapping[str, Any]
Entries = Sequence[Mapping[str, Any]]  # scores of a bench's or a report's content
Drawn = dict[str, bytes]  # file name -> content


def as_files(name: str, drawn: Iterable[tuple[str, bytes]]) -> Drawn:
    """A figure's (suffix, content) by file name."""
    return {f"{name}.{suffix}": data for suffix, data in drawn}


def check_style(style: str | None) -> None:
    """Raises ArnError for what is neither a style's file nor the name of one of matplotlib's."""
    with use_style(style):
        pass


@contextmanager
def use_style(style: str | None) -> Iterator[None]:
    """Figures drawn inside have our style and, over it, this one of matplotlib's: a file, or a name that it knows."""
    import matplotlib

    own: dict[Any, Any] = {}
    if style is not None:
        import matplotlib.style

        try:
            own = dict(
                matplotlib.style.library[style]
                if style in matplotlib.style.library
                else matplotlib.rc_params_from_file(style, use_default_template=False)
            )
        except OSError as error:
            raise ArnError(
                f"style={style}: no such file, and no style of matplotlib's, as are "
                f"{listed([name for name in matplotlib.style.available if not name.startswith('_')], 5)}"
            ) from error
    token = _OVER.set(own)
    try:
        yield
    finally:
        _OVER.reset(token)


def draw_all(bench: Mapping[str, Any], cache: Cache) -> Drawn:
    """Every curve and bar of every view as PNG and SVG, and what each shows as CSV."""
    drawn: Drawn = {}
    several = len(bench["protocols"]) > 1
    texts = {one["id"]: f"{one['label']}_{one['protocol']}" if several else one["label"] for one in bench["views"]}
    names = slugs(list(texts.values()))
    for view in bench["views"]:
        entries = [one for one in bench["scores"] if one["view"] == view["id"]]
        if not entries or "precision" not in entries[0]["curves"]:
            continue
        name = names[texts[view["id"]]]
        title = _text(f"{view['label']}, protocol {view['protocol']}")
        drawable = [{**one, "method": _text(one["method"])} for one in entries]
        for kind, (draw, *needed) in _KINDS.items():
            if kind == "radar":
                needed = [score for score in RADAR if all(score in one["values"] for one in entries)]
            if len(needed) < 3 and kind == "radar":
                continue
            shown = [[one["method"], *((one["values"] | one["curves"])[key] for key in needed)] for one in entries]
            key = digest("figure", kind, code_version("arn.report.figures"), title, repr(shown))
            drawn |= as_files(f"{kind}_{name}", _kept(cache, key, partial(draw, title, drawable)))
            drawn[f"{kind}_{name}.csv"] = _data(entries, needed).encode()
    return drawn


def _text(name: str) -> str:
    """As it is: matplotlib reads formulas between dollars, and lists no line whose name begins with an underscore."""
    return (f" {name}" if name.startswith("_") else name).replace("$", r"\$")


def _data(entries: Entries, names: Sequence[str]) -> str:
    """What a figure shows: a row a method or, of curves, one a method and threshold."""
    curves = [name for name in names if name in entries[0]["curves"]]
    if not curves:
        return to_csv(
            ["method", *names], [[one["method"], *(one["values"][name] for name in names)] for one in entries]
        )
    lines = [
        [one["method"], *map(float, row)]
        for one in entries
        for row in zip(one["curves"]["thresholds"], *(one["curves"][name] for name in curves), strict=True)
    ]
    return to_csv(["method", "threshold", *curves], lines)


def _kept(cache: Cache, key: bytes, draw: Callable[[], Any]) -> list[tuple[str, bytes]]:
    key = digest(key, repr(sorted((_OVER.get() or {}).items())))
    drawn = [(kind, data) for kind in _METADATA if (data := cache.get(digest(key, kind))) is not None]
    if len(drawn) < len(_METADATA):
        drawn = _written(draw)
        for kind, data in drawn:
            cache.put(digest(key, kind), data, "figure")
    return drawn


def _written(draw: Callable[[], Any]) -> list[tuple[str, bytes]]:
    import matplotlib

    found = []
    with matplotlib.rc_context(_STYLE | (_OVER.get() or {})):
        figure = draw()
        for kind, metadata in _METADATA.items():
            out = io.BytesIO()
            figure.savefig(out, format=kind, dpi=_DPI, metadata=metadata)
            found.append((kind, out.getvalue()))
    return found


def _figure(width: float, height: float, layout: Any = "constrained") -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def _colour(number: int) -> str:
    import matplotlib

    colours = matplotlib.rcParams["axes.prop_cycle"].by_key().get("color", COLOURS)
    return str(colours[number % len(colours)])


def _line(number: int) -> dict[str, Any]:
    return {"color": _colour(number), "linestyle": DASHES[number % len(DASHES)]}


def _pr(title: str, entries: Entries) -> Any:
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


def _f_threshold(title: str, entries: Entries) -> Any:
    figure = _figure(_COLUMN, 2.9)
    axes = figure.subplots()
    for number, one in enumerate(entries):
        thresholds, f = one["curves"]["thresholds"], np.array(one["curves"]["f_curve"])
        axes.plot(thresholds, f, label=one["method"], **_line(number))
        best = int(f.argmax())
        axes.plot(thresholds[best], f[best], "o", markersize=3, color=_line(number)["color"])
    axes.set(xlabel="threshold", ylabel=r"F ($\beta^2 = 0.3$)", xlim=(0, 255), ylim=(0, 1), title=title)
    axes.legend(loc="lower center")
    return figure


def _bars(title: str, entries: Entries) -> Any:
    ordered = ranked(entries, "adaptive_f")
    figure = _figure(max(_COLUMN, min(_PAGE, 0.55 * len(ordered) + 1.2)), 2.6)
    axes, places = figure.subplots(), np.arange(len(ordered))
    for number, (key, label) in enumerate(zip(_KINDS["bars"][1:], ("precision", "recall", "F"), strict=True)):
        heights = [one["values"][key] for one in ordered]
        style = {"color": _colour(number), "hatch": HATCHES[number], "edgecolor": "white", "linewidth": 0.4}
        axes.bar(places + 0.27 * (number - 1), heights, 0.25, label=label, **style)
    axes.set_xticks(places, [one["method"] for one in ordered], rotation=30 if len(ordered) > 4 else 0)
    axes.set(ylim=(0, 1.0), title=f"{title},\nadaptive threshold")
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, -0.12 if len(ordered) <= 4 else -0.3))
    return figure


def _radar(title: str, entries: Entries) -> Any:
    """Every score on a ray of its own, further out is better: 1 - score where lower is."""
    scores = [score for score in RADAR if all(score in one["values"] for one in entries)]
    figure = _figure(_COLUMN, 3.6)
    axes = figure.add_subplot(projection="polar")
    angles = np.linspace(0, 2 * np.pi, len(scores), endpoint=False)
    texts = [labels()[score].text if labels()[score].higher else f"1 - {labels()[score].text}" for score in scores]
    lowest = 1.0
    for number, one in enumerate(entries):
        values = [
            value if labels()[score].higher else 1 - value for score in scores for value in [one["values"][score]]
        ]
        axes.plot([*angles, angles[0]], [*values, values[0]], label=one["method"], **_line(number))
        lowest = min(lowest, *values)
    axes.set_xticks(angles, texts)
    inner = max(0.0, np.floor(10 * lowest - 0.5) / 10)
    axes.set(ylim=(inner, 1.0), title=title)
    axes.set_yticks(np.arange(inner, 1.0, 0.1 if inner >= 0.5 else 0.2))
    axes.set_rlabel_position(np.degrees(angles[1]) / 2)  # between two rays
    axes.tick_params(axis="x", pad=9)
    axes.tick_params(axis="y", labelsize="small")
    axes.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, -0.08))
    return figure


RADAR = ("max_f", "adaptive_f", "weighted_f", "s_measure", "max_e", "mae")
"""Scores of the radar figure, as far as they were measured; at least three make one."""

# By name: what draws it, and the values and curves that it shows.
_KINDS: dict[str, tuple[Any, ...]] = {
    "pr": (_pr, "max_f", "precision", "recall"),
    "f_threshold": (_f_threshold, "f_curve"),
    "bars": (_bars, "adaptive_precision", "adaptive_recall", "adaptive_f"),
    "radar": (_radar,),
}


def draw_training(logged: Iterable[Mapping[str, str]]) -> Drawn:
    """The learning curve of a run, ``training.png`` and ``.svg``: loss of every epoch, and both validation scores.

    `logged`: rows of a run's ``csv/metrics.csv``, an empty string where a step did not log a value.
    """
    rows = list(logged)

    def column(name: str) -> tuple[list[float], list[float]]:
        found = [row for row in rows if row.get(name)]
        return [float(row["step"]) + 1 for row in found], [float(row[name]) for row in found]

    def draw() -> Any:
        figure = _figure(_PAGE, 2.4)
        shown = {"train/loss_epoch": "training loss", "val/max_f": "validation max F", "val/mae": "validation MAE"}
        for colour, axes, (name, label) in zip(COLOURS, figure.subplots(1, 3), shown.items(), strict=False):
            if name == "train/loss_epoch":
                axes.plot(*column("train/loss_step"), color="#bbbbbb", linewidth=0.5)
            axes.plot(*column(name), color=colour, marker="o", markersize=3)
            axes.set(xlabel="step", ylabel=label)
        return figure

    return as_files("training", _written(draw))


# -------------------------------------------------------------------------------------------------------------- sweeps


def draw_sweep(report: Report) -> Drawn:
    """A figure for each test set of a sweep's report, PNG and SVG: both scores, seed by seed, and their means.

    Against the key that the variants differ in, where it is one number (T); bars otherwise.
    """
    kind = f"against_{slugs([report['axis']])[report['axis']]}" if report["axis"] else "variants"
    drawn: Drawn = {}
    for dataset, name in slugs(report["datasets"]).items():
        drawn |= as_files(f"{kind}_{name}", _written(partial(_two_scores, report, dataset)))
        lines = [
            [one["variant"], one["score"], str(seed), float(value)]
            for one in report["scores"]
            if one["dataset"] == dataset and one["score"] in ("max_f", "mae")
            for seed, value in one["by_seed"].items()
        ]
        drawn[f"{kind}_{name}.csv"] = to_csv(["variant", "score", "seed", "value"], lines).encode()
    return drawn


def _two_scores(report: Report, dataset: str) -> Any:
    figure = _figure(_PAGE, 2.6 if report["axis"] else 0.9 + 0.32 * len(report["variants"]))
    remark = "" if report["axis"] else "; axes do not begin at 0"
    figure.suptitle(f"{dataset}, protocol {report['protocols'][0]['name']}{remark}", fontsize=8)
    left, right = figure.subplots(1, 2)
    for colour, axes, score in zip(COLOURS, (left, right), ("max_f", "mae"), strict=False):
        entries = [one for one in report["scores"] if one["dataset"] == dataset and one["score"] == score]
        label = f"{labels()[score].text} ({'higher' if labels()[score].higher else 'lower'} is better)"
        draw = _against if report["axis"] else _variant_bars
        draw(report, entries, axes, colour, label)
        if axes is right and not report["axis"]:
            axes.set_yticklabels([])
    return figure


def _against(report: Report, entries: Entries, axes: Any, colour: str, label: str) -> None:
    key = report["axis"]
    places = [one["settings"][key] for one in report["variants"]]
    means, errors = [one["mean"] for one in entries], [one["sd"] or 0.0 for one in entries]
    axes.errorbar(places, means, yerr=errors, color=colour, marker="o", markersize=4, capsize=3, elinewidth=0.8)
    for place, one in zip(places, entries, strict=True):
        values = list(one["by_seed"].values())
        axes.plot([place] * len(values), values, ".", color="#777777", markersize=3, zorder=1)
    if all(isinstance(place, int) for place in places):
        axes.set_xticks(sorted(places))
    axes.set(xlabel="T" if key == "network.rcl.steps" else key, ylabel=label)


def _variant_bars(report: Report, entries: Entries, axes: Any, colour: str, label: str) -> None:
    places = np.arange(len(entries))[::-1]
    means, errors = [one["mean"] for one in entries], [one["sd"] or 0.0 for one in entries]
    style: dict[str, Any] = {"color": colour, "height": 0.62, "edgecolor": "white", "linewidth": 0.4}
    axes.barh(places, means, xerr=errors, error_kw={"elinewidth": 0.8, "capsize": 3}, **style)
    for place, one in zip(places, entries, strict=True):
        values = list(one["by_seed"].values())
        axes.plot(values, [place] * len(values), ".", color="black", markersize=3, zorder=3)
    reference = next(one["mean"] for one in entries if one["variant"] == report["reference"])
    axes.axvline(reference, color="#777777", linewidth=0.8, linestyle=DASHES[1])
    everything = [value for one in entries for value in one["by_seed"].values()]
    reach = max(max(everything) - min(everything), 1e-3)
    # Bars from zero would hide what an ablation is about; the title says that they are not.
    axes.set_xlim(max(0.0, min(everything) - reach), max(everything) + 0.35 * reach)
    axes.set_yticks(places, [one["variant"] for one in entries])
    axes.set(xlabel=label)
    axes.grid(axis="y", visible=False)


# --------------------------------------------------------------------------------------------------- maps side by side


def choose_rows(errors: NDArray[np.float64], each: int = 2) -> list[tuple[int, str]]:
    """Which pictures the grid shows, and why: by rule, so that nobody can choose what flatters.

    `each` pictures of a kind by their `errors` (methods x pictures, the MAE): the lowest and the highest mean over the
    methods, and the largest standard deviation. Ties go to the first.
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
    return _kept(cache, digest(*parts), lambda: _grid(_text(title), [*map(_text, names)], rows))


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
        line[0].set_ylabel(why, fontsize=6)
        below = [stem, "", *(f"{error:.3f}" for error in errors)]
        for axes, image, label in zip(line, images, below, strict=True):
            gray: dict[str, Any] = {} if image.ndim == 3 else {"cmap": "gray", "vmin": 0, "vmax": 255}
            axes.imshow(image, interpolation="antialiased", **gray)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set_xlabel(label, fontsize=5, labelpad=1)
    for axes, name in zip(cells[0], ["picture", "mask", *names], strict=True):
        axes.set_title(name, fontsize=7, pad=2)
    return figure
