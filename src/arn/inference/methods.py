"""What has a map for a picture: a trained network, a training-free method, or a folder of maps that somebody published.

Nothing here imports torch, so that the processes that only score maps need not wait for it: trained networks are
:mod:`arn.inference.predictor` and :mod:`arn.inference.onnx`.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from arn.classical import METHODS
from arn.errors import ArnError
from arn.files import digest
from arn.inference.map_folder import MapFolder
from arn.provenance import code_version

Kind = Literal["checkpoint", "onnx", "classical", "maps"]
Picture = NDArray[np.uint8]
Map = NDArray[np.float32]


class Method(Protocol):
    """What makes maps of pictures."""

    name: str  # in tables
    kind: Kind
    source: str  # file, folder or function it comes from
    trained_on: tuple[str, ...] | None  # data sets; None where that is not known, () for training-free methods
    parameters: int | None  # of a network; None where that is not known
    batch_size: int

    @property
    def device(self) -> str: ...

    @property
    def fingerprint(self) -> bytes:
        """A hash of all that its maps depend on but the picture."""

    def maps(self, pictures: Sequence[Picture]) -> Sequence[Map]:
        """uint8 RGB H x W x 3 of any sizes -> float32 H x W in 0..1, each at its own size."""


class Classical:
    """A training-free method of :mod:`arn.classical`, by its name there."""

    kind: Kind = "classical"
    batch_size = 1
    parameters: int | None = None
    trained_on: tuple[str, ...] | None = ()
    device = "CPU, 1 thread"

    def __init__(self, name: str) -> None:
        if name not in METHODS:
            raise ArnError(f"method={name}: there is no such training-free method; there are {', '.join(METHODS)}")
        self.name, self.source = name, f"arn.classical.METHODS[{name!r}]"

    @property
    def fingerprint(self) -> bytes:
        return digest("classical", self.name, code_version("arn.classical"), platform.machine())

    def maps(self, pictures: Sequence[Picture]) -> list[Map]:
        return [METHODS[self.name](picture) for picture in pictures]


AnyMethod = Method | MapFolder
"""What a bench scores."""
