"""The command line of ``arn predict``: files and flags as people type them, beside ``key=value`` for Hydra."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arn.errors import ArnError

PATHS = ("input", "output", "background", "checkpoint", "onnx")
"""Keys whose values are taken as they are typed: a name of a file is no word of Hydra's grammar."""

_HYDRAS = ("--hydra-help", "--resolve", "--info", "-i", "--run", "-r", "--multirun", "-m", "-sc", "--shell-completion")
_HYDRAS_WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-name", "-cn", "--config-dir", "-cd", "--config-path")


@dataclass(frozen=True)
class Typed:
    """What a command line says.

    Args:
        words: names of pictures.
        keys: of conf/predict.yaml, with values that are to stand as they are.
        overrides: for Hydra.
    """

    words: list[str]
    keys: dict[str, Any]
    overrides: list[str]


def parse(arguments: Sequence[str]) -> Typed:
    """Raises ArnError for an option that there is not."""
    parser = argparse.ArgumentParser(prog="arn predict", add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("-o", "--output")
    parser.add_argument("--overwrite", action="store_true", default=None)
    parser.add_argument("--watch", action="store_true", default=None)
    ours: list[str] = []
    theirs: list[str] = []
    names: list[str] = []  # whatever they look like
    keys: dict[str, Any] = {}
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            names += rest
        elif argument in _HYDRAS_WITH_VALUE:
            theirs += [argument, *[value for value in [next(rest, None)] if value is not None]]
        elif _is_override(argument) and (not ours or ours[-1] not in ("-o", "--output")):
            path = _path(argument)
            keys |= dict([path]) if path else {}
            theirs += _for_hydra(*path) if path else [argument]
        else:
            ours.append(argument)
    try:
        flags, unknown = parser.parse_known_intermixed_args(ours)
    except (argparse.ArgumentError, SystemExit) as error:
        raise ArnError(str(error)) from error
    if strange := [word for word in unknown if word.split("=")[0] not in _HYDRAS]:
        raise ArnError(f"there is no option {strange[0]}; `arn predict --help` has them, and a file is named after --")
    keys |= {key: value for key, value in vars(flags).items() if key != "words" and value is not None}
    return Typed([*flags.words, *names], keys, [*theirs, *unknown])


def _is_override(argument: str) -> bool:
    """``key=value``, unless a file is called so."""
    key, equals, _ = argument.lstrip("+~").partition("=")
    return bool(equals) and key.replace(".", "").replace("/", "").isidentifier() and not _is_there(argument)


def _is_there(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # no name of a file
        return False


def _path(override: str) -> tuple[str, str] | None:
    """Key and value where the value is a path, taken as it stands; one in quotes is without them."""
    key, _, value = override.partition("=")
    if key not in PATHS or value in ("", "null"):
        return None
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return key, value[1:-1] if quoted else value


def _for_hydra(key: str, value: str) -> list[str]:
    """The override that shows a path in ``--cfg job``; one that Hydra would read into is left out."""
    if value.endswith("\\") or "${" in value or "\\'" in value:
        return []
    quoted = value.replace("'", "\\'")
    return [f"{key}='{quoted}'"]
