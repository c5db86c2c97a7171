"""``arn sweep NAME key=value ...``: train every job of sweeps/NAME.yaml that is not finished yet, and print them all.

``arn sweep`` alone lists the sweeps; ``arn sweep PATH.yaml`` runs a file of your own. Started again, it goes on: a
finished job is skipped, a begun one resumes from its last checkpoint. ``arn report runs=FOLDER`` makes the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from arn.config import sweeps_dir
from arn.config.compose import Composed, read_config, run_hydra
from arn.config.instantiate import instantiate
from arn.errors import ArnError, Interrupted
from arn.multirun.jobs import Job, Launcher, Sweep, make_jobs, quoted, run_and_tell
from arn.report import terminal
from arn.training.stopping import Signals

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> None:
    takes_a_word = ("--cfg", "-c", "--package", "-p")
    words = [word for flag, word in pairwise(["", *arguments]) if flag not in takes_a_word]
    name = next((word for word in words if not word.startswith("-") and "=" not in word), None)
    if name is None:
        if arguments:
            raise ArnError(f"which sweep? arn sweep NAME {' '.join(arguments)}; there are {', '.join(names())}")
        print(listing())
        return
    rest = list(arguments)
    rest.remove(name)
    path = find(name)
    # A file of one's own is found again from wherever its jobs are started.
    command = ("sweep", path.stem if path.parent == sweeps_dir() else str(path.resolve()))
    run_hydra("sweep", _recipe, rest, primary=path, multirun=lambda jobs: sweep(jobs, command))


def multirun(arguments: list[str]) -> None:
    """``arn train -m key=value,value ...``: the grid of conf/train.yaml."""
    run_hydra("train", _recipe, arguments, multirun=lambda jobs: sweep(jobs, ("train",)))


def names() -> list[str]:
    """Of the sweeps; sweeps/wandb.yaml is W&B's."""
    return sorted(path.stem for path in sweeps_dir().glob("*.yaml") if path.stem != "wandb")


def listing() -> str:
    """Every sweep with what it says of itself."""
    text = "arn sweep NAME [key=value ...]\n"
    for name in names():
        lines = (sweeps_dir() / f"{name}.yaml").read_text().splitlines()
        said = " ".join(line.lstrip("# ") for line in lines if line.startswith("#") and "make sweep" not in line)
        text += f"\n  {name:<17} {said.partition('. ')[0].rstrip('.')}"
    return text


def find(name: str) -> Path:
    """The sweep's file. Raises ArnError where there is none of that name, or it is no config of a multirun."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else sweeps_dir() / f"{name}.yaml"
    if not path.is_file() or path.name == "wandb.yaml":
        raise ArnError(f"no sweep {name!r}; there are {', '.join(names())}, or name a file, PATH.yaml")
    if OmegaConf.select(read_config(path), "hydra.mode") != "MULTIRUN":
        raise ArnError(f"{path} is no sweep: it says no hydra.mode: MULTIRUN, as those of sweeps/ do")
    return path


def _recipe(config: Any) -> float:
    """One job, in the process that a sweep started for it."""
    from arn.verbs.train import recipe

    return recipe(config)


def sweep(composed: Sequence[Composed], command: Sequence[str]) -> None:
    """Run a multirun: a grid, or the search of a config with ``tune``.

    Raises ArnError naming a job that failed, with its log, after all others were run.
    """
    composed = shown_together(composed)
    config, place = composed[0].config, composed[0].sweep
    launcher: Launcher = instantiate(config["launcher"], "launcher")
    again = f"the same command goes on where it stopped, with hydra.sweep.dir={place} where that is not its own folder"
    try:
        with Signals().held():  # SLURM's too: the job at work writes itself down before the sweep ends
            if config.get("tune"):
                from arn.multirun.tuning import tune

                tune(composed, command, launcher, console)
            else:
                grid(make_jobs(composed, command), launcher, place)
    except Interrupted as signalled:
        console.print(f"{signalled.told}: {again}")
        raise
    except OSError as error:
        raise ArnError(f"cannot write to the sweep's folder {place}: {error.strerror or error}") from error


def shown_together(composed: Sequence[Composed]) -> list[Composed]:
    """The jobs with what loggers are told of them: the group of the sweep, and a name that says in what the job differs
    from the others. What the command line says of either goes before."""
    first = composed[0]
    given = {override.partition("=")[0].lstrip("+") for override in first.overrides}
    group = Sweep(first.sweep).group(first.config.get("sweep"), first.experiment)
    common = set(first.overrides).intersection(*(one.overrides for one in composed))
    shown = []
    for one in composed:
        differing = [each.partition("=") for each in one.overrides if each not in common]
        values = [f"{key.rpartition('.')[2]}={value}" for key, _, value in differing if key != "seed"]
        label = " ".join([one.config["name"], *values, f"seed={one.config['seed']}"])
        added = {"sweep": group} | (
            {} if one.config.get("tune") else {"label": label}
        )  # a trial's values are not known yet
        told = (f"{key}={quoted(value)}" for key, value in added.items() if key not in given)
        shown.append(replace(one, overrides=(*one.overrides, *told)))
    return shown


def grid(jobs: Sequence[Job], launcher: Launcher, place: Path) -> None:
    left = [job for job in jobs if job.record() is None]
    begun = [job for job in left if job.run.begun]
    console.print(
        f"{place}: {len(jobs)} jobs, {len(jobs) - len(left)} finished, {len(begun)} to go on with, "
        f"{len(left) - len(begun)} to start"
    )
    Sweep(place).add_jobs({job.name: job.overrides for job in jobs})
    failed = run_and_tell(left, launcher, place, console.print, done=lambda job: job.record() is not None)
    records = {job.name: job.record() for job in jobs}
    # The same sweep, started twice, may have trained what this one was refused.
    failed = [one for one in failed if not any(records[name] and one.startswith(f"{name} (") for name in records)]
    console.print(terminal.jobs(records))
    if failed:
        raise ArnError(f"{len(failed)} of {len(jobs)} jobs failed: {', '.join(failed)}")
    console.print(f"tables: arn report runs={place}")
