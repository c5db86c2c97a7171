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
from arn.config.instantiate import to_plain
from arn.errors import ArnError
from arn.files import write_atomically
from arn.provenance import provenance

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> None:
    run_hydra("report", recipe, arguments)


def recipe(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    report(to_plain(config), shlex.join(["arn", "report", *HydraConfig.get().overrides.task]))


def report(plain: dict[str, Any], command: str = "arn report") -> dict[str, Any]:
    """Returns the content of report.json.

    Raises:
        ArnError: no finished runs, runs that cannot be compared, or an unknown reference; before anything is written.
    """
    from arn.provenance import processor
    from arn.report.ablation import as_bench, csv, latex, make_report, markdown, sections, warnings
    from arn.report.figures import draw_sweep
    from arn.report.page import write_page
    from arn.report.runs import read_runs, reference, variants

    begun = time.time()
    options = {key: plain[key] for key in ("resamples", "confidence", "seed")}
    if not 0 < options["confidence"] < 1 or options["resamples"] < 0:
        raise ArnError(f"confidence={options['confidence']} lies within 0..1, and resamples is at least 0")
    runs, unfinished = read_runs(Path(str(plain["runs"])))
    found = variants(runs)
    full = reference(found, plain["reference"])
    content = make_report(found, full, **options)
    content["warnings"] = warnings(content, len(unfinished))
    source = {
        "command": command,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)),
        **provenance(),
        "machine": {"processor": processor()},
        "seconds": round(time.time() - begun, 2),
    }
    content["provenance"] = source

    output = Path(str(plain["output"]))
    drawn = draw_sweep(content) if plain["figures"] else {}
    files = {
        "table.md": markdown(content).encode(),
        "table.tex": latex(content).encode(),
        "report.csv": csv(content).encode(),
        "report.json": (json.dumps(content, allow_nan=False, indent=1) + "\n").encode(),
        **{f"figures/{name}": data for name, data in drawn.items()},
    }
    for name, data in files.items():
        write_atomically(output / name, data)
    write_page(output / "index.html", as_bench(content, found, source), extra=sections(content, drawn))
    chosen = (plain.get("logger") or {}).get("wandb")
    if chosen is not None:
        from arn.report.dashboard import log_report

        log_report(chosen, content, output)
    console.print(markdown(content))
    console.print(f"page:   {output / 'index.html'}")
    console.print(f"tables: {output / 'table.md'}, table.tex, report.csv, report.json, figures/")
    return content
