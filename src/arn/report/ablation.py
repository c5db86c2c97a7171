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

from arn.evaluation.results import SCHEMA, describe_protocols, kept_curves
from arn.evaluation.statistics import bootstrap, compare, holm
from arn.metrics.functional import Rows
from arn.metrics.measures import labels, listed
from arn.report.page import Section
from arn.report.runs import Variant, numeric_key
from arn.report.tables import NOT_SIGNIFICANT, escape_tex, to_csv

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
    datasets = list(full.runs[0].rows)
    scores: list[dict[str, Any]] = []
    for dataset in datasets:
        for variant in found:
            tables = [run.rows[dataset] for run in variant.runs]
            sure = bootstrap(tables, SCORED, **options) if resamples and len(tables[0]) > 1 else {}
            gaps = {} if variant is full or not sure else _differences(variant, full, dataset, options)
            values = {run.seed: run.rows[dataset].compute() for run in variant.runs}
            for name in SCORED:
                by_seed = {number: float(one[name]) for number, one in values.items()}
                interval = sure.get(name)
                scores.append(
                    {
                        "variant": variant.name,
                        "dataset": dataset,
                        "score": name,
                        "mean": statistics.fmean(by_seed.values()),
                        "sd": statistics.stdev(by_seed.values()) if len(by_seed) > 1 else None,
                        "by_seed": by_seed,
                        "low": None if interval is None else interval.low,
                        "high": None if interval is None else interval.high,
                        "difference": gaps.get(name),
                    }
                )
    tested = [one["difference"] for one in scores if one["difference"] is not None]
    corrected = holm({str(number): one["p"] for number, one in enumerate(tested)})
    for number, one in enumerate(tested):
        one["p_holm"] = corrected[str(number)]
        one["significant"] = one["p_holm"] <= 1 - confidence
    return {
        "schema": SCHEMA,
        "reference": full.name,
        "axis": numeric_key(found),
        "datasets": {name: len(full.runs[0].rows[name]) for name in datasets},
        "protocols": describe_protocols({full.runs[0].rows[name].protocol for name in datasets}),
        "variants": [_describe(one) for one in found],
        "scores": scores,
        "options": options,
    }


