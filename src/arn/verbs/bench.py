"""``arn bench``: score checkpoints, training-free methods and folders of maps; writes scores.csv and table.md."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress

from arn.benchmark.methods import Checkpoint, Classical, MapFolder, Method
from arn.benchmark.runner import Score, covered, score, to_csv, to_markdown
from arn.config import run_hydra, to_plain
from arn.data.datamodule import Source, find_source
from arn.data.pairs import write_atomically
from arn.errors import ArnError
from arn.verbs import remove_if_empty

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> None:
    run_hydra("bench", recipe, arguments)


def recipe(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    run = Path(HydraConfig.get().runtime.output_dir)
    try:
        bench(config, run)
    except BaseException:
        remove_if_empty(run)
        raise


def bench(config: DictConfig, run: Path) -> list[Score]:
    plain = to_plain(config)
    for key in ("checkpoints", "maps"):
        plain[key] = plain[key] or {}
        if not isinstance(plain[key], dict):
            raise ArnError(f"{key} names methods: {key}={{NAME: PATH}}, not {plain[key]!r}")
    if not plain["checkpoints"] and not plain["maps"] and not plain["methods"]:
        raise ArnError("nothing to score: give checkpoints={NAME: FILE}, maps={NAME: FOLDER} or methods=[NAME]")
    datasets: dict[str, Source] = {Path(name).name: find_source(name) for name in plain["datasets"]}
    methods: list[Method] = [Checkpoint(n, path, plain["batch_size"]) for n, path in plain["checkpoints"].items()]
    methods += [Classical(name) for name in plain["methods"]]
    methods += [MapFolder(name, folder) for name, folder in plain["maps"].items()]
    for method in methods:  # every gap is found before the first picture is scored
        for name, source in datasets.items():
            covered(method, name, source, plain["coverage"])

    scores = []
    with Progress(console=console, transient=True) as progress:
        for name, source in datasets.items():
            for method in methods:
                bar = progress.add_task(f"{method.name} on {name}", total=len(source.stems))

                def advance(done: int, total: int, bar: object = bar) -> None:
                    progress.update(bar, completed=done, total=total)  # type: ignore[arg-type]

                scores.append(score(method, name, source, plain["protocol"], plain["coverage"], advance))

    table = to_markdown(scores)
    write_atomically(run / "scores.csv", to_csv(scores).encode())
    write_atomically(run / "table.md", table.encode())
    console.print(table)
    console.print(f"written: {run}/table.md, {run}/scores.csv")
    return scores
