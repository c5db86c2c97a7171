"""What a sweep found: each variant's scores over its seeds, its differences from the full model, and what it costs.

Two kinds of chance are told apart. Over pictures: bootstrap intervals and paired sign-flip tests, the trained networks
held fixed. Over trainings: the standard deviation over seeds, and the difference at each seed. A difference that is
significant over pictures and smaller than the spread over seeds says that these networks differ, not their designs.
"""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arn.evaluation.results import SCHEMA, describe_protocols, describe_view, kept_curves
from arn.evaluation.statistics import bootstrap, compare, correct
from arn.evaluation.views import View
from arn.metrics.measures import labels, listed
from arn.report.latex import escape_tex, tex_row, tex_table
from arn.report.page import Section
from arn.report.runs import Variant, numeric_key
from arn.report.tables import NOT_SIGNIFICANT, pipes, to_csv

SCORED = ("max_f", "mae")

Report = Mapping[str, Any]


def make_report(
    found: Sequence[Variant], full: Variant, *, resamples: int, confidence: float, seed: int
) -> dict[str, Any]:
    """The content of report.json.

    ``variants``: name, settings, seeds, folders and cost of each. ``scores``: one entry a variant, test set and score,
    with its ``difference`` from `full`, which is None for `full` itself and without resampling. P values are corrected
    over all differences of the report together (Holm).
    """
    options: dict[str, Any] = {"resamples": resamples, "confidence": confidence, "seed": seed}
    tested = full.runs[0].rows
    scores: list[dict[str, Any]] = []
    for dataset in tested:
        for variant in found:
            tables = {run.seed: run.rows[dataset] for run in variant.runs}
            sampled = resamples and len(tested[dataset]) > 1
            sure = bootstrap(list(tables.values()), SCORED, **options) if sampled else {}
            gaps = _differences(variant, full, dataset, options) if sure and variant is not full else {}
            computed = {number: table.compute() for number, table in tables.items()}
            for name in SCORED:
                by_seed = {number: float(values[name]) for number, values in computed.items()}
                place = {"variant": variant.name, "dataset": dataset, "score": name}
                spread = {"mean": statistics.fmean(by_seed.values()), "sd": _deviation(by_seed), "by_seed": by_seed}
                low, high = (sure[name].low, sure[name].high) if sure else (None, None)
                scores.append(place | spread | {"low": low, "high": high, "difference": gaps.get(name)})
    correct([one["difference"] for one in scores if one["difference"]], confidence)
    return {
        "schema": SCHEMA,
        "reference": full.name,
        "axis": numeric_key(found),
        "datasets": {dataset: len(rows) for dataset, rows in tested.items()},
        "protocols": describe_protocols({rows.protocol for rows in tested.values()}),
        "variants": [_describe(one) for one in found],
        "scores": scores,
        "options": options,
    }


