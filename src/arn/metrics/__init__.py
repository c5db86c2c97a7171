"""How saliency maps are scored, under named protocols: a file for each measure in `measures`.

All but `saliency` needs NumPy and numba only and serves worker processes; `SaliencyMetrics`, a
torchmetrics.Metric on top of them, loads torch on first use. docs/protocols.md has every formula and its source.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from arn.metrics.protocols import BINARISATIONS, PROTOCOLS, Protocol, get_protocol

if TYPE_CHECKING:
    from arn.metrics.functional import Rows, Totals, score
    from arn.metrics.measures import MEASURES
    from arn.metrics.saliency import SaliencyMetrics

__all__ = [
    "BINARISATIONS",
    "MEASURES",
    "PROTOCOLS",
    "Protocol",
    "Rows",
    "SaliencyMetrics",
    "Totals",
    "get_protocol",
    "score",
]

_HOME = {
    "MEASURES": "measures",
    "Rows": "functional",
    "SaliencyMetrics": "saliency",
    "Totals": "functional",
    "score": "functional",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"arn.metrics.{_HOME[name]}"), name)
    raise AttributeError(f"module 'arn.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
