"""Tables of a bench in LaTeX (booktabs): short captions, labels, and by option siunitx's columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from arn.metrics.measures import labels
from arn.report.tables import NOT_SIGNIFICANT, Cells, by_protocol, notes, resized

Bench = Mapping[str, Any]

NUMBERS = ("plain", "siunitx")
"""How figures are set: as text to the right, or aligned at the point by siunitx's S columns."""

MARKS = ("black", "colour")
"""How the best three of a column are told apart: by letters alone, or in red, blue and green as in Table 1, too."""

_LETTERS = {
    "plain": ("\\textbf{%s}", "\\underline{%s}", "\\textit{%s}"),
    "siunitx": ("\\bfseries %s", "\\slshape %s", "\\itshape %s"),
}
_COLOURS = {
    "plain": ("\\textcolor{red}{%s}", "\\textcolor{blue}{%s}", "\\textcolor{arnthird}{%s}"),
    "siunitx": ("\\color{red}%s", "\\color{blue}%s", "\\color{arnthird}%s"),
}
_SAID = {"plain": ("bold", "underlined", "italic"), "siunitx": ("bold", "slanted", "italic")}


@dataclass(frozen=True)
class Form:
    """What a table looks like: one of `NUMBERS` and one of `MARKS`."""

    numbers: str = "plain"
    marks: str = "black"

    @property
    def preamble(self) -> list[str]:
        colour, aligned = self.marks == "colour", self.numbers == "siunitx"
        lines = ["% \\usepackage{booktabs" + ",xcolor" * colour + ",siunitx" * aligned + "}"]
        lines += ["% \\sisetup{mode=match,reset-text-series=false,reset-text-shape=false}"] * aligned
        return lines + ["\\definecolor{arnthird}{rgb}{0,0.5,0}"] * colour

    @property
    def said(self) -> str:
        """Of a caption: how the best three are marked."""
        letters = _SAID[self.numbers]
        if self.marks == "black":
            return ", ".join(letters)
        return ", ".join(f"{colour} and {way}" for colour, way in zip(("red", "blue", "green"), letters, strict=True))

    def marked(self, text: str, rank: int | None) -> str:
        """`rank` counts from 0."""
        if rank is None or rank >= len(_LETTERS[self.numbers]):
            return text
        text = _LETTERS[self.numbers][rank] % text
        return _COLOURS[self.numbers][rank] % text if self.marks == "colour" else text


def latex(bench: Bench, columns: Sequence[str] = ("max_f", "mae"), form: Form = Form()) -> str:
    """A table for each protocol, as in Markdown.

    The caption says what is shown and by which protocol; what makes figures doubtful is printed below them, and all
    other notes are comments above.
    """
    parts = form.preamble
    parts += [f"% {' '.join(note.replace('**', '').split())}" for note in notes(bench)]
    for number, cells in enumerate(by_protocol(bench, columns)):
        printed = bench["printed"] if bench.get("printed") and number == 0 else None
        parts += _table(bench, cells, form, printed)
    return "\n".join(parts) + "\n"


def _table(bench: Bench, cells: Cells, form: Form, printed: Mapping[str, Any] | None) -> list[str]:
    numbers = form.numbers
    beside = numbers == "siunitx" and any(one["intervals"] for one in cells.at.values())
    each = 2 if beside else 1  # columns of a figure
    width = each * len(cells.columns)
    heads = [f"\\multicolumn{{{width}}}{{c}}{{{escape_tex(view['label'])}}}" for view in cells.views]
    starts = [2 + number * width for number in range(len(cells.views))]
    rules = " ".join(f"\\cmidrule(lr){{{start}-{start + width - 1}}}" for start in starts)
    under = []
    for _, name in cells.across:
        arrow = "\\uparrow" if labels()[name].higher else "\\downarrow"
        told = f"{escape_tex(labels()[name].text)} ${arrow}$"
        under.append(f"\\multicolumn{{{each}}}{{c}}{{{told}}}" if numbers == "siunitx" else told)
    write = partial(_plain_cell if numbers == "plain" else _siunitx_cell, form, beside)
    missing = {"plain": "--", "siunitx": "{--}" + " &" * beside}[numbers]
    body = []
    for method in cells.methods:
        _, *figures = cells.line(method, write, missing)
        body.append(tex_row([escape_tex(method), *figures]))
    if printed:
        body += _printed(printed, cells, each, missing)
    top = [tex_row(["", *heads, *("" for _ in cells.timing)]), rules, tex_row(["Method", *under, *cells.timing])]
    of_figure = {"plain": "r", "siunitx": "S[table-format=1.4]" + "@{\\,}l" * beside}[numbers]
    align = "l" + of_figure * len(cells.across) + "r" * len(cells.timing)
    doubts = [warning.replace("**", "") for warning in [*bench["warnings"], *resized(bench)]]
    return tex_table(align, top, body, _caption(cells, form), f"tab:{cells.protocol}", " ".join(doubts))


