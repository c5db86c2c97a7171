"""Where the configs lie, the only way from a config to an object, and the record a run keeps of its own config."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pkgutil
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from arn.errors import ArnError

ALLOWED_TARGETS = (
    "arn.",
    "torch.optim.",
    "pytorch_lightning.callbacks.",
    "pytorch_lightning.loggers.",
    "pytorch_lightning.profilers.",
    "pytorch_lightning.strategies.",
)
"""What a config may build. A config file is data from outside: it must not be able to name just any callable."""


def config_dir() -> Path:
    """``conf/`` of the checkout, or its copy inside an installed wheel."""
    package = Path(__file__).resolve().parent
    for place in (package / "_conf" / "conf", package.parents[1] / "conf"):
        if place.is_dir():
            return place
    raise ArnError(f"no config folder beside {package}: the installation is incomplete, install arn-saliency again")


def sweeps_dir() -> Path:
    """``sweeps/`` beside ``conf/``, in a checkout and in an installed wheel alike."""
    return config_dir().parent / "sweeps"


def _check_targets(config: Any, place: str, allowed: tuple[str, ...]) -> None:
    if isinstance(config, Mapping):
        target = config.get("_target_")
        if target is not None and not _is_allowed(str(target), place, allowed):
            raise ArnError(f"{place}._target_={target} is not allowed: only {', '.join(allowed)} may be built")
        for key, value in config.items():
            _check_targets(value, f"{place}.{key}", allowed)
    elif isinstance(config, list | tuple):
        for index, value in enumerate(config):
            _check_targets(value, f"{place}[{index}]", allowed)


def _is_allowed(target: str, place: str, allowed: tuple[str, ...]) -> bool:
    """Whether the path and what it leads to are both of an allowed package: ``arn.config.os.remove`` is ``os``'s."""
    if not target.startswith(allowed):
        return False
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ArnError(f"{place}._target_={target}: there is no such thing ({error})") from error
    return f"{getattr(found, '__module__', '')}.".startswith(allowed)


def instantiate(
    config: DictConfig | Mapping[str, Any], place: str, allowed: tuple[str, ...] = ALLOWED_TARGETS, **extra: Any
) -> Any:
    """Build the object that ``_target_`` names, with plain containers for its arguments.

    Args:
        place: the config key, for messages.
        allowed: the packages, each with its closing dot, that targets may come from.

    Raises:
        ArnError: a target outside ``allowed``, or arguments that the object refuses.
    """
    import hydra.utils
    from hydra.errors import InstantiationException

    plain = to_plain(config)
    _check_targets(plain, place, allowed)
    try:
        return hydra.utils.instantiate(plain, _convert_="all", **extra)
    except InstantiationException as error:
        cause = error.__cause__
        while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, ArnError):
            raise cause from None
        if isinstance(cause, ValueError | TypeError):
            raise ArnError(f"{place}: {cause}") from error
        raise


def to_plain(config: Any) -> Any:
    """Dicts, lists, strings and numbers only, interpolations resolved."""
    if not OmegaConf.is_config(config):
        return config
    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ArnError(f"config: {str(error).splitlines()[0]}") from error