def _differences(variant: Variant, full: Variant, dataset: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Variant minus full by score, over the seeds that both have; without a common one, in the order of their seeds."""
    ours, theirs = ({run.seed: run.rows[dataset] for run in one.runs} for one in (variant, full))
    common = sorted(ours.keys() & theirs.keys())
    pairs = [(ours[one], theirs[one]) for one in common] or list(zip(ours.values(), theirs.values(), strict=False))
    tested = compare([one for one, _ in pairs], [other for _, other in pairs], SCORED, **options)
    found: dict[str, Any] = {}
    for name, one in tested.items():
        gap = one.difference
        by_seed = {number: float(ours[number].compute()[name] - theirs[number].compute()[name]) for number in common}
        same_sign = len({value > 0 for value in by_seed.values()}) == 1 if by_seed else None
        found[name] = {"estimate": gap.estimate, "low": gap.low, "high": gap.high, "p": one.p_sign_flip}
        found[name] |= {"by_seed": by_seed, "sd": _deviation(by_seed), "same_sign": same_sign}
    return found


def _deviation(by_seed: Mapping[int, float]) -> float | None:
    return statistics.stdev(by_seed.values()) if len(by_seed) > 1 else None


def _describe(variant: Variant) -> dict[str, Any]:
    records = [run.record for run in variant.runs]

    def mean(key: str) -> float | None:
        values = [float(one[key]) for one in records if one.get(key) is not None]
        return statistics.fmean(values) if values else None

    return {
        "name": variant.name,
        "settings": variant.settings,
        "seeds": variant.seeds,
        "folders": [run.folder.name for run in variant.runs],
        "parameters": records[0]["parameters"],
        "training_seconds": mean("training_seconds"),
        "training_seconds_per_picture": mean("seconds_per_picture"),
        "pictures_trained_on": mean("pictures_trained_on"),
        "seconds_per_map": mean("seconds_per_map"),
        "backbone_weights": sorted({str(one.get("backbone_weights")) for one in records}),
        "commits": sorted({str(one.get("commit"))[:12] for one in records}),
        "processors": sorted({str(one.get("processor")) for one in records}),
    }


def warnings(report: Report, unfinished: int) -> list[str]:
    """What must not be overlooked beside the figures."""
    told = []
    if unfinished:
        told.append(f"{unfinished} runs of the sweep are begun and not finished: they are missing here.")
    seeds = {tuple(one["seeds"]) for one in report["variants"]}
    if all(len(one) == 1 for one in seeds):
        told.append("One seed each: nothing here says how much another training of the same network would differ.")
    elif len(seeds) > 1:
        told.append("The variants have different seeds; differences are over the common ones.")
    trained = {round(one["pictures_trained_on"]) for one in report["variants"] if one["pictures_trained_on"]}
    if len(trained) > 1:
        counts = ", ".join(f"{count:,}" for count in sorted(trained))
        told.append(f"The variants were not trained on as many pictures: {counts}.")
    for key, what in (("commits", "commits of ARN"), ("processors", "processors"), ("backbone_weights", "backbones")):
        seen = sorted({value for one in report["variants"] for value in one[key]})
        if len(seen) > 1:
            told.append(f"The runs are of different {what}: {', '.join(seen)}.")
    return told


def notes(report: Report) -> list[str]:
    """What must stand below the tables."""
    options = report["options"]
    told = [f"**{one}**" for one in report.get("warnings", ())]
    told += [f"Protocol {one['description']}. Source: {one['source']}." for one in report["protocols"]]
    told.append("Test pictures: " + ", ".join(f"{name} {count:,}" for name, count in report["datasets"].items()) + ".")
    told.append("Scores: mean over seeds ± standard deviation over seeds.")
    if options["resamples"]:
        tested = sum(one["difference"] is not None for one in report["scores"])
        told.append(
            f"Differences are variant minus {report['reference']}, of the means over the common seeds; in brackets, "
            f"the {options['confidence']:.0%} bootstrap interval over pictures; p: paired sign-flip test over pictures "
            f"({options['resamples']:,} resamples, seed {options['seed']}), Holm over {tested}. Both hold the trained "
            "networks fixed; the differences at each seed stand beside, for what another training may change."
        )
        told.append(f"{NOT_SIGNIFICANT}: not significantly different from {report['reference']}.")
    told.append(
        "Cost: training in minutes, loading included, validation not; ms / map on the CPU, one map at a time. Both "
        "were measured on a machine that may have been busy with other jobs."
    )
    return told


# -------------------------------------------------------------------------------------------------------------- writers


def _entries(report: Report, variant: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(one["dataset"], one["score"]): one for one in report["scores"] if one["variant"] == variant}


def _tables(report: Report) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, head, lines) of the scores, and of the differences where there are any."""
    across = [(dataset, score) for dataset in report["datasets"] for score in SCORED]
    head = ["variant", "seeds", *(f"{dataset} {labels()[score].text}" for dataset, score in across)]
    head += ["parameters", "training, min", "ms / map"]
    lines = []
    for one in report["variants"]:
        cells = _entries(report, one["name"])
        name = one["name"] + (" (reference)" if one["name"] == report["reference"] else "")
        seconds, each = one["training_seconds"], one["seconds_per_map"]
        cost = [f"{one['parameters']:,}", "" if seconds is None else f"{seconds / 60:.1f}"]
        cost.append("" if each is None else f"{1000 * each:.1f}")
        lines.append([name, str(len(one["seeds"])), *(_score(cells[key]) for key in across), *cost])
    tables = [("Scores over seeds, and cost", head, lines)]
    tested = [one for one in report["scores"] if one["difference"]]
    if tested:
        head = ["variant", "set", "score", "difference", "over pictures", "p (Holm)", "at each seed"]
        tables.append((f"Differences from {report['reference']}", head, [_difference(one) for one in tested]))
    return tables


def _score(one: Mapping[str, Any]) -> str:
    deviation = "" if one["sd"] is None else f" ± {one['sd']:.4f}"
    tied = f" {NOT_SIGNIFICANT}" if one["difference"] and not one["difference"]["significant"] else ""
    return f"{one['mean']:.4f}{deviation}{tied}"


def _difference(one: Mapping[str, Any]) -> list[str]:
    gap = one["difference"]
    cells = [one["variant"], one["dataset"], labels()[one["score"]].text, f"{gap['estimate']:+.4f}"]
    cells += [f"[{gap['low']:+.4f}, {gap['high']:+.4f}]", f"{gap['p_holm']:.4f}"]
    return [*cells, ", ".join(f"{value:+.4f}" for value in gap["by_seed"].values()) or "-"]


def markdown(report: Report) -> str:
    parts = []
    for _, head, lines in _tables(report):
        rows = [head, ["---"] * len(head), *lines]
        parts.append("\n".join(map(pipes, rows)))
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes(report))]) + "\n"


