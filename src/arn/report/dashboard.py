"""A bench on W&B: the table, the curves, the figures, the scores as summary, bench.json as artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arn.benchmark.results import SCORES


def log_bench(chosen: Mapping[str, Any], content: Mapping[str, Any], run: Path) -> None:
    """Log a finished bench as one run of job type ``bench``.

    `chosen`: conf/logger/wandb.yaml's entry, resolved: where and how. `run`: the folder that the bench was written to.
    """
    import wandb

    options = {key: value for key, value in chosen.items() if key not in ("_target_", "save_dir", "offline")}
    with wandb.init(
        dir=str(chosen.get("save_dir") or run),
        mode="offline" if chosen.get("offline") else "online",
        job_type="bench",
        config={key: content[key] for key in ("provenance", "methods", "protocols", "views", "warnings")},
        reinit="finish_previous",
        **options,
    ) as session:
        views = {view["id"]: view for view in content["views"]}
        names = [name for name in SCORES if any(name in one["values"] for one in content["scores"])]
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