def config_hash(config: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that two resolved configs share only if they are equal."""
    return hashlib.sha256(json.dumps(to_plain(config), sort_keys=True).encode()).hexdigest()[:12]


ASIDE = ("logger", "launcher", "profiler", "sweep", "tags", "resume", "tune")
"""Keys that say where a run is started, shown or listed, not what it computes."""

UNSEEN = ("panels", "trainer.log_every_n_steps", "checkpoint.minutes", "data.workers")
"""Keys of what is shown, kept or done at once, which no weight and no score depends on either."""


def run_hash(config: Mapping[str, Any]) -> str:
    """:func:`config_hash` of what a run computes: the same wherever it is started from and whoever watches it."""

    def kept(node: Any, place: str = "") -> Any:
        if not isinstance(node, Mapping):
            return node
        return {key: kept(one, f"{place}{key}.") for key, one in node.items() if f"{place}{key}" not in ASIDE + UNSEEN}

    return config_hash(kept(to_plain(config)))


def run_name(network: str, config: Mapping[str, Any]) -> str:
    """The network with the ablations that its keys switch on: ``arn``, ``arn_no_rcl``, ``arn_T5_key_pool2``.

    Args:
        network: name of the chosen network config.
        config: the resolved network config.
    """
    parts = [network]
    rcl, attention = config.get("rcl") or {}, config.get("attention") or {}

    def add(part: str) -> None:
        if part not in network:
            parts.append(part)

    if rcl.get("enabled") is False:
        add("no_rcl")
    elif rcl.get("steps", 3) != 3:
        add(f"T{rcl['steps']}")
    if rcl.get("enabled", True) and rcl.get("norm", "lrn") != "lrn":
        add(f"norm_{rcl['norm']}")
    if attention.get("enabled") is False:
        add("no_attention")
    elif attention.get("key_pool", 1) != 1:
        add(f"key_pool{attention['key_pool']}")
    return "_".join(parts)


def run_folder(resume: str | None, fresh: str) -> str:
    return str(resume) if resume else fresh


def wandb_offline() -> bool:
    """W&B sends nothing unless a key is set or ``WANDB_MODE`` asks for it."""
    return os.environ.get("WANDB_MODE", "online" if os.environ.get("WANDB_API_KEY") else "offline") != "online"


def wandb_tags(tags: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """The tags asked for, and what was overridden. W&B takes 64 characters a tag; of longer ones only the key."""
    aside = (*ASIDE, "panels")
    told = [one for one in overrides if one.lstrip("+~").partition("=")[0].partition(".")[0] not in aside]
    return list(dict.fromkeys([*tags, *(one if len(one) <= 64 else one.partition("=")[0][:64] for one in told)]))


def provenance(packages: Sequence[str] = ("numpy", "numba", "opencv-python-headless", "scipy")) -> dict[str, Any]:
    """What made a result: version and git commit of ARN, versions of Python and of these packages."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {"arn": version("arn-saliency"), "commit": _commit(), "versions": versions}


def _commit() -> str | None:
    here = Path(__file__).resolve().parent
    git = shutil.which("git")
    if git is None or not (here.parents[1] / ".git").exists():
        return None
    told = subprocess.run([git, "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return told.stdout.strip() or None


def register_resolvers() -> None:
    """``${arn.name:...}`` and ``${arn.folder:...}``, which conf/ uses."""
    resolvers: dict[str, Callable[..., Any]] = {
        "arn.name": run_name,
        "arn.folder": run_folder,
        "arn.wandb_offline": wandb_offline,
        "arn.tags": wandb_tags,
    }
    for name, resolver in resolvers.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)


@dataclass(frozen=True)
class Composed:
    """One job of a multirun, as Hydra composed it: nothing of it has been run.

    Attributes:
        overrides: that lead from the primary config to this job; Hydra's own keys are not among them.
        config: resolved, plain containers.
        folder: the job's, where ``hydra.sweep.subdir`` names one; else that of the sweep.
        sweep: the folder of the sweep.
    """

    overrides: tuple[str, ...]
    config: dict[str, Any]
    folder: Path
    sweep: Path


class SweepFolder:
    """A callback of Hydra's that remembers which folder it makes for a multirun, before any job was composed."""

    begun: tuple[Path, bool] | None = None

    def __getattr__(self, name: str) -> Any:
        """Hydra's other events mean nothing here. Its base class, which says so, would be imported with every help."""
        if name.startswith("on_"):
            return lambda *_, **__: None
        raise AttributeError(name)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        folder = Path(str(config.hydra.sweep.dir))
        type(self).begun = (folder, not folder.exists())

    @classmethod
    def remove_if_fresh(cls) -> None:
        """Undo a multirun that could not be composed: a sweep that never began leaves no folder."""
        if cls.begun is not None and cls.begun[1]:
            folder = cls.begun[0]
            if any(path.is_file() and path != folder / "multirun.yaml" for path in folder.rglob("*")):
                return  # a job has been there
            shutil.rmtree(folder, ignore_errors=True)
            for place in folder.parents[:2]:
                try:
                    place.rmdir()
                except OSError:
                    return


def run_hydra(
    verb: str,
    recipe: Callable[..., object],
    arguments: list[str],
    *,
    primary: Path | None = None,
    multirun: Callable[[list[Composed]], None] | None = None,
) -> None:
    """Compose ``conf/VERB.yaml`` with the overrides and run the recipe on it, once or as a multirun.

    Args:
        primary: another config to start from, which finds ``conf/`` on its search path.
        multirun: gets the composed jobs of a multirun, all of them and none run yet, in place of the recipe.

    Raises:
        ArnError: an override that Hydra refuses, an output folder that cannot be made, or the recipe's own; of a
            multirun the first, once the other jobs are done.
    """
    register_resolvers()
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode

    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come out whole, to be told below in one line
    original = sys.argv
    failures: list[ArnError] = []
    jobs: list[Composed] = []

    def job(config: DictConfig) -> object:
        sys.argv = original  # ranks of DDP are started again with the command as it was typed
        try:
            chosen = HydraConfig.get()
            if multirun is None or chosen.mode != RunMode.MULTIRUN:
                return recipe(config)
            _check_plugins(chosen)
            sweep = Path(str(chosen.sweep.dir))
            own = sweep / str(chosen.sweep.subdir)
            jobs.append(Composed(tuple(chosen.overrides.task), to_plain(config), own, sweep))
        except ArnError as error:  # carried past Hydra, which would print a remark of its own beside ours
            failures.append(error)
        return None

    # argparse takes overrides in one row only; -m may stand anywhere between them.
    flags = [argument for argument in arguments if argument in ("-m", "--multirun")]
    sys.argv = [original[0], *flags, *(argument for argument in arguments if argument not in flags)]
    place, name = (config_dir(), verb) if primary is None else (primary.parent, primary.stem)
    if primary is not None:
        sys.argv.append(f"hydra.searchpath=['file://{config_dir()}']")
    SweepFolder.begun = None
    try:
        hydra.main(version_base=None, config_path=str(place.resolve()), config_name=name)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        SweepFolder.remove_if_fresh()
        cause = error.__cause__ if error.__cause__ is not None else error
        lines = [line.strip() for line in f"{error}\n{cause}".splitlines() if line.strip()]
        told = list(dict.fromkeys(line for line in lines if not line.startswith(("full_key", "object_type"))))
        raise ArnError("; ".join(told)) from error
    except OSError as error:
        raise ArnError(f"{error.strerror or error}: {error.filename or 'the output folder'}") from error
    finally:
        sys.argv = original
    if failures:
        if multirun is not None:
            SweepFolder.remove_if_fresh()
        raise failures[0]
    if jobs and multirun is not None:
        try:
            multirun(jobs)
        except ArnError:
            SweepFolder.remove_if_fresh()
            raise


def _check_plugins(chosen: Any) -> None:
    """Raises ArnError for a launcher or sweeper of Hydra's plugins, which would start jobs inside this process."""
    for kind, ours in (("launcher", "launcher=parallel|slurm"), ("sweeper", "arn sweep tune")):
        target = str(chosen[kind]["_target_"])
        if not target.startswith("hydra._internal.core_plugins.basic_"):
            raise ArnError(f"hydra/{kind}: jobs run in processes of their own, which {target} does not do; use {ours}")