def latex(report: Report) -> str:
    """Both tables for a paper, booktabs; all notes as comments above them."""
    parts = ["% \\usepackage{booktabs}", *(f"% {' '.join(note.replace('**', '').split())}" for note in notes(report))]
    protocol = report["protocols"][0]["name"]
    captions = f"Scores over seeds, protocol {protocol}.", f"Differences from the reference, protocol {protocol}."
    names = ("variants", "differences")
    for (_, head, lines), caption, name in zip(_tables(report), captions, names, strict=False):
        top, *body = (tex_row(map(escape_tex, line)) for line in (head, *lines))
        align = "l" + "r" * (len(head) - 1)
        parts += tex_table(align, [top], body, escape_tex(caption), f"tab:{name}-{protocol}")
    return "\n".join(parts) + "\n"


def csv(report: Report) -> str:
    """One row a variant, test set and score."""
    measured, cost = ("mean", "sd", "low", "high"), ("parameters", "training_seconds", "seconds_per_map")
    tested = {
        "estimate": "difference",
        "low": "difference_low",
        "high": "difference_high",
        "p": "p",
        "p_holm": "p_holm",
    }
    settings = report["variants"][0]["settings"]
    head = ["variant", *settings, "dataset", "score", "seeds", *measured, *tested.values(), *cost]
    described = {one["name"]: one for one in report["variants"]}
    lines = []
    for one in report["scores"]:
        variant, gap = described[one["variant"]], one["difference"] or {}
        line = [one["variant"], *variant["settings"].values(), one["dataset"], one["score"]]
        line += [" ".join(map(str, variant["seeds"])), *(one[key] for key in measured)]
        lines.append([*line, *map(gap.get, tested), *(variant[key] for key in cost)])
    return to_csv(head, lines)


def sections(report: Report, drawn: Mapping[str, bytes]) -> list[Section]:
    """The parts of the page that a bench does not have: both tables, and the figures as inline SVG."""
    parts = [Section(title, _html_table(head, lines)) for title, head, lines in _tables(report)]
    for name, data in drawn.items():
        if name.endswith(".svg"):
            text = data.decode()
            title = name.removesuffix(".svg").replace("_", " ").capitalize()
            parts.append(Section(title, text[text.index("<svg") :]))
    told = "".join(f"<li>{html.escape(note.replace('**', ''))}</li>" for note in notes(report))
    return [*parts, Section("Notes", f"<ul>{told}</ul>")]


def _html_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(row(line, "td") for line in lines)
    return f"<table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"


def as_bench(report: Report, found: Sequence[Variant]) -> dict[str, Any]:
    """The same findings in the form of bench.json, for the page: a variant is a method, its scores the seeds' means.

    Comparisons of the best with the next are left out: the report's are with the reference, in its own table.
    """
    views = [
        describe_view(View(dataset, dataset, found[0].runs[0].rows[dataset].protocol), pictures)
        for dataset, pictures in report["datasets"].items()
    ]
    entries = []
    for view in views:
        for variant, described in zip(found, report["variants"], strict=True):
            tables = [run.rows[view["dataset"]] for run in variant.runs]
            computed, measures = [one.compute() for one in tables], tables[0].measures
            scored = [one for (name, _), one in _entries(report, variant.name).items() if name == view["dataset"]]
            curves = {name: np.mean([one[name] for one in computed], axis=0) for name in kept_curves(measures)}
            entries.append(
                {
                    "method": variant.name,
                    "view": view["id"],
                    "pictures": view["pictures"],
                    "of": view["pictures"],
                    "values": {name: float(np.mean([one[name] for one in computed])) for name in listed(measures)},
                    "intervals": {one["score"]: [one["low"], one["high"]] for one in scored if one["low"] is not None},
                    "curves": {name: curve.tolist() for name, curve in curves.items()},
                    "seconds_per_picture": described["seconds_per_map"],
                    "device": "cpu",
                }
            )
    methods = [
        {"name": one["name"], "kind": "checkpoint", "source": ", ".join(one["folders"]), "trained_on": None}
        | {"parameters": one["parameters"]}
        for one in report["variants"]
    ]
    return {
        "schema": SCHEMA,
        "title": f"{len(found)} variants on {', '.join(report['datasets'])}",
        "provenance": report["provenance"] | report["options"],
        "methods": methods,
        "protocols": report["protocols"],
        "views": views,
        "scores": entries,
        "comparisons": [],
        "warnings": report["warnings"],
        "printed": None,
    }