def _differences(variant: Variant, full: Variant, dataset: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Variant minus full by score, over the seeds that both have; without a common one, in the order of their seeds."""
    ours, theirs = ({run.seed: run.rows[dataset] for run in one.runs} for one in (variant, full))
    common = sorted(ours.keys() & theirs.keys())
    count = min(len(ours), len(theirs))
    pairs: list[tuple[Rows, Rows]] = (
        [(ours[one], theirs[one]) for one in common]
        if common
        else list(zip(list(ours.values())[:count], list(theirs.values())[:count], strict=True))
    )
    tested = compare([one for one, _ in pairs], [other for _, other in pairs], SCORED, **options)
    found = {}
    for name, one in tested.items():
        gap = one.difference
        by_seed = {number: float(ours[number].compute()[name] - theirs[number].compute()[name]) for number in common}
        found[name] = {
            "estimate": gap.estimate,
            "low": gap.low,
            "high": gap.high,
            "p": one.p_sign_flip,
            "by_seed": by_seed,
            "sd": statistics.stdev(by_seed.values()) if len(by_seed) > 1 else None,
            "same_sign": len({value > 0 for value in by_seed.values()}) == 1 if by_seed else None,
        }
    return found


def _describe(variant: Variant) -> dict[str, Any]:
    records = [run.record for run in variant.runs]
    return {
        "name": variant.name,
        "settings": variant.settings,
        "seeds": variant.seeds,
        "folders": [run.folder.name for run in variant.runs],
        "parameters": records[0]["parameters"],
        "training_seconds": _mean(records, "training_seconds"),
        "training_seconds_per_picture": _mean(records, "seconds_per_picture"),
        "pictures_trained_on": _mean(records, "pictures_trained_on"),
        "seconds_per_map": _mean(records, "seconds_per_map"),
        "backbone_weights": sorted({str(one.get("backbone_weights")) for one in records}),
        "commits": sorted({str(one.get("commit"))[:12] for one in records}),
        "processors": sorted({str(one.get("processor")) for one in records}),
    }


def _mean(records: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [float(one[key]) for one in records if one.get(key) is not None]
    return statistics.fmean(values) if values else None


def warnings(report: Report, unfinished: int) -> list[str]:
    """What must not be overlooked beside the figures."""
    told = []
    if unfinished:
        told.append(f"{unfinished} runs of the sweep are begun and not finished: they are missing here.")
    counts = {len(one["seeds"]) for one in report["variants"]}
    if counts == {1}:
        told.append("One seed each: nothing here says how much another training of the same network would differ.")
    elif len({tuple(one["seeds"]) for one in report["variants"]}) > 1:
        told.append("The variants have different seeds; differences are over the common ones.")
    trained = {round(one["pictures_trained_on"]) for one in report["variants"] if one["pictures_trained_on"]}
    if len(trained) > 1:
        told.append(
            f"The variants were not trained on as many pictures: {', '.join(f'{n:,}' for n in sorted(trained))}."
        )
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


# ---------------------------------------------------------------------------------------------------------------- cells


def _entries(report: Report, variant: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(one["dataset"], one["score"]): one for one in report["scores"] if one["variant"] == variant}


def _score(one: Mapping[str, Any], plus: str = "±") -> str:
    return f"{one['mean']:.4f}" + ("" if one["sd"] is None else f" {plus} {one['sd']:.4f}")


def _tied(one: Mapping[str, Any]) -> bool:
    return one["difference"] is not None and not one["difference"]["significant"]


def _heads(report: Report) -> list[tuple[str, str]]:
    return [(dataset, score) for dataset in report["datasets"] for score in SCORED]


def _score_table(report: Report) -> tuple[list[str], list[list[str]]]:
    head = ["variant", "seeds", *(f"{dataset} {labels()[score].text}" for dataset, score in _heads(report))]
    head += ["parameters", "training, min", "ms / map"]
    lines = []
    for one in report["variants"]:
        cells = _entries(report, one["name"])
        line = [one["name"] + (" (reference)" if one["name"] == report["reference"] else ""), str(len(one["seeds"]))]
        for key in _heads(report):
            line.append(_score(cells[key]) + (f" {NOT_SIGNIFICANT}" if _tied(cells[key]) else ""))
        lines.append([*line, *_cost(one)])
    return head, lines


def _cost(variant: Mapping[str, Any]) -> list[str]:
    seconds, each = variant["training_seconds"], variant["seconds_per_map"]
    return [
        f"{variant['parameters']:,}",
        "" if seconds is None else f"{seconds / 60:.1f}",
        "" if each is None else f"{1000 * each:.1f}",
    ]


def _difference_table(report: Report) -> tuple[list[str], list[list[str]]]:
    head = ["variant", "set", "score", "difference", "over pictures", "p (Holm)", "at each seed"]
    lines = []
    for one in report["scores"]:
        gap = one["difference"]
        if gap is not None:
            by_seed = ", ".join(f"{value:+.4f}" for value in gap["by_seed"].values())
            interval = f"[{gap['low']:+.4f}, {gap['high']:+.4f}]"
            label = labels()[one["score"]].text
            cells = [one["variant"], one["dataset"], label, f"{gap['estimate']:+.4f}", interval]
            lines.append([*cells, f"{gap['p_holm']:.4f}", by_seed or "-"])
    return head, lines


# -------------------------------------------------------------------------------------------------------------- writers


def markdown(report: Report) -> str:
    parts = [_markdown_table(*_score_table(report))]
    head, lines = _difference_table(report)
    if lines:
        parts.append(_markdown_table(head, lines))
    parts.append("\n".join(f"- {note}" for note in notes(report)))
    return "\n\n".join(parts) + "\n"


def _markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def latex(report: Report) -> str:
    """Both tables for a paper, booktabs; the caption says what the figures are."""
    parts = ["% \\usepackage{booktabs}"]
    told = " ".join(escape_tex(note.replace("**", "")) for note in notes(report))
    tables = [(_score_table(report), told), (_difference_table(report), "Differences from the reference.")]
    for (head, lines), caption in tables:
        if lines:
            parts += ["\\begin{table}", "\\centering\\small", f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}"]
            parts += ["\\toprule", " & ".join(map(escape_tex, head)) + " \\\\", "\\midrule"]
            parts += [" & ".join(map(escape_tex, line)) + " \\\\" for line in lines]
            parts += ["\\bottomrule", "\\end{tabular}", f"\\caption{{{caption}}}", "\\end{table}", ""]
    return "\n".join(parts) + "\n"


def csv(report: Report) -> str:
    """One row a variant, test set and score."""
    settings = list(report["variants"][0]["settings"])
    head = ["variant", *settings, "dataset", "score", "seeds", "mean", "sd", "low", "high"]
    head += ["difference", "difference_low", "difference_high", "p", "p_holm"]
    head += ["parameters", "training_seconds", "seconds_per_map"]
    described = {one["name"]: one for one in report["variants"]}
    lines = []
    for one in report["scores"]:
        variant, gap = described[one["variant"]], one["difference"] or {}
        line = {key: one[key] for key in ("variant", "dataset", "score", "mean", "sd", "low", "high")}
        line |= {key: variant[key] for key in ("parameters", "training_seconds", "seconds_per_map")}
        line |= variant["settings"] | {"seeds": " ".join(map(str, variant["seeds"]))}
        line |= {"difference": gap.get("estimate"), "p": gap.get("p"), "p_holm": gap.get("p_holm")}
        line |= {"difference_low": gap.get("low"), "difference_high": gap.get("high")}
        lines.append({key: f"{value:.6f}" if isinstance(value, float) else value for key, value in line.items()})
    return to_csv(head, lines)


def sections(report: Report, drawn: Mapping[str, bytes]) -> list[Section]:
    """The parts of the page that a bench does not have: both tables, and the figures as inline SVG."""
    parts = [Section("Scores over seeds, and cost", _html_table(*_score_table(report)))]
    head, lines = _difference_table(report)
    if lines:
        parts.append(Section(f"Differences from {report['reference']}", _html_table(head, lines)))
    for name, data in drawn.items():
        if name.endswith(".svg"):
            text = data.decode()
            title = name.removesuffix(".svg").replace("_", " ").capitalize()
            parts.append(Section(title, text[text.index("<svg") :]))
    parts.append(Section("Notes", _html_list([note.replace("**", "") for note in notes(report)])))
    return parts


def _html_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(row(line, "td") for line in lines)
    return f"<table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"


def _html_list(told: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(one)}</li>" for one in told) + "</ul>"


def as_bench(report: Report, found: Sequence[Variant], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The same findings in the form of bench.json, for the page: a variant is a method, its scores the seeds' means.

    Comparisons of the best with the next are left out: the report's are with the reference, in its own table.
    """
    views = []
    for name, count in report["datasets"].items():
        protocol = found[0].runs[0].rows[name].protocol.name
        view = {"id": f"{name}/{protocol}", "dataset": name, "label": name, "protocol": protocol}
        views.append(view | {"note": "", "pictures": count})
    entries = []
    for view in views:
        for variant, described in zip(found, report["variants"], strict=True):
            computed = [run.rows[view["dataset"]].compute() for run in variant.runs]
            cells = _entries(report, variant.name)
            mine = {score: cells[view["dataset"], score] for score in SCORED}
            measures = variant.runs[0].rows[view["dataset"]].measures
            names, curves = listed(measures), kept_curves(measures)
            entries.append(
                {
                    "method": variant.name,
                    "view": view["id"],
                    "pictures": view["pictures"],
                    "of": view["pictures"],
                    "values": {name: float(np.mean([one[name] for one in computed])) for name in names},
                    "intervals": {
                        name: [one["low"], one["high"]] for name, one in mine.items() if one["low"] is not None
                    },
                    "curves": {name: np.mean([one[name] for one in computed], axis=0).tolist() for name in curves},
                    "seconds_per_picture": described["seconds_per_map"],
                    "device": "cpu",
                }
            )
    methods = [
        {
            "name": one["name"],
            "kind": "checkpoint",
            "source": ", ".join(one["folders"]),
            "trained_on": None,
            "parameters": one["parameters"],
        }
        for one in report["variants"]
    ]
    return {
        "schema": SCHEMA,
        "title": f"{len(found)} variants on {', '.join(report['datasets'])}",
        "provenance": dict(provenance) | dict(report["options"]),
        "methods": methods,
        "protocols": report["protocols"],
        "views": views,
        "scores": entries,
        "comparisons": [],
        "warnings": report["warnings"],
        "printed": None,
    }
