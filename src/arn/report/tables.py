"""Tables of a bench in Markdown and CSV, made from the content of bench.json; in LaTeX: :mod:`arn.report.latex`."""

from __future__ import annotations

import csv
import io
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from arn.evaluation.results import ranked, scores_in
from arn.metrics.functional import Rows
from arn.metrics.measures import labels, per_picture

Bench = Mapping[str, Any]

FORMULA = tuple("=+-@\t\r")
"""What a formula may begin with."""
_NUMBER = re.compile(r"[+-]?[0-9.]+")

# A tie with the next, as far as these pictures can tell.
NOT_SIGNIFICANT = "≈"


def scores_csv(bench: Bench) -> str:
    """One row per method and view: every score with the ends of its interval."""
    return to_csv(*scores_table(bench))


def scores_table(bench: Bench, protocol: str | None = None) -> tuple[list[str], list[list[Any]]]:
    """Head and rows of scores.csv, or those of one protocol."""
    names = scores_in(bench["scores"])
    ends = [f"{name}_{end}" for name in names for end in ("low", "high")]
    counted = ["pictures", "of", "seconds_per_picture", "device", "resized"]
    views = {view["id"]: view for view in bench["views"]}
    lines = []
    for one in bench["scores"]:
        view = views[one["view"]]
        if protocol not in (None, view["protocol"]):
            continue
        intervals = [end for name in names for end in one["intervals"].get(name, (None, None))]
        line = [one["method"], view["dataset"], view["label"], view["protocol"], *map(one["values"].get, names)]
        lines.append([*line, *intervals, *(one.get(key) for key in counted)])
    return ["method", "dataset", "view", "protocol", *names, *ends, *counted], lines


def per_image_csv(rows: Sequence[tuple[str, str, str, Rows]]) -> str:
    """One row per method, view and picture; `rows` are (method, data set, view's label, its rows)."""
    names = per_picture(rows[0][3].measures) if rows else []
    lines = (
        [method, dataset, label, table.protocol.name, stem, *map(float, values)]
        for method, dataset, label, table in rows
        for stem, *values in zip(table.stems, *(table[name] for name in names), strict=True)
    )
    return to_csv(["method", "dataset", "view", "protocol", "stem", *names], lines)


