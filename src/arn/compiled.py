"""numba's `njit` where neither the installation nor the user's folder can be written, as in many containers."""

from __future__ import annotations

import functools
import multiprocessing
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def njit(**options: Any) -> Callable[[Any], Any]:
    """As numba's; kernels that are to be kept and can be kept nowhere else go to the temporary folder, or nowhere."""

    def decorate(function: Any) -> Any:
        try:
            return numba.njit(**options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
        place = _temporary()
        if place is None:
            return numba.njit(**{**options, "cache": False})(function)
        numba.config.CACHE_DIR = str(place)  # type: ignore[attr-defined]  # looked at first, by this and all that follow
        return numba.njit(**options)(function)

    return decorate


@functools.cache
def _temporary() -> Path | None:
    """A folder of this user's alone: what lies there is run. None where there can be none; says which, once."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    try:
        place = Path(tempfile.gettempdir(), f"arn-kernels-{user}")
        place.mkdir(mode=0o700, exist_ok=True)
        status = place.lstat()
        ours = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077 and user in ("user", status.st_uid)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError:  # also where there is no temporary folder
        place, ours = Path(), False
    if multiprocessing.parent_process() is None:
        kept = f"go to {place}" if ours else "are compiled anew by every command; NUMBA_CACHE_DIR=FOLDER keeps them"
        print(f"arn: neither the installation nor HOME can be written: compiled kernels {kept}", file=sys.stderr)
    return place if ours else None
