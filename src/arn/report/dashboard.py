"""A bench or the report of a sweep on W&B: tables, curves, figures, the scores as summary, the JSON as artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arn.evaluation.results import scores_in


def log_bench(chosen: Mapping[str, Any], content: Mapping[str, Any], run: Path) -> None:
    """Log a finished bench as one run of job type ``bench``.

    `chosen`: conf/logger/wandb.yaml's entry, resolved: where and how. `run`: the folder that the bench was written to.
    """
    import wandb

    shown = {key: content[key] for key in ("provenance", "methods", "protocols", "views", "warnings")}
    with _session(chosen, run, "bench", shown) as session:
        views = {view["id"]: view for view in content["views"]}
        names = scores_in(content["scores"])
        table = wandb.Table(["method", "view", "protocol", *names, "pictures", "seconds_per_picture"])
        for one in content["scores"]:
            view = views[one["view"]]
            line = [one["method"], view["label"], view["protocol"], *(one["values"].get(name) for name in names)]
            table.add_data(*line, one["pictures"], one["seconds_per_picture"])
            for name in names:
                if name in one["values"]:
                    session.summary[f"{view['label']}/{view['protocol']}/{one['method']}/{name}"] = one["values"][name]
        logged: dict[str, Any] = {"scores": table}
        for view in content["views"]:
            curves = [one for one in content["scores"] if one["view"] == view["id"] and "precision" in one["curves"]]
            if curves:
                logged[f"pr/{view['label']}/{view['protocol']}"] = wandb.plot.line_series(
                    xs=[one["curves"]["recall"] for one in curves],
                    ys=[one["curves"]["precision"] for one in curves],
                    keys=[one["method"] for one in curves],
                    title=f"PR, {view['label']}, {view['protocol']}",
                    xname="recall",
                )
        for path in sorted((run / "figures").glob("*.png")):
            logged[f"figures/{path.stem}"] = wandb.Image(str(path))
        session.log(logged)
        artifact = wandb.Artifact(f"bench-{session.id}", type="bench")
        artifact.add_file(str(run / "bench.json"))
        session.log_artifact(artifact)


def log_report(chosen: Mapping[str, Any], content: Mapping[str, Any], run: Path) -> None:
    """Log the report of a sweep as one run of job type ``report``: a summary table that a W&B report can show.

    `chosen`, `run`: as of :func:`log_bench`. `content`: of report.json.
    """
    import wandb

    shown = {key: content[key] for key in ("provenance", "reference", "variants", "protocols", "warnings")}
    with _session({**chosen, "save_dir": str(run)}, run, "report", shown) as session:
        columns: list[str | int] = [
            "variant",
            "set",
            "score",
            "mean",
            "sd",
            "seeds",
            "low",
            "high",
            "difference",
            "p_holm",
        ]
        columns += ["parameters", "training_seconds", "seconds_per_map"]
        variants = {one["name"]: one for one in content["variants"]}
        table = wandb.Table(columns)
        for one in content["scores"]:
            variant, gap = variants[one["variant"]], one["difference"] or {}
            line = [one["variant"], one["dataset"], one["score"], one["mean"], one["sd"], len(variant["seeds"])]
            line += [one["low"], one["high"], gap.get("estimate"), gap.get("p_holm")]
            table.add_data(*line, *(variant[str(key)] for key in columns[-3:]))
            session.summary[f"{one['dataset']}/{one['variant']}/{one['score']}"] = one["mean"]
        logged: dict[str, Any] = {"summary": table}
        for path in sorted((run / "figures").glob("*.png")):
            logged[f"figures/{path.stem}"] = wandb.Image(str(path))
        session.log(logged)
        artifact = wandb.Artifact(f"report-{session.id}", type="report")
        for name in ("report.json", "table.md", "index.html"):
            artifact.add_file(str(run / name))
        session.log_artifact(artifact)


def _session(chosen: Mapping[str, Any], run: Path, job_type: str, shown: Mapping[str, Any]) -> Any:
    """A W&B run that ends with its block."""
    import wandb

    options = {key: value for key, value in chosen.items() if key not in ("_target_", "save_dir", "offline")}
    return wandb.init(
        dir=str(chosen.get("save_dir") or run),
        mode="offline" if chosen.get("offline") else "online",
        job_type=job_type,
        config=dict(shown),
        reinit="finish_previous",
        **options,
    )
