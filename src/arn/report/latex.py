"""Tables of a bench in LaTeX (booktabs): short captions, labels, and by option siunitx's columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from arn.metrics.measures import labels
from arn.report.tables import NOT_SIGNIFICANT, Cells, by_protocol, notes, resized

Bench = Mapping[str, Any]

NUMBERS = ("plain", "siunitx")
"""How figures are set: as text to the right, or aligned at the point by siunitx's S columns."""

_PLAIN = ("\\textcolor{red}{\\textbf{%s}}", "\\textcolor{blue}{\\underline{%s}}", "\\textcolor{arnthird}{\\textit{%s}}")
_SIUNITX = ("\\color{red}\\bfseries %s", "\\color{blue}\\slshape %s", "\\color{arnthird}\\itshape %s")
_MARKS = {
    "plain": "red and bold, blue and underlined, green and italic",
    "siunitx": "red and bold, blue and slanted, green and italic",
}
_NEEDS = {
    "plain": "% \\usepackage{booktabs,xcolor}",
    "siunitx": "% \\usepackage{booktabs,xcolor,siunitx}\n% \\sisetup{mode=match}",
}


def latex(bench: Bench, columns: Sequence[str] = ("max_f", "mae"), numbers: str = "plain") -> str:
    """A table for each protocol, as in Markdown.

    The caption says what is shown and by which protocol; what makes figures doubtful is printed below them, and all
    other notes are comments above.

    The best three of a column are in red, blue and green as in Table 1, and told apart in black, too.
    """
    parts = [_NEEDS[numbers], "\\definecolor{arnthird}{rgb}{0,0.5,0}"]
    parts += [f"% {' '.join(note.replace('**', '').split())}" for note in notes(bench)]
    for number, cells in enumerate(by_protocol(bench, columns)):
        printed = bench["printed"] if bench.get("printed") and number == 0 else None
        parts += _table(bench, cells, numbers, printed)
    return "\n".join(parts) + "\n"


def _table(bench: Bench, cells: Cells, numbers: str, printed: Mapping[str, Any] | None) -> list[str]:
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
    write = {"plain": _plain_cell, "siunitx": _siunitx_cell(beside)}[numbers]
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
    return tex_table(align, top, body, _caption(cells, numbers), f"tab:{cells.protocol}", " ".join(doubts))


def _caption(cells: Cells, numbers: str) -> str:
    told = f"{cells.heading}."
    if any(rank > 0 for rank in cells.rank.values()):
        told += f" Best three: {_MARKS[numbers]}."
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


def _plain_cell(text: str, bounds: str, rank: int | None, tied: bool) -> str:
    text = _PLAIN[rank] % text if rank is not None and rank < len(_PLAIN) else text
    return text + ("$^{\\approx}$" if tied else "") + (f" {{\\scriptsize {bounds}}}" if bounds else "")


def _siunitx_cell(beside: bool) -> Any:
    """Of an S column, with the interval in a column of its own."""

    def write(text: str, bounds: str, rank: int | None, tied: bool) -> str:
        text = _SIUNITX[rank] % text if rank is not None and rank < len(_SIUNITX) else text
        text += " {$^{\\approx}$}" if tied and not beside else ""
        interval = ("$^{\\approx}$" if tied else "") + (f"{{\\scriptsize {bounds}}}" if bounds else "")
        return f"{text} & {interval}" if beside else text

    return write


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
    | {NOT_SIGNIFICANT: "$\\approx$", ">": "$>$", "<": "$<$", "±": "$\\pm$"}
)


def escape_tex(text: str) -> str:
    return text.translate(_TEX)
