"""Configs: where they lie, how they are composed, what may be built from them, and what a run is known by."""

from __future__ import annotations

from pathlib import Path

from arn.errors import ArnError


def config_dir() -> Path:
    """``conf/`` of the checkout, or its copy inside an installed wheel."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "_conf" / "conf", package.parents[1] / "conf"):
        if place.is_dir():
            return place
    raise ArnError(f"no config folder beside {package}: the installation is incomplete, install arn-saliency again")


def sweeps_dir() -> Path:
    """``sweeps/`` beside ``conf/``, in a checkout and in an installed wheel alike."""
    return config_dir().parent / "sweeps"