def to_csv(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """Floats with six decimals, nothing for None; a name that a spreadsheet would take for a formula gets a quote."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(map(_csv_cell, line) for line in lines)
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, str) and value[:1] in FORMULA and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


# ------------------------------------------------------------------------------------------------------------ Markdown


def markdown(bench: Bench, columns: Sequence[str] = ("max_f", "mae")) -> str:
    """A table for each protocol, which its heading names: methods down, views and `columns` across, intervals beside
    figures; notes below."""
    parts = []
    for cells in by_protocol(bench, columns):
        parts.append(f"**{cells.heading}**")
        heads = [f"{view['label']} {labels()[name].text}" for view, name in cells.across]
        parts.append(_aligned([*heads, *cells.timing], [cells.line(one, _markdown_cell, "-") for one in cells.methods]))
    if block := bench.get("printed"):
        datasets = dict.fromkeys(name for row in block["rows"] for name in row["values"])
        heads = [f"{name} {score}" for name in datasets for score in ("max F", "MAE")]
        lines = []
        for row in block["rows"]:
            figures = [f"{row['values'][name][score]:.4f}" for name in datasets for score in ("max_f", "mae")]
            lines.append([f"{row['method']} (printed)", *figures])
        parts.append(f"*{block['label']}: {block['note']}*\n\n{_aligned(heads, lines)}")
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes(bench))]) + "\n"


def pipes(cells: Iterable[str]) -> str:
    """A row of a Markdown table, whatever its cells hold."""
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def _aligned(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of methods, figures to the right."""
    return "\n".join([pipes(["method", *heads]), "|---|" + "---:|" * len(heads), *map(pipes, lines)])


def _markdown_cell(text: str, bounds: str, rank: int | None, tied: bool) -> str:
    text = f"**{text}**" if rank == 0 else text + {1: " ²", 2: " ³"}.get(rank if rank is not None else 0, "")
    return " ".join([text, *[NOT_SIGNIFICANT] * tied, *[bounds] * bool(bounds)])


def notes(bench: Bench) -> list[str]:
    """What must stand below a table: warnings, protocols, readings of masks, intervals, timing."""
    told = [f"**{warning}**" for warning in bench["warnings"]]
    told += resized(bench)
    told += [f"Protocol {one['description']}. Source: {one['source']}." for one in bench["protocols"]]
    told += [f"{view['label']}: {view['note']}." for view in bench["views"] if view["note"]]
    scored = {one["view"].rpartition("/")[0]: one["pictures"] for one in bench["scores"]}
    counts = {}
    for view in bench["views"]:
        label, count = view["label"], view["pictures"]
        part = scored.get(label, count)
        counts[label] = f"{label} {count:,}" if part == count else f"{label} {part:,} of {count:,}"
    told.append(f"Pictures: {', '.join(counts.values())}.")
    source = bench["provenance"]
    if any(one["intervals"] for one in bench["scores"]):
        told.append(
            f"In brackets: {source['confidence']:.0%} bootstrap interval over pictures ({source['resamples']:,} "
            f"resamples, seed {source['seed']}). It says nothing of other training runs of the same network."
        )
    if any(len([one for one in bench["scores"] if one["view"] == view["id"]]) > 2 for view in bench["views"]):
        told.append("Best in bold; ² and ³: second and third.")
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


def resized(bench: Bench) -> list[str]:
    """What was done to maps of another size than their masks."""
    sets = {view["id"]: view["dataset"] for view in bench["views"]}
    told: dict[tuple[str, str], list[str]] = {}
    for one in bench["scores"]:
        if one.get("resized"):
            told.setdefault((one["method"], one["resized"]), []).append(sets[one["view"]])
    alike: dict[str, list[str]] = {}
    for (method, resized), on in told.items():
        where = f" on {', '.join(dict.fromkeys(on))}" if len(set(sets.values())) > 1 else ""
        alike.setdefault(f"{resized}{where}", []).append(method)
    return [f"{', '.join(methods)}: maps {what}." for what, methods in alike.items()]


# --------------------------------------------------------------------------------------------------------------- cells


def by_protocol(bench: Bench, columns: Sequence[str]) -> list[Cells]:
    tables = [Cells(bench, protocol["name"], columns) for protocol in bench["protocols"]]
    return [cells for cells in tables if cells.views]


class Cells:
    """The figures of a protocol's views, marked: who is best, and where that may be chance.

    `across` is (view, score) of each column of figures, `timing` the heading of the methods' times, if there are any.
    """

    def __init__(self, bench: Bench, protocol: str, columns: Sequence[str]) -> None:
        self.protocol = protocol
        self.views = [view for view in bench["views"] if view["protocol"] == protocol]
        ids = {view["id"] for view in self.views}
        entries = [one for one in bench["scores"] if one["view"] in ids]
        self.at = {(one["method"], one["view"]): one for one in entries}
        self.methods = list(dict.fromkeys(one["method"] for one in entries))
        self.columns = [name for name in columns if entries and name in entries[0]["values"]]
        self.across = [(view, name) for view in self.views for name in self.columns]
        timed = any(one["seconds_per_picture"] is not None for one in bench["scores"])
        self.timing = ["ms / picture"] if timed else []
        self.rank: dict[tuple[str, str, str], int] = {}
        for view, name in self.across:
            ordered = ranked([one for one in entries if one["view"] == view["id"]], name)
            levels = list(dict.fromkeys(round(one["values"][name], 4) for one in ordered))
            for one in ordered if len(ordered) > 1 else ():
                place = levels.index(round(one["values"][name], 4))
                if place == 0 or len(ordered) > 2:  # of two, nobody needs to be told which is the second
                    self.rank[one["method"], view["id"], name] = place
        ties = [one for one in bench["comparisons"] if not one["significant"]]
        self.tied = {(one["first"], one["view"], one["score"]) for one in ties}

    @property
    def heading(self) -> str:
        """``max F and MAE on ECSSD and SOD, protocol arn2018``."""
        scores, sets = [labels()[name].text for name in self.columns], [view["label"] for view in self.views]
        return f"{_and(scores)} on {_and(sets)}, protocol {self.protocol}"

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
        if self.timing:
            taken = [one["seconds_per_picture"] for (name, _), one in self.at.items() if name == method]
            taken = [1000 * seconds for seconds in taken if seconds is not None]
            median = statistics.median_high(taken) if taken else None
            cells.append("" if median is None else f"{median:.3g}" if median < 1000 else f"{median:.0f}")
        return cells


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
