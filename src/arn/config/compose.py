"""From the command line to composed configs: one, or every job of a multirun."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from arn.config import config_dir
from arn.config.guard import allowed_packages, guarded
from arn.config.identity import register_resolvers
from arn.config.instantiate import allow_plugins, fit_targets
from arn.config.schema import to_plain
from arn.config.upgrade import accept_renamed, one_as_list, upgrade_composed
from arn.errors import ArnError
from arn.files import remove_if_empty

_WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-name", "-cn", "--config-dir", "-cd", "--config-path", "-cp")


@dataclass(frozen=True)
class Composed:
    """One job of a multirun, not run yet."""

    overrides: tuple[str, ...]  # from the primary config to this job; Hydra's own keys are not among them
    config: dict[str, Any]  # resolved, plain containers
    folder: Path  # the job's, where ``hydra.sweep.subdir`` names one; else that of the sweep
    sweep: Path
    experiment: str | None = None  # the chosen config of conf/experiment


class FreshFolder:
    """Whether Hydra made the folder of this command's run: what was there before is not ours to take away."""

    run = False


class SweepFolder:
    """A callback of Hydra's that remembers the folder that it makes for a multirun, before any job was composed."""

    fresh: Path | None = None

    def __getattr__(self, name: str) -> Any:
        """Hydra's other events mean nothing here. Its base class, which says so, would be imported with every help."""
        if name.startswith("on_"):
            return lambda *_, **__: None
        raise AttributeError(name)

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        from hydra.core.hydra_config import HydraConfig

        HydraConfig.instance().set_config(config)  # as Hydra does after this, and the folder's name wants it
        FreshFolder.run = not Path(str(config.hydra.run.dir)).exists()

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        folder = Path(str(config.hydra.sweep.dir))
        type(self).fresh = None if folder.exists() else folder

    @classmethod
    def remove_if_fresh(cls) -> None:
        """A sweep that never began, as no job has been there, leaves no folder."""
        if cls.fresh is None:
            return
        if all(path.is_dir() or path.name == "multirun.yaml" for path in cls.fresh.rglob("*")):
            shutil.rmtree(cls.fresh, ignore_errors=True)
            remove_if_empty(cls.fresh.parent)


def run_hydra(
    verb: str,
    recipe: Callable[..., object],
    arguments: list[str],
    *,
    primary: Path | None = None,
    multirun: Callable[[list[Composed]], None] | None = None,
) -> None:
    """Compose ``conf/VERB.yaml`` with the overrides and run the recipe on it.

    Args:
        primary: another config to start from, which finds ``conf/`` on its search path.
        multirun: gets the composed jobs of a multirun, all of them and none run yet, in place of the recipe.

    Raises:
        ArnError: an override that Hydra refuses, an output folder that cannot be made, or the recipe's own.
    """
    asked = {"--cfg", "-c", "--info", "-i"}.intersection(arguments)
    if asked and {"-m", "--multirun"}.intersection(arguments):
        _show_multirun(verb, recipe, arguments, primary)
        return
    register_resolvers()
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    original = sys.argv
    failures: list[ArnError] = []
    jobs: list[Composed] = []

    def job(config: DictConfig) -> object:
        sys.argv = original  # ranks of DDP are started again with the command as it was typed
        try:
            chosen = HydraConfig.get()
            upgrade_composed(verb, config)
            one_as_list(config)
            allow_plugins(allowed_packages(config, arguments))
            fit_targets(config, chosen.overrides.task)
            if multirun is None or chosen.mode != RunMode.MULTIRUN:
                return recipe(config)
            sweep = Path(str(chosen.sweep.dir))
            own = sweep / str(chosen.sweep.subdir)
            experiment = chosen.runtime.choices.get("experiment")
            jobs.append(Composed(tuple(chosen.overrides.task), to_plain(config), own, sweep, experiment))
        except ArnError as error:  # carried past Hydra, which would print a remark of its own beside ours
            failures.append(error)
        return None

    SweepFolder.fresh = None
    sys.argv = [original[0], *_hydra_arguments(verb, arguments, primary)]
    try:
        with guarded(arguments):
            _compose(job, primary or config_dir() / f"{verb}.yaml")
        if failures:
            raise failures[0]
        if jobs and multirun is not None:
            multirun(jobs)
    except ArnError:
        SweepFolder.remove_if_fresh()
        raise
    finally:
        sys.argv = original


