"""A bench or the report of a sweep in a logger: table, curves, figures, the scores as summary, the JSON as artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arn.evaluation.results import scores_in
from arn.loggers import Line, Place, RunLogger, ShownImage, open_loggers


def log_bench(chosen: Mapping[str, Any], content: Mapping[str, Any], run: Path) -> None:
    """Log a finished bench as one run of the kind ``bench``.

    `chosen`: conf/logger, resolved. `run`: the folder that the bench was written to.
    """
    views = {view["id"]: view for view in content["views"]}
    names = scores_in(content["scores"])
    rows: list[list[Any]] = []
    summary: dict[str, float] = {}
    curves: dict[str, dict[str, Line]] = {}
    for entry in content["scores"]:
        method, view, values = entry["method"], views[entry["view"]], entry["values"]
        row = [method, view["label"], view["protocol"], *map(values.get, names)]
        rows.append([*row, entry["pictures"], entry["seconds_per_picture"]])
        summary |= {f"{view['id']}/{method}/{name}": values[name] for name in names if name in values}
        if "precision" in entry["curves"]:
            line = entry["curves"]["recall"], entry["curves"]["precision"]
            curves.setdefault(view["id"], {})[method] = line
    with open_loggers(chosen, Place(run, "bench")) as loggers:
        for logger in loggers:
            logger.config({key: content[key] for key in ("provenance", "methods", "protocols", "views", "warnings")})
            logger.table("scores", ["method", "view", "protocol", *names, "pictures", "seconds_per_picture"], rows)
            logger.summary(summary)
            for place, lines in curves.items():
                title = f"PR, {views[place]['label']}, {views[place]['protocol']}"
                logger.curves(f"pr/{place}", title, lines, x="recall")
            _show_figures(logger, run)
            logger.artifact("bench", "bench", [run / "bench.json"])


def log_report(chosen: Mapping[str, Any], content: Mapping[str, Any], run: Path, group: str | None = None) -> None:
    """Log the report of a sweep as one run of the kind ``report``: a summary table that a dashboard can show.

    `chosen`, `run`: as of :func:`log_bench`. `content`: of report.json. `group`: of the sweep's own runs.
    """
    of_variant = ["parameters", "training_seconds", "seconds_per_map"]
    variants = {variant["name"]: variant for variant in content["variants"]}
    rows: list[list[Any]] = []
    summary: dict[str, float] = {}
    for entry in content["scores"]:
        variant, gap = variants[entry["variant"]], entry["difference"] or {}
        row = [entry["variant"], entry["dataset"], entry["score"], entry["mean"], entry["sd"]]
        row += [len(variant["seeds"]), entry["low"], entry["high"], gap.get("estimate"), gap.get("p_holm")]
        rows.append([*row, *(variant[key] for key in of_variant)])
        summary[f"{entry['dataset']}/{entry['variant']}/{entry['score']}"] = entry["mean"]
    columns = ["variant", "set", "score", "mean", "sd", "seeds", "low", "high", "difference", "p_holm"]
    with open_loggers(chosen, Place(run, "report", group)) as loggers:
        for logger in loggers:
            logger.config(
                {key: content[key] for key in ("provenance", "reference", "variants", "protocols", "warnings")}
            )
            logger.table("summary", columns + of_variant, rows)
            logger.summary(summary)
            _show_figures(logger, run)
            logger.artifact("report", "report", [run / name for name in ("report.json", "table.md", "index.html")])


def _show_figures(logger: RunLogger, run: Path) -> None:
    for path in sorted((run / "figures").glob("*.png")):
        logger.images(f"figures/{path.stem}", [ShownImage(path)])
