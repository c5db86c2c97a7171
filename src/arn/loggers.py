"""Where a run is shown: one small interface, behind which stands W&B or any logger of Lightning's.

A training, a bench and a report say what they have (scalars, images with masks, tables, files, a summary); what a
logger cannot show it leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ShownImage:
    """A picture (uint8 RGB H x W x 3 or gray H x W) and masks over it (bool H x W) by name."""

    picture: NDArray[np.uint8]
    caption: str = ""
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


class RunLogger(Protocol):
    """A run as a logger shows it."""

    def scalars(self, values: Mapping[str, float], step: int | None = None) -> None: ...

    def images(self, key: str, images: Sequence[ShownImage], step: int | None = None) -> None: ...

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None: ...

    def curves(self, key: str, title: str, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
        """Lines by name, each as x and y."""

    def artifact(
        self, name: str, kind: str, files: Sequence[Path], metadata: Mapping[str, Any] | None = None
    ) -> None: ...

    def summary(self, values: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...
