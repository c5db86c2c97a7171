"""Tables of a bench in Markdown, LaTeX (booktabs) and CSV, made from the content of bench.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from arn.evaluation.results import ranked, scores_in
from arn.metrics.functional import Rows
from arn.metrics.measures import labels, per_picture

Bench = Mapping[str, Any]
Entry = Mapping[str, Any]

# A tie with the next, as far as these pictures can tell.
NOT_SIGNIFICANT = "≈"


def scores_csv(bench: Bench) -> str:
    """One row per method and view: every score with the ends of its interval."""
    names = scores_in(bench["scores"])
    head = ["method", "dataset", "view", "protocol", *names]
    head += [f"{name}_{end}" for name in names for end in ("low", "high")]
    head += ["pictures", "of", "seconds_per_picture", "device"]
    views = {view["id"]: view for view in bench["views"]}
    lines = []
    for one in bench["scores"]:
        view = views[one["view"]]
        line = {"method": one["method"], "dataset": view["dataset"], "view": view["label"]}
        line |= {"protocol": view["protocol"], "pictures": one["pictures"], "of": one["of"]}
        for name in names:
            line[name] = _exact(one["values"].get(name))
            for end, value in zip(("low", "high"), one["intervals"].get(name, (None, None)), strict=True):
                line[f"{name}_{end}"] = _exact(value)
        line |= {"seconds_per_picture": _exact(one["seconds_per_picture"]), "device": one["device"] or ""}
        lines.append(line)
    return to_csv(head, lines)


def per_image_csv(rows: Iterable[tuple[str, str, str, Rows]]) -> str:
    """One row per method, view and picture; `rows` are (method, data set, view's label, its rows)."""
    given = list(rows)
    names = per_picture(given[0][3].measures) if given else []
    lines = []
    for method, dataset, label, table in given:
        columns = [table[name] for name in names]
        for number, stem in enumerate(table.stems):
            line = {"method": method, "dataset": dataset, "view": label, "protocol": table.protocol.name, "stem": stem}
            lines.append(
                line | {name: _exact(float(column[number])) for name, column in zip(names, columns, strict=True)}
            )
    return to_csv(["method", "dataset", "view", "protocol", "stem", *names], lines)


def _exact(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def to_csv(head: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, head, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


# ------------------------------------------------------------------------------------------------------------ Markdown


def markdown(bench: Bench, columns: Sequence[str] = ("max_f", "mae")) -> str:
    """A table for each protocol: methods down, views and `columns` across, intervals beside figures; notes below."""
    parts = []
    for protocol in bench["protocols"]:
        views = [view for view in bench["views"] if view["protocol"] == protocol["name"]]
        if views:
            parts.append("\n".join(_markdown_table(bench, views, columns)))
    if bench.get("printed"):
        parts.append("\n".join(_printed_markdown(bench)))
    parts.append("\n".join(f"- {note}" for note in notes(bench)))
    return "\n\n".join(parts) + "\n"


def _markdown_table(bench: Bench, views: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    cells = _Cells(bench, views, columns)
    timed = any(one["seconds_per_picture"] is not None for one in bench["scores"])
    heads = [f"{view['label']} {labels()[name].text}" for view in views for name in cells.columns]
    lines = [
        "| method | " + " | ".join(heads + ["ms / picture"] * timed) + " |",
        "|---|" + "---:|" * (len(heads) + timed),
    ]
    for method in cells.methods:
        line = [cells.markdown(method, view["id"], name) for view in views for name in cells.columns]
        if timed:
            line.append(_milliseconds(cells.seconds(method)))
        lines.append(f"| {method} | " + " | ".join(line) + " |")
    return lines


def _printed_markdown(bench: Bench) -> list[str]:
    block = bench["printed"]
    datasets = list(dict.fromkeys(name for row in block["rows"] for name in row["values"]))
    lines = [
        f"*{block['label']}: {block['note']}*",
        "",
        "| method | " + " | ".join(f"{name} max F | {name} MAE" for name in datasets) + " |",
        "|---|" + "---:|---:|" * len(datasets),
    ]
    for row in block["rows"]:
        told = [f"{row['values'][name]['max_f']:.4f} | {row['values'][name]['mae']:.4f}" for name in datasets]
        lines.append(f"| {row['method']} (printed) | " + " | ".join(told) + " |")
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
    for protocol in bench["protocols"]:
        views = [view for view in bench["views"] if view["protocol"] == protocol["name"]]
        if views:
            parts += _latex_table(bench, protocol, views, columns)
    return "\n".join(parts) + "\n"


def _latex_table(
    bench: Bench, protocol: Mapping[str, Any], views: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> list[str]:
    cells = _Cells(bench, views, columns)
    timed = any(one["seconds_per_picture"] is not None for one in bench["scores"])
    width = len(cells.columns)
    heads = " & ".join(f"\\multicolumn{{{width}}}{{c}}{{{escape_tex(view['label'])}}}" for view in views)
    rules = " ".join(
        f"\\cmidrule(lr){{{2 + number * width}-{1 + (number + 1) * width}}}" for number in range(len(views))
    )
    under = " & ".join(f"{escape_tex(labels()[name].text)} ${_arrow(name)}$" for _ in views for name in cells.columns)
    lines = [
        "\\begin{table}",
        "\\centering\\small",
        f"\\begin{{tabular}}{{l{'r' * (width * len(views) + timed)}}}",
        "\\toprule",
        f" & {heads}{' & ' if timed else ''} \\\\",
        rules,
        f"Method & {under}{' & ms / picture' if timed else ''} \\\\",
        "\\midrule",
    ]
    for method in cells.methods:
        line = [cells.latex(method, view["id"], name) for view in views for name in cells.columns]
        if timed:
            line.append(_milliseconds(cells.seconds(method)))
        lines.append(f"{escape_tex(method)} & " + " & ".join(line) + " \\\\")
    if bench.get("printed") and protocol is bench["protocols"][0]:
        lines += _printed_latex(bench, views, cells.columns, timed)
    told = " ".join(escape_tex(note.replace("**", "")) for note in notes(bench))
    return [*lines, "\\bottomrule", "\\end{tabular}", f"\\caption{{{told}}}", "\\end{table}", ""]


def _printed_latex(bench: Bench, views: Sequence[Mapping[str, Any]], columns: Sequence[str], timed: bool) -> list[str]:
    block = bench["printed"]
    span = 1 + len(views) * len(columns) + timed
    lines = [
        "\\midrule",
        f"\\multicolumn{{{span}}}{{l}}{{\\emph{{{escape_tex(block['label'])}, as printed, not measured}}}} \\\\",
    ]
    for row in block["rows"]:
        line = []
        for view in views:
            values = row["values"].get(view["dataset"], {})
            line += [f"{values[name]:.4f}" if name in values else "--" for name in columns]
        lines.append(f"{escape_tex(row['method'])} & " + " & ".join(line + ["--"] * timed) + " \\\\")
    return lines


def _arrow(name: str) -> str:
    return "\\uparrow" if labels()[name].higher else "\\downarrow"


def escape_tex(text: str) -> str:
    replaced = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    replaced |= {one: f"\\{one}" for one in "&%$#_{}"}
    replaced |= {NOT_SIGNIFICANT: "$\\approx$", ">": "$>$", "<": "$<$", "±": "$\\pm$"}
    return "".join(replaced.get(one, one) for one in text)


# --------------------------------------------------------------------------------------------------------------- cells


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:.0f}"


class _Cells:
    """The figures of some views, marked: who is best, and where that may be chance."""

    def __init__(self, bench: Bench, views: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        ids = {view["id"] for view in views}
        entries = [one for one in bench["scores"] if one["view"] in ids]
        self.at = {(one["method"], one["view"]): one for one in entries}
        self.methods = list(dict.fromkeys(one["method"] for one in entries))
        self.columns = [name for name in columns if entries and name in entries[0]["values"]]
        self.rank: dict[tuple[str, str, str], int] = {}
        self.tied: set[tuple[str, str, str]] = set()
        for view in ids:
            here = [one for one in entries if one["view"] == view]
            for name in self.columns if len(here) > 1 else ():
                ordered = ranked(here, name)
                levels = list(dict.fromkeys(round(one["values"][name], 4) for one in ordered))
                for one in ordered:
                    self.rank[one["method"], view, name] = levels.index(round(one["values"][name], 4))
        for one in bench["comparisons"]:
            if not one["significant"]:
                self.tied.add((one["first"], one["view"], one["score"]))

    def seconds(self, method: str) -> float | None:
        """Median over the views' data sets."""
        taken = sorted(
            one["seconds_per_picture"]
            for (name, _), one in self.at.items()
            if name == method and one["seconds_per_picture"] is not None
        )
        return taken[len(taken) // 2] if taken else None

    def _figure(self, method: str, view: str, name: str) -> tuple[str, str, int | None, bool]:
        one = self.at[method, view]
        interval = one["intervals"].get(name)
        bounds = "" if interval is None else f"[{interval[0]:.3f}, {interval[1]:.3f}]"
        key = (method, view, name)
        return f"{one['values'][name]:.4f}", bounds, self.rank.get(key), key in self.tied

    def markdown(self, method: str, view: str, name: str) -> str:
        if (method, view) not in self.at:
            return "-"
        text, bounds, rank, tied = self._figure(method, view, name)
        text = f"**{text}**" if rank == 0 else text
        return " ".join(part for part in (text + (f" {NOT_SIGNIFICANT}" if tied else ""), bounds) if part)

    def latex(self, method: str, view: str, name: str) -> str:
        if (method, view) not in self.at:
            return "--"
        text, bounds, rank, tied = self._figure(method, view, name)
        styles = {0: "\\textcolor{red}{\\textbf{%s}}", 1: "\\textcolor{blue}{\\underline{%s}}"}
        styles[2] = "\\textcolor{arnthird}{\\textit{%s}}"
        text = styles[rank] % text if rank in styles else text
        text += "$^{\\approx}$" if tied else ""
        return text + (f" {{\\scriptsize {bounds}}}" if bounds else "")
