"""Table 1 of the paper, cell by cell: what was measured, what is printed, and how far apart they are."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from arn.metrics.protocols import Protocol, get_protocol
from arn.report.latex import escape_tex, tex_row, tex_table
from arn.report.page import Section
from arn.report.tables import notes, pipes, resized

SCORES = {"max_f": "max F", "mae": "MAE"}

MEASURED_AS = {"MB": ("mb", "mbplus"), "KSR": ("ksr", "ksrapprox")}
"""Methods of this package, names without case and punctuation, that are a row of the table under another name: of MB
the paper does not say whether it is MB or MB+, and KSR is an approximation, see docs/rivals.md."""

Bench = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """A method as measured, or what the paper prints of a row that nothing measured is of (`measured` None)."""

    method: str
    measured: Mapping[tuple[str, str], float] | None
    printed: Mapping[tuple[str, str], float]

    def cells(self, columns: list[tuple[str, str]], at_hand: set[str]) -> Iterator[tuple[str, str, str]]:
        """Measured, printed and their difference of each column, in words where there is none."""
        for column in columns:
            found = (self.measured or {}).get(column)
            given = self.printed.get(column)
            if found is None:
                why = "no data" if column[0] not in at_hand else "no weights" if self.measured is None else "not scored"
            gap = "" if found is None or given is None else f"{found - given:+.4f}"
            yield (why if found is None else f"{found:.4f}", "" if given is None else f"{given:.4f}", gap)


def rows_of(bench: Bench) -> list[Row]:
    """The paper's rows in its order, each followed by what else of it was measured, then what it does not have."""
    places = _places(bench)
    measured: dict[str, dict[tuple[str, str], float]] = {}
    for one in bench["scores"]:
        of_method = measured.setdefault(one["method"], {})
        for name, value in one["values"].items():
            if (one["view"], name) in places:
                of_method[places[one["view"], name], name] = value
    rows: list[Row] = []
    for block in bench["printed"]["rows"]:
        name = block["method"]
        printed = {(dataset, score): value for dataset, of in block["values"].items() for score, value in of.items()}
        wanted = MEASURED_AS.get(name, (_plain(name),))
        found = [method for method in measured if _plain(method) in wanted]
        rows += [Row(_named(name, method), measured.pop(method), printed) for method in found]
        rows += [] if found else [Row(name, None, printed)]
    return rows + [Row(method, values, {}) for method, values in measured.items()]


def _places(bench: Bench) -> dict[tuple[str, str], str]:
    """Which column each score of each view stands in, of the first protocol alone.

    A data set with several views, as with graded masks, has a score where its own protocol takes it: of PASCAL-S F from
    masks of at least a tenth, MAE from those above half. What is a part of a set's pictures is a column of its own.
    """
    base = get_protocol(bench["protocols"][0]["name"].partition("@")[0])
    here = [view for view in bench["views"] if view["protocol"].partition("@")[0] == base.name]
    places = {}
    for dataset in dict.fromkeys(view["dataset"] for view in here):
        views = [view for view in here if view["dataset"] == dataset]
        whole = [view for view in views if view["pictures"] == max(one["pictures"] for one in views)]
        for score in SCORES:
            own = [view for view in whole if _level(view["protocol"], score) == _level(base, score)]
            places[(own or whole)[0]["id"], score] = dataset
        places |= {(view["id"], score): view["label"] for view in views if view not in whole for score in SCORES}
    return places


def _level(protocol: str | Protocol, score: str) -> int | None:
    chosen = get_protocol(protocol)
    return chosen.mae_mask_level if score == "mae" else chosen.mask_level


def _named(printed: str, method: str) -> str:
    return method if method == printed else f"{printed} ({method})"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("+", "plus"))


def columns_of(bench: Bench) -> tuple[list[tuple[str, str]], set[str]]:
    """The columns, (data set, score), and the sets whose pictures are there."""
    sets = list(dict.fromkeys(name for row in bench["printed"]["rows"] for name in row["values"]))
    here = dict.fromkeys(_places(bench).values())
    return [(name, score) for name in dict.fromkeys([*sets, *here]) for score in SCORES], set(here)


def markdown(bench: Bench) -> str:
    """Three lines a method: measured, printed, difference."""
    columns, at_hand = columns_of(bench)
    lines = [pipes(["method", "", *(f"{name} {SCORES[score]}" for name, score in columns)])]
    lines.append("|---|---|" + "---:|" * len(columns))
    for row in rows_of(bench):
        measured, printed, gaps = zip(*row.cells(columns, at_hand), strict=True)
        lines.append(pipes([row.method, "measured", *measured]))
        if row.printed:
            lines += [pipes(["", "*printed*", *(f"*{one}*" if one else "" for one in printed)])]
            lines += [pipes(["", "difference", *gaps])] * (row.measured is not None)
    return "\n".join([f"**{heading(bench)}**", "", *lines, "", *(f"- {note}" for note in told(bench))]) + "\n"


def latex(bench: Bench) -> str:
    columns, at_hand = columns_of(bench)
    body = []
    for row in rows_of(bench):
        measured, printed, gaps = zip(*row.cells(columns, at_hand), strict=True)
        body.append(tex_row([escape_tex(row.method), *measured]))
        if row.printed:
            body.append(tex_row(["\\quad printed", *(f"\\textit{{{one}}}" if one else "" for one in printed)]))
            signed = [f"${gap}$" if gap else "" for gap in gaps]  # a minus, no hyphen
            body += [tex_row(["\\quad difference", *signed])] * (row.measured is not None)
    sets = list(dict.fromkeys(name for name, _ in columns))
    heads = tex_row(["", *(f"\\multicolumn{{{len(SCORES)}}}{{c}}{{{escape_tex(name)}}}" for name in sets)])
    under = tex_row(["Method", *(SCORES[score] for _, score in columns)])
    comments = [f"% {' '.join(note.replace('**', '').split())}" for note in told(bench)]
    caption, doubts = escape_tex(heading(bench)) + ".", " ".join([*bench["warnings"], *resized(bench)])
    table = tex_table("l" + "r" * len(columns), [heads, under], body, caption, "tab:table1", doubts)
    return "\n".join(["% \\usepackage{booktabs}", *comments, *table]) + "\n"


def section(bench: Bench) -> Section:
    """For the page."""
    columns, at_hand = columns_of(bench)
    head = "".join(f"<th>{html.escape(f'{name} {SCORES[score]}')}</th>" for name, score in columns)
    lines = []
    for row in rows_of(bench):
        measured, printed, gaps = zip(*row.cells(columns, at_hand), strict=True)
        parts = [(row.method, measured)]
        parts += [("printed", printed)] if row.printed else []
        parts += [("difference", gaps)] if row.printed and row.measured is not None else []
        for name, cells in parts:
            figures = "".join(f"<td>{html.escape(one)}</td>" for one in cells)
            lines.append(f'<tr><th scope="row">{html.escape(name)}</th>{figures}</tr>')
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return Section(heading(bench), f'<div class="scroll">{table}</div>')


def heading(bench: Bench) -> str:
    return f"Table 1, measured and as printed, protocol {bench['protocols'][0]['name'].partition('@')[0]}"


def told(bench: Bench) -> list[str]:
    """What stands below it."""
    marks = "no data: the data set is not on this machine. no weights: nothing of that method was given; checkpoints= "
    marks += "and maps= take it. difference: measured less printed."
    return [marks, f"Printed: {bench['printed']['note']}", *notes(bench)]
