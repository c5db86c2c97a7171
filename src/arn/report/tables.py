"""Tables of a bench in Markdown, LaTeX (booktabs) and CSV, made from the content of bench.json."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from arn.evaluation.results import ranked, scores_in
from arn.metrics.functional import Rows
from arn.metrics.measures import labels, per_picture

Bench = Mapping[str, Any]

# A tie with the next, as far as these pictures can tell.
NOT_SIGNIFICANT = "≈"


def scores_csv(bench: Bench) -> str:
    """One row per method and view: every score with the ends of its interval."""
    names = scores_in(bench["scores"])
    ends = [f"{name}_{end}" for name in names for end in ("low", "high")]
    head = ["method", "dataset", "view", "protocol", *names, *ends, "pictures", "of", "seconds_per_picture", "device"]
    views = {view["id"]: view for view in bench["views"]}
    lines = []
    for one in bench["scores"]:
        view = views[one["view"]]
        line = [one["method"], view["dataset"], view["label"], view["protocol"], *map(one["values"].get, names)]
        for name in names:
            line += one["intervals"].get(name, (None, None))
        lines.append([*line, one["pictures"], one["of"], one["seconds_per_picture"], one["device"]])
    return to_csv(head, lines)


def per_image_csv(rows: Iterable[tuple[str, str, str, Rows]]) -> str:
    """One row per method, view and picture; `rows` are (method, data set, view's label, its rows)."""
    given = list(rows)
    names = per_picture(given[0][3].measures) if given else []
    lines = [
        [method, dataset, label, table.protocol.name, stem, *map(float, values)]
        for method, dataset, label, table in given
        for stem, *values in zip(table.stems, *(table[name] for name in names), strict=True)
    ]
    return to_csv(["method", "dataset", "view", "protocol", "stem", *names], lines)


def to_csv(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """Floats with six decimals, nothing for None."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([f"{one:.6f}" if isinstance(one, float) else one for one in line] for line in lines)
    return out.getvalue()


# ------------------------------------------------------------------------------------------------------------ Markdown


def markdown(bench: Bench, columns: Sequence[str] = ("max_f", "mae")) -> str:
    """A table for each protocol: methods down, views and `columns` across, intervals beside figures; notes below."""
    parts = []
    for _, cells in _by_protocol(bench, columns):
        heads = [f"{view['label']} {labels()[name].text}" for view, name in cells.across] + [
            "ms / picture"
        ] * cells.timed
        lines = [cells.line(method, _markdown_cell, "-") for method in cells.methods]
        parts.append("\n".join([pipes(["method", *heads]), "|---|" + "---:|" * len(heads), *map(pipes, lines)]))
    if bench.get("printed"):
        parts.append("\n".join(_printed_markdown(bench["printed"])))
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes(bench))]) + "\n"


def pipes(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown_cell(text: str, bounds: str, rank: int | None, tied: bool) -> str:
    text = f"**{text}**" if rank == 0 else text
    return " ".join([text, *[NOT_SIGNIFICANT] * tied, *[bounds] * bool(bounds)])


def _printed_markdown(block: Mapping[str, Any]) -> list[str]:
    datasets = list(dict.fromkeys(name for row in block["rows"] for name in row["values"]))
    heads = [f"{name} {score}" for name in datasets for score in ("max F", "MAE")]
    lines = [f"*{block['label']}: {block['note']}*", "", pipes(["method", *heads]), "|---|" + "---:|" * len(heads)]
    for row in block["rows"]:
        figures = [f"{row['values'][name][score]:.4f}" for name in datasets for score in ("max_f", "mae")]
        lines.append(pipes([f"{row['method']} (printed)", *figures]))
    return lines


def notes(bench: Bench) -> list[str]:
    """What must stand below a table: warnings, protocols, readings of masks, intervals, timing."""
    told = [f"**{warning}**" for warning in bench["warnings"]]
    told += [f"Protocol {one['description']}. Source: {one['source']}." for one in bench["protocols"]]
    told += [f"{view['label']}: {view['note']}." for view in bench["views"] if view["note"]]
    sets = dict.fromkeys((view["label"], view["pictures"]) for view in bench["views"])
    scored = {(one["view"].rpartition("/")[0], one["pictures"]) for one in bench["scores"]}
    part = dict(scored)
    told.append(
        "Pictures: "
        + ", ".join(
            f"{label} {count:,}" if part.get(label, count) == count else f"{label} {part[label]:,} of {count:,}"
            for label, count in sets
        )
        + "."
    )
    source = bench["provenance"]
    if any(one["intervals"] for one in bench["scores"]):
        told.append(
            f"In brackets: {source['confidence']:.0%} bootstrap interval over pictures ({source['resamples']:,} "
            f"resamples, seed {source['seed']}). It says nothing of other training runs of the same network."
        )
    if bench["comparisons"]:
        told.append(
            f"{NOT_SIGNIFICANT}: the best is not significantly better than the next (paired sign-flip test on the same "
            f"pictures, Holm over {len(bench['comparisons'])} comparisons, {1 - source['confidence']:.2f})."
        )
    devices = dict.fromkeys(one["device"] for one in bench["scores"] if one["seconds_per_picture"] is not None)
    if devices:
        told.append(
            "ms / picture: median time to make one map, one at a time, reading and scoring apart; "
            f"{source['machine'].get('processor', '')}; {', '.join(map(str, devices))}."
        )
    return told


# --------------------------------------------------------------------------------------------------------------- LaTeX


def latex(bench: Bench, columns: Sequence[str] = ("max_f", "mae")) -> str:
    """The same tables for a paper: booktabs; the best three of a column in red, blue and green as in Table 1, and bold,
    underlined and italic for those who print in black."""
    parts = ["% \\usepackage{booktabs,multirow,xcolor}", "\\definecolor{arnthird}{rgb}{0,0.5,0}"]
    caption = " ".join(escape_tex(note.replace("**", "")) for note in notes(bench))
    for protocol, cells in _by_protocol(bench, columns):
        width = len(cells.columns)
        heads = [f"\\multicolumn{{{width}}}{{c}}{{{escape_tex(view['label'])}}}" for view in cells.views]
        starts = [2 + number * width for number in range(len(cells.views))]
        rules = " ".join(f"\\cmidrule(lr){{{start}-{start + width - 1}}}" for start in starts)
        under = [f"{escape_tex(labels()[name].text)} ${_arrow(name)}$" for _, name in cells.across]
        under += ["ms / picture"] * cells.timed
        body = []
        for method in cells.methods:
            _, *figures = cells.line(method, _latex_cell, "--")
            body.append(tex_row([escape_tex(method), *figures]))
        if bench.get("printed") and protocol is bench["protocols"][0]:
            body += _printed_latex(bench["printed"], cells)
        top = [tex_row(["", *heads, *[""] * cells.timed]), rules, tex_row(["Method", *under])]
        parts += tex_table(1 + len(under), top, body, caption)
    return "\n".join(parts) + "\n"


def tex_table(columns: int, head: Iterable[str], body: Iterable[str], caption: str) -> list[str]:
    """The lines of a table, the first column to the left; `caption` is LaTeX, head and body are rows of it."""
    opened = ["\\begin{table}", "\\centering\\small", f"\\begin{{tabular}}{{l{'r' * (columns - 1)}}}", "\\toprule"]
    closed = ["\\bottomrule", "\\end{tabular}", f"\\caption{{{caption}}}", "\\end{table}", ""]
    return [*opened, *head, "\\midrule", *body, *closed]


def tex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _latex_cell(text: str, bounds: str, rank: int | None, tied: bool) -> str:
    styles = {0: "\\textcolor{red}{\\textbf{%s}}", 1: "\\textcolor{blue}{\\underline{%s}}"}
    styles[2] = "\\textcolor{arnthird}{\\textit{%s}}"
    text = styles[rank] % text if rank in styles else text
    return text + ("$^{\\approx}$" if tied else "") + (f" {{\\scriptsize {bounds}}}" if bounds else "")


def _printed_latex(block: Mapping[str, Any], cells: _Cells) -> list[str]:
    told = f"\\emph{{{escape_tex(block['label'])}, as printed, not measured}}"
    lines = ["\\midrule", f"\\multicolumn{{{1 + len(cells.across) + cells.timed}}}{{l}}{{{told}}} \\\\"]
    for row in block["rows"]:
        values = [row["values"].get(view["dataset"], {}).get(name) for view, name in cells.across]
        figures = ["--" if value is None else f"{value:.4f}" for value in values]
        lines.append(tex_row([escape_tex(row["method"]), *figures, *["--"] * cells.timed]))
    return lines


def _arrow(name: str) -> str:
    return "\\uparrow" if labels()[name].higher else "\\downarrow"


_TEX = str.maketrans(
    {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    | {one: f"\\{one}" for one in "&%$#_{}"}
    | {NOT_SIGNIFICANT: "$\\approx$", ">": "$>$", "<": "$<$", "±": "$\\pm$"}
)


def escape_tex(text: str) -> str:
    return text.translate(_TEX)


# --------------------------------------------------------------------------------------------------------------- cells


def _by_protocol(bench: Bench, columns: Sequence[str]) -> Iterator[tuple[Mapping[str, Any], _Cells]]:
    for protocol in bench["protocols"]:
        views = [view for view in bench["views"] if view["protocol"] == protocol["name"]]
        if views:
            yield protocol, _Cells(bench, views, columns)


class _Cells:
    """The figures of some views, marked: who is best, and where that may be chance; `across`: (view, score)."""

    def __init__(self, bench: Bench, views: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        ids = {view["id"] for view in views}
        entries = [one for one in bench["scores"] if one["view"] in ids]
        self.views, self.at = views, {(one["method"], one["view"]): one for one in entries}
        self.methods = list(dict.fromkeys(one["method"] for one in entries))
        self.columns = [name for name in columns if entries and name in entries[0]["values"]]
        self.across = [(view, name) for view in views for name in self.columns]
        self.timed = any(one["seconds_per_picture"] is not None for one in bench["scores"])
        self.rank: dict[tuple[str, str, str], int] = {}
        for view, name in self.across:
            ordered = ranked([one for one in entries if one["view"] == view["id"]], name)
            levels = list(dict.fromkeys(round(one["values"][name], 4) for one in ordered))
            for one in ordered if len(ordered) > 1 else ():
                self.rank[one["method"], view["id"], name] = levels.index(round(one["values"][name], 4))
        ties = [one for one in bench["comparisons"] if not one["significant"]]
        self.tied = {(one["first"], one["view"], one["score"]) for one in ties}

    def line(self, method: str, write: Callable[[str, str, int | None, bool], str], missing: str) -> list[str]:
        """The method, its cells, and the median of its times; `write` has text, interval, rank (from 0) and tie."""
        cells = [method]
        for view, name in self.across:
            one, key = self.at.get((method, view["id"])), (method, view["id"], name)
            if one is None:
                cells.append(missing)
                continue
            interval = one["intervals"].get(name)
            bounds = "" if interval is None else f"[{interval[0]:.3f}, {interval[1]:.3f}]"
            cells.append(write(f"{one['values'][name]:.4f}", bounds, self.rank.get(key), key in self.tied))
        if self.timed:
            cells.append(self._milliseconds(method))
        return cells

    def _milliseconds(self, method: str) -> str:
        """Median over the views' data sets."""
        taken = [one["seconds_per_picture"] for (name, _), one in self.at.items() if name == method]
        taken = [1000 * seconds for seconds in taken if seconds is not None]
        if not taken:
            return ""
        median = statistics.median_high(taken)
        return f"{median:.3g}" if median < 1000 else f"{median:.0f}"