def _caption(cells: Cells, form: Form) -> str:
    told = f"{cells.heading}."
    if any(rank > 0 for rank in cells.rank.values()):
        told += f" Best three: {form.said}."
    if cells.tied:
        told += f" {NOT_SIGNIFICANT}: not significantly better than the next."
    return escape_tex(told)


def tex_table(
    align: str, head: Iterable[str], body: Iterable[str], caption: str, label: str = "", below: str = ""
) -> list[str]:
    """The lines of a table. `align`: LaTeX's letters of its columns; `caption` is LaTeX, head and body are rows of it;
    `below`, text, is printed in small type under them."""
    opened = ["\\begin{table}", "\\centering\\small", f"\\caption{{{caption}}}"]
    opened += [f"\\label{{{label}}}"] * bool(label)
    opened += [f"\\begin{{tabular}}{{{align}}}", "\\toprule"]
    closed = ["\\bottomrule", "\\end{tabular}"]
    if below:
        closed += [f"\\par\\smallskip\\parbox{{\\linewidth}}{{\\footnotesize {escape_tex(below)}}}"]
    return [*opened, *head, "\\midrule", *body, *closed, "\\end{table}", ""]


def tex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _plain_cell(form: Form, _beside: bool, text: str, bounds: str, rank: int | None, tied: bool) -> str:
    text = form.marked(text, rank)
    return text + ("$^{\\approx}$" if tied else "") + (f" {{\\scriptsize {bounds}}}" if bounds else "")


def _siunitx_cell(form: Form, beside: bool, text: str, bounds: str, rank: int | None, tied: bool) -> str:
    """Of an S column; with intervals `beside` them, in a column of their own."""
    text, mark = form.marked(text, rank), "$^{\\approx}$" if tied else ""
    if beside:
        return f"{text} & {mark}" + (f"{{\\scriptsize {bounds}}}" if bounds else "")
    return f"{text} {{{mark}}}" if mark else text


def _printed(block: Mapping[str, Any], cells: Cells, each: int, missing: str) -> list[str]:
    told = f"\\emph{{{escape_tex(block['label'])}, as printed, not measured}}"
    count = 1 + each * len(cells.across) + len(cells.timing)
    lines = ["\\midrule", f"\\multicolumn{{{count}}}{{l}}{{{told}}} \\\\"]
    for row in block["rows"]:
        values = [row["values"].get(view["dataset"], {}).get(name) for view, name in cells.across]
        figures = [missing if value is None else f"{value:.4f}" + " &" * (each - 1) for value in values]
        lines.append(tex_row([escape_tex(row["method"]), *figures, *("--" for _ in cells.timing)]))
    return lines


_TEX = str.maketrans(
    {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    | {one: f"\\{one}" for one in "&%$#_{}"}
    | {"|": "\\textbar{}", "[": "{[}", "*": "{*}"}  # the last two would be arguments of the \\\\ before them
    | {NOT_SIGNIFICANT: "$\\approx$", ">": "$>$", "<": "$<$", "±": "$\\pm$"}
)


def escape_tex(text: str) -> str:
    return text.translate(_TEX)
