"""What Hydra itself would run or load of a config file: callbacks, plugins, loggers, variables of the environment.

A sweep from somebody else, or a folder given by ``--config-dir``, is data; Hydra takes classes from it before any of
our code is asked, so each config is looked at as it comes out of Hydra's loader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from arn.errors import ArnError

CALLBACK = "arn.config.compose.SweepFolder"
_HANDLERS = ("logging.StreamHandler", "logging.FileHandler", "logging.NullHandler")
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
SHELL = ("slurm_setup", "slurm_additional_parameters", "slurm_srun_args", "slurm_python", "slurm_use_srun")
"""Of ``launcher.options``: what a node's shell reads."""


@contextmanager
def guarded(typed: Sequence[str]) -> Iterator[None]:
    """Let Hydra compose nothing that would run code; ``typed`` are the overrides that a person gave.

    Raises ArnError naming the key, before anything of it is imported.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.errors import HydraException

    load = ConfigLoaderImpl.load_configuration  # of every job of a multirun as well

    def checked(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            config = load(self, *arguments, **named)
        except (HydraException, OmegaConfBaseException, OSError):
            raise  # told of by who called
        except Exception as error:  # of odd defaults lists, values and YAML Hydra raises whatever comes
            raise ArnError(f"this cannot be composed: {str(error).strip().splitlines()[0]}") from error
        check(config, typed)
        return config

    with patch.object(ConfigLoaderImpl, "load_configuration", checked):
        yield


def check(config: Any, typed: Sequence[str]) -> None:
    """Raises ArnError for what only a person may say, or nobody."""
    hydra: Any = OmegaConf.to_container(config.hydra, resolve=False)
    for name, callback in (hydra.get("callbacks") or {}).items():
        if not isinstance(callback, Mapping) or dict(callback) != {"_target_": CALLBACK}:
            raise ArnError(f"hydra.callbacks.{name}: a config cannot name callbacks of Hydra's")
    for kind, ours in (("launcher", "launcher=parallel|slurm"), ("sweeper", "arn sweep tune")):
        target = str((hydra.get(kind) or {}).get("_target_"))
        if target != f"hydra._internal.core_plugins.basic_{kind}.Basic{kind.title()}":
            raise ArnError(f"hydra/{kind}: jobs run in processes of their own, which {target} does not do; use {ours}")
    for kind in ("job_logging", "hydra_logging"):
        _check_logging(hydra.get(kind), f"hydra.{kind}")
    job = hydra.get("job") or {}
    if job.get("env_set"):
        raise ArnError("hydra.job.env_set: set variables of the environment in the shell; a config cannot")
    params = (hydra.get("sweeper") or {}).get("params") or {}
    space = OmegaConf.select(config, "tune.space", throw_on_missing=False) or {}
    for key in (*params, *space):
        if str(key).lstrip("+~").partition(".")[0].partition("/")[0].partition("@")[0] in ("hydra", "plugins"):
            raise ArnError(f"{key}: a sweep cannot vary this; it is for a command line to say")
    _check_launcher(config, typed)


def _check_logging(node: Any, place: str) -> None:
    """Python's logging builds whatever ``()`` and ``class`` name."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in ("()", "factory", ".") or (key == "class" and value not in _HANDLERS):
                raise ArnError(f"{place}.{key}={value}: a config cannot name code for logging")
            _check_logging(value, f"{place}.{key}")
    elif isinstance(node, list):
        for value in node:
            _check_logging(value, place)
    elif isinstance(node, str) and node not in _STREAMS and ("ext://" in node or "cfg://" in node):
        raise ArnError(f"{place}: {node}: a config cannot name code for logging")


def _check_launcher(config: Any, typed: Sequence[str]) -> None:
    """Lines of shell for the nodes of a cluster, and line breaks that would make one of any other option."""
    options: Any = OmegaConf.select(config, "launcher.options", throw_on_missing=False)
    plain: Any = OmegaConf.to_container(options, resolve=False) if OmegaConf.is_dict(options) else {}
    for key, value in plain.items():
        place = f"launcher.options.{key}"
        if key in SHELL and value is not None and not any(_says(one, place) for one in typed):
            raise ArnError(f"{place}: the shell reads that, so say it on the command line; a config file cannot")
        if "\n" in str(value) or "\r" in str(value):
            raise ArnError(f"{place}: has a line break in it")


def _says(override: str, key: str) -> bool:
    given = override.lstrip("+").partition("=")[0]
    return given == key or key.startswith(f"{given}.")


def allowed_packages(config: Any, typed: Sequence[str]) -> list[str]:
    """The config's ``plugins``. Raises ArnError where a config file names packages: that is for a person to do."""
    named = [str(name) for name in config.get("plugins") or []]
    if named and not any(_says(override, "plugins") for override in typed):
        raise ArnError(f"plugins: a config file cannot name packages to run code of; say plugins=[{','.join(named)}]")
    return named
