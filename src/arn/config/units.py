"""Sizes and times as people write them: ``5GB``, ``30d``."""

from __future__ import annotations

import re
from typing import Any

from arn.errors import ArnError

_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_TIMES = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def parse_size(key: str, value: Any) -> int:
    """Bytes of ``5GB`` (10^9), or of a plain number of them. Raises ArnError naming the key."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?B)?", str(value).strip().upper())
    if found is None:
        raise ArnError(f"{key}={value}: must be a size, as in {key}=5GB or {key}=500MB")
    return round(float(found[1]) * _SIZES[found[2] or "B"])


def parse_time(key: str, value: Any) -> float:
    """Seconds of ``12h``, ``30d`` or ``8w``. Raises ArnError naming the key."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([hdw])", str(value).strip())
    if found is None:
        raise ArnError(f"{key}={value}: must be a time, as in {key}=30d; also h for hours, w for weeks")
    return float(found[1]) * _TIMES[found[2]]


def size_told(count: int) -> str:
    """``12.4 GB``; a value below 10 with two decimals, below 100 with one."""
    for unit in ("GB", "MB", "KB"):
        if count >= _SIZES[unit]:
            number = count / _SIZES[unit]
            return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f} {unit}"
    return f"{count} bytes"


def time_told(seconds: float) -> str:
    """``3 minutes``, ``5 hours``, ``12 days``, ``< 1 minute``."""
    for unit, length in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= length:
            count = int(seconds / length)
            return f"{count:,} {unit}{'s' if count > 1 else ''}"
    return "< 1 minute"
