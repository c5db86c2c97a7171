"""How saliency maps are scored, under named protocols: a file for each measure in `measures`.

All but `saliency` does without torch and serves worker processes; `SaliencyMetrics` is a torchmetrics.Metric on top
of them. docs/protocols.md has every formula and its source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arn import lazy

if TYPE_CHECKING:
    from arn.metrics.functional import Rows, Totals, score
    from arn.metrics.measures import MEASURES
    from arn.metrics.protocols import BINARISATIONS, PROTOCOLS, Protocol, get_protocol
    from arn.metrics.saliency import SaliencyMetrics

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "functional": "Rows Totals score",
        "measures": "MEASURES",
        "protocols": "BINARISATIONS PROTOCOLS Protocol get_protocol",
        "saliency": "SaliencyMetrics",
    },
)
