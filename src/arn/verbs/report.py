"""``arn report``: what the runs of a sweep say together, as tables, tests, figures and a page."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from arn.config.compose import run_hydra
from arn.config.requests import ReportRequest
from arn.files import check_unclaimed, write_atomically
from arn.runs import Run

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> None:
    run_hydra("report", recipe, arguments)


def recipe(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    report(ReportRequest.of(config), shlex.join(["arn", "report", *HydraConfig.get().overrides.task]))


def report(request: ReportRequest, command: str = "arn report") -> dict[str, Any]:
    """Returns the content of report.json.

    Raises ArnError for no finished runs, runs that cannot be compared, or an unknown reference, before it writes.
    """
    from arn.evaluation.results import made_by
    from arn.report.ablation import as_bench, csv, latex, make_report, markdown, sections, warnings
    from arn.report.figures import draw_sweep
    from arn.report.page import write_page
    from arn.report.runs import read_runs, reference, variants

    begun = time.monotonic()
    runs, unfinished = read_runs(Path(request.runs))
    compared = variants(runs)
    sampling = {key: getattr(request, key) for key in ("resamples", "confidence", "seed")}
    content = make_report(compared, reference(compared, request.reference), **sampling)
    content["warnings"] = warnings(content, len(unfinished))
    content["provenance"] = made_by(command, begun)
    output = Path(request.output)
    drawn = draw_sweep(content) if request.figures else {}
    files = {
        # First: by it the next report knows the folder for one of ours, also where this one is killed.
        "report.json": (json.dumps(content, allow_nan=False, indent=1) + "\n").encode(),
        "table.md": markdown(content).encode(),
        "table.tex": latex(content).encode(),
        "report.csv": csv(content).encode(),
        **{f"figures/{name}": data for name, data in drawn.items()},
    }
    names = [*(Path(name).parts[0] for name in files), "index.html"]
    check_unclaimed(output, names, (output / "report.json").is_file(), "output")
    for name, data in files.items():
        write_atomically(output / name, data)
    write_page(output / "index.html", as_bench(content, compared), extra=sections(content, drawn))
    if request.logger:
        from arn.report.dashboard import log_report

        groups = {run.config().get("sweep") for run in Run.below(Path(request.runs))}
        log_report(request.logger, content, output, groups.pop() if len(groups) == 1 else None)
    console.print(markdown(content))
    console.print(f"page:   {output / 'index.html'}")
    console.print(f"tables: {output / 'table.md'}, table.tex, report.csv, report.json, figures/")
    return content
