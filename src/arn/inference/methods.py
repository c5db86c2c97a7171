"""What makes a map: a checkpoint, an ONNX file, a training-free method, or a folder of maps that somebody published."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from arn.classical import METHODS
from arn.errors import ArnError
from arn.files import digest, file_digest
from arn.provenance import code_version

Kind = Literal["checkpoint", "onnx", "classical", "maps"]


class Method(Protocol):
    """Anything that has a map for a picture.

    Attributes:
        name: what tables call it.
        source: file, folder or function it comes from.
        trained_on: data sets it was trained on; None where that is not known, () for training-free methods.
        parameters: of a network.
    """

    name: str
    kind: Kind
    source: str
    trained_on: tuple[str, ...] | None
    parameters: int | None


class Maker(Method, Protocol):
    """A method that makes its maps here.

    Attributes:
        device: what it runs on, as tables say it.
        batch_size: pictures it takes at a time.
        fingerprint: a hash of all that its maps depend on but the picture.
    """

    batch_size: int

    @property
    def device(self) -> str: ...

    @property
    def fingerprint(self) -> bytes: ...

    def maps(self, pictures: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[Any]]:
        """uint8 RGB H x W x 3 -> float32 H x W in 0..1, each at its own size."""


class Checkpoint:
    """A trained network: a checkpoint file, a run folder, or what `arn export` wrote."""

    kind: Kind = "checkpoint"

    def __init__(self, name: str, path: str | Path, batch_size: int = 8, device: str = "auto") -> None:
        import torch

        from arn.inference.predictor import Predictor
        from arn.inference.weights import load_network

        if Path(path).suffix == ".onnx":
            raise ArnError(f"checkpoints.{name}={path} is an ONNX file: name it in onnx={{NAME: FILE}}")
        self.name, self.source, self.batch_size = name, str(path), batch_size
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.predictor = Predictor(*load_network(path), device)
        self.parameters: int | None = sum(one.numel() for one in self.predictor.network.parameters())
        config = self.predictor.config
        trained_on = config.get("trained_on") or (config.get("data") or {}).get("train") or ()
        self.trained_on: tuple[str, ...] | None = tuple(map(str, trained_on)) or None
        self._torch = torch

    @property
    def device(self) -> str:
        torch = self._torch
        if self.predictor.device.type == "cuda":
            return str(torch.cuda.get_device_name(self.predictor.device))
        return f"CPU, {torch.get_num_threads()} threads"

    @cached_property
    def fingerprint(self) -> bytes:
        parts: list[str | bytes] = ["checkpoint", self._torch.__version__, self.predictor.device.type]
        parts.append(code_version("arn.networks", "arn.inference", "arn.data.transforms"))
        parts.append(repr(sorted((self.predictor.config.get("network") or {}).items())))
        for key, tensor in self.predictor.network.state_dict().items():
            parts += [key, str(tensor.dtype), tensor.detach().cpu().contiguous().numpy().tobytes()]
        return digest(*parts)

    def maps(self, pictures: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[Any]]:
        return self.predictor.maps(list(pictures))


class Onnx:
    """An ONNX file in ONNX Runtime; see :class:`arn.inference.onnx.OnnxModel` for which files will do."""

    kind: Kind = "onnx"
    parameters: int | None = None

    def __init__(self, name: str, path: str | Path, batch_size: int = 8) -> None:
        import torch

        from arn.inference.onnx import OnnxModel

        self.name, self.source, self.batch_size = name, str(path), batch_size
        self.model = OnnxModel(path)
        trained_on = self.model.metadata.get("arn.trained_on")
        self.trained_on: tuple[str, ...] | None = tuple(trained_on.split(", ")) if trained_on else None
        self._threads = torch.get_num_threads()

    @property
    def device(self) -> str:
        return f"CPU, {self._threads} threads, ONNX Runtime"

    @cached_property
    def fingerprint(self) -> bytes:
        code = code_version("arn.inference", "arn.data.transforms")
        return digest("onnx", version("onnxruntime"), code, file_digest(Path(self.source)))

    def maps(self, pictures: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[Any]]:
        return self.model.maps(list(pictures))


class Classical:
    """A training-free method of :mod:`arn.classical`, by its name there."""

    kind: Kind = "classical"
    batch_size = 1
    parameters: int | None = None
    trained_on: tuple[str, ...] | None = ()

    def __init__(self, name: str) -> None:
        if name not in METHODS:
            raise ArnError(f"there is no training-free method {name!r}; there are {', '.join(METHODS)}")
        self.name, self.source = name, f"arn.classical.METHODS[{name!r}]"

    @property
    def device(self) -> str:
        return "CPU, 1 thread"

    @property
    def fingerprint(self) -> bytes:
        return digest("classical", self.name, code_version("arn.classical"), platform.machine())

    def maps(self, pictures: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[Any]]:
        return [METHODS[self.name](picture) for picture in pictures]


class MapFolder:
    """Maps made elsewhere: ``<folder>/<stem>.png`` at the picture's size.

    `folder`: with ``{dataset}`` in it, the data set's name is filled in. Or {data set: folder}, for maps that exist for
    these sets alone.
    """

    kind: Kind = "maps"
    parameters: int | None = None
    trained_on: tuple[str, ...] | None = None

    def __init__(self, name: str, folder: str | Path | Mapping[str, str]) -> None:
        self.name, self.folder = name, folder
        self.source = ", ".join(folder.values()) if isinstance(folder, Mapping) else str(folder)

    def has(self, dataset: str) -> bool:
        return not isinstance(self.folder, Mapping) or dataset in self.folder

    def files(self, dataset: str) -> dict[str, Path]:
        """Every map by its stem. Raises ArnError where there is no such folder."""
        given = self.folder[dataset] if isinstance(self.folder, Mapping) else str(self.folder)
        place = Path(given.replace("{dataset}", dataset))
        if not place.is_dir():
            raise ArnError(f"maps.{self.name}: there is no folder {place}")
        return {path.stem: path for path in sorted(place.glob("*.png"))}