def _show_multirun(verb: str, recipe: Callable[..., object], arguments: list[str], primary: Path | None) -> None:
    """``--cfg job`` of a multirun, which Hydra refuses: the config of each job, resolved, and nothing is run."""
    rest = [argument for argument in arguments if argument not in ("-m", "--multirun", "--resolve")]
    flag = next((one for one in ("--cfg", "-c") if one in rest), None)
    if flag is None:  # --info is of no job
        run_hydra(verb, recipe, rest, primary=primary)
        return
    place = rest.index(flag)
    if rest[place + 1 : place + 2] != ["job"]:
        raise ArnError("of a multirun there is --cfg job; for --cfg hydra and --cfg all leave -m away")

    def show(jobs: list[Composed]) -> None:
        for job in jobs:
            print(f"---\n# arn {shlex.join([verb, *job.overrides])}\n{OmegaConf.to_yaml(job.config)}", end="")

    try:
        run_hydra(verb, recipe, [*rest[:place], *rest[place + 2 :], "-m"], primary=primary, multirun=show)
    finally:
        SweepFolder.remove_if_fresh()


def _hydra_arguments(verb: str, arguments: list[str], primary: Path | None) -> list[str]:
    """As Hydra's command line takes them: argparse wants overrides in one row, and -m may stand between ours."""
    if pickled := next((argument for argument in arguments if argument.startswith("--e")), None):
        raise ArnError(f"{pickled}: reads a pickle, which could run anything; give the job's overrides")
    arguments = accept_renamed(verb, arguments)
    flags = [argument for argument in arguments if argument in ("-m", "--multirun")]
    rest = [part for argument in arguments if argument not in flags for part in without_null(argument)]
    # Always given, so that no config file gives it: what it names can be a package, which would be imported.
    search = [] if primary is None else [f"'file://{config_dir()}'"]
    if not any(argument.startswith("hydra.searchpath=") for argument in rest):
        values = [flag in _WITH_VALUE for flag in ["", *rest]]  # whether an argument is the value of the one before
        places = [place for place, one in enumerate(rest) if "=" in one and one[0] != "-" and not values[place]]
        rest.insert(places[0] if places else len(rest), f"hydra.searchpath=[{','.join(search)}]")
    return [*flags, *rest]


def _compose(job: Callable[[DictConfig], object], primary: Path) -> None:
    """Let Hydra compose a primary config by ``sys.argv`` and call the job on each result.

    Raises ArnError, in one line, for what Hydra or the system refuses.
    """
    import hydra
    from hydra.errors import HydraException

    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come out whole, to be told in one line
    try:
        hydra.main(version_base=None, config_path=str(primary.parent.resolve()), config_name=primary.stem)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ if error.__cause__ is not None else error
        lines = [line.strip() for line in f"{error}\n{cause}".splitlines() if line.strip()]
        # What Hydra advises for an unknown key, to add it with a +, is refused by ours.
        unwanted = ("full_key", "object_type", "To append to your config use")
        lines = list(dict.fromkeys(line for line in lines if not line.startswith(unwanted)))
        raise ArnError("; ".join(lines)) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ArnError(f"{error.strerror or error}: {error.filename or 'the output folder'}") from error


def quoted(path: Path | str) -> str:
    """A path or a text as a value in Hydra's grammar, whatever characters it holds."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_config(path: Path) -> Any:
    """A YAML file as it is. Raises ArnError naming it."""
    try:
        return OmegaConf.load(path)
    except Exception as error:  # YAML's and OmegaConf's errors share no base class
        raise ArnError(f"{path} cannot be read as a config: {str(error).splitlines()[0]}") from error


def without_null(argument: str) -> list[str]:
    """``GROUP=null``, none of a group, in Hydra's words: null is for defaults lists, and ``[]`` for command lines."""
    group, _, choice = argument.partition("=")
    if choice != "null" or not (config_dir() / group).is_dir():
        return [argument]
    # conf/train.yaml looks for a config that is named after experiment and network.
    return [f"{group}=[]", *(["experiment/of_network=[]"] if group == "experiment" else [])]
