"""Where a run is shown: one small interface over any logger of Lightning's, with more for those that can show more.

A training, a bench and a report say what they have (scalars, images with maps, tables, files, a summary). Any logger of
Lightning's works by its ``_target_`` alone and gets scalars and the config; one that shows more is a class here and its
entry in ``ADAPTERS``, by the last part of that ``_target_``. A logger's library is imported only when it is chosen.
"""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from arn.config.instantiate import instantiate
from arn.errors import ArnError
from arn.files import write_atomically
from arn.runs import Run, first_rank


@dataclass(frozen=True)
class ShownImage:
    """A picture (uint8 RGB H x W x 3, or the file of one) and gray maps of it (uint8 H x W, 0..255) by name."""

    picture: NDArray[np.uint8] | Path
    caption: str = ""
    maps: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)

    def side_by_side(self) -> NDArray[np.uint8]:
        """uint8 RGB: the picture, then each map."""
        picture = self.picture
        if isinstance(picture, Path):
            from arn.data.images import read_picture

            picture = read_picture(picture)
        return np.concatenate([picture, *(cv2.cvtColor(one, cv2.COLOR_GRAY2RGB) for one in self.maps.values())], axis=1)


Line = tuple[Sequence[float], Sequence[float]]
"""x and y of a curve."""


@dataclass(frozen=True)
class Place:
    """What a logger is told of a run when it is made.

    Attributes:
        folder: what it may write to.
        kind: ``train``, ``bench`` or ``report``.
        group: what the runs of a sweep are put together under.
    """

    folder: Path
    kind: str
    group: str | None = None

    def identity(self, name: str, fresh: str) -> str | None:
        """What a logger knows the run by, kept in the run's folder, so that a resumed run goes on as the same one.

        None on ranks beside the first, which log nothing.
        """
        file = Run(self.folder).logger_id(name)
        if first_rank() and not file.is_file():
            write_atomically(file, fresh.encode())
        return file.read_text() if file.is_file() else None


class RunLogger:
    """Any logger of Lightning's. What a class does not show of these it leaves out, and says so once."""

    remark = "takes scalars and the config only: images, tables, files and the summary are in the run's folder"
    _told = False

    def __init__(self, lightning: Any, place: Place) -> None:
        self.lightning, self.place = lightning, place

    @staticmethod
    def arguments(place: Place, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """What Lightning's logger is built with beside its config, ``chosen``."""
        return {}

    def config(self, values: Mapping[str, Any]) -> None:
        """What the run was asked for."""
        self.lightning.log_hyperparams(dict(values))

    def goals(self, directions: Mapping[str, str]) -> None:
        """Which value of a metric stands for the run: ``min`` or ``max`` of all its steps."""

    def watch(self, network: Any, what: str, every: int) -> None:
        """Histograms of ``gradients``, ``parameters`` or ``all``, at every so many training steps."""
        print(f"logger: watch={what}: {type(self.lightning).__name__} draws no histograms", flush=True)

    def scalars(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.lightning.log_metrics(dict(values), step)

    def images(self, key: str, images: Sequence[ShownImage], step: int | None = None) -> None:
        self._leave_out()

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._leave_out()

    def curves(self, key: str, title: str, lines: Mapping[str, Line], x: str) -> None:
        """Lines by name, over an axis ``x``."""
        self._leave_out()

    def artifact(self, name: str, kind: str, files: Sequence[Path], metadata: Mapping[str, Any] | None = None) -> None:
        """Files that belong together; the logger makes the name one of this run."""
        self._leave_out()

    def summary(self, values: Mapping[str, Any]) -> None:
        """What the run came to."""
        self._leave_out()

    def close(self, failed: bool = False) -> None:
        """Everything is sent. Nothing may be logged afterwards."""
        self.lightning.finalize("failed" if failed else "success")

    def _leave_out(self) -> None:
        if self.remark and not self._told:
            print(f"logger: {type(self.lightning).__name__} {self.remark}", flush=True)
        self._told = True


class CsvFile(RunLogger):
    """The CSV file of a run's folder; it says nothing of what lies beside it."""

    remark = ""

    def config(self, values: Mapping[str, Any]) -> None:
        """In the run's folder already."""

    def watch(self, network: Any, what: str, every: int) -> None:
        """Another logger's."""


class Wandb(RunLogger):
    """Weights & Biases. What a bench or a report logs is one step, sent when it is closed."""

    def __init__(self, lightning: Any, place: Place) -> None:
        super().__init__(lightning, place)
        self._pending: dict[str, Any] = {}

    @staticmethod
    def arguments(place: Place, chosen: Mapping[str, Any]) -> dict[str, Any]:
        known = {"group": place.group, "job_type": place.kind}
        if place.kind != "train":
            return {**known, "save_dir": str(place.folder), "reinit": "finish_previous"}
        return {**known, "id": place.identity("wandb", secrets.token_hex(4)), "resume": "allow"}

    def _log(self, values: dict[str, Any], step: int | None = None) -> None:
        if self.place.kind == "train":
            self.lightning.log_metrics(values, step)
        else:
            self._pending |= values

    def goals(self, directions: Mapping[str, str]) -> None:
        for key, direction in directions.items():
            self.lightning.experiment.define_metric(key, summary=direction, step_metric="trainer/global_step")

    def watch(self, network: Any, what: str, every: int) -> None:
        self.lightning.watch(network, log=what, log_freq=every, log_graph=False)

    def scalars(self, values: Mapping[str, float], step: int | None = None) -> None:
        self._log(dict(values), step)

    def images(self, key: str, images: Sequence[ShownImage], step: int | None = None) -> None:
        shown = [_wandb_image(image) for image in _of_one_size(images)]
        self._log({key: shown[0] if len(shown) == 1 else shown}, step)

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        import wandb

        self._log({key: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    def curves(self, key: str, title: str, lines: Mapping[str, Line], x: str) -> None:
        import wandb

        xs, ys = [list(line[0]) for line in lines.values()], [list(line[1]) for line in lines.values()]
        self._log({key: wandb.plot.line_series(xs=xs, ys=ys, keys=list(lines), title=title, xname=x)})

    def artifact(self, name: str, kind: str, files: Sequence[Path], metadata: Mapping[str, Any] | None = None) -> None:
        import wandb

        session = self.lightning.experiment
        artifact = wandb.Artifact(f"{name}-{session.id}", type=kind, metadata=dict(metadata or {}))
        for file in files:
            artifact.add_file(str(file))
        session.log_artifact(artifact)

    def summary(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            self.lightning.experiment.summary[key] = value

    def close(self, failed: bool = False) -> None:
        """Two runs in one process would merge unless each ends."""
        if self._pending and not failed:
            self.lightning.experiment.log(self._pending)
        wandb = sys.modules.get("wandb")
        if wandb is not None:
            wandb.finish(exit_code=int(failed))


def _of_one_size(images: Sequence[ShownImage]) -> list[ShownImage]:
    """W&B shows a step's pictures in the first one's size: smaller ones get a white border on the right and below."""
    sizes = [image.picture.shape[:2] for image in images if not isinstance(image.picture, Path)]
    if len(sizes) < len(images):
        return list(images)  # files
    height, width = (max(side) for side in zip(*sizes, strict=True))

    def padded(array: NDArray[np.uint8], value: int) -> NDArray[np.uint8]:
        below, right = height - array.shape[0], width - array.shape[1]
        return np.pad(array, ((0, below), (0, right), (0, 0))[: array.ndim], constant_values=value)

    return [
        ShownImage(
            padded(image.picture, 255), image.caption, {name: padded(one, 0) for name, one in image.maps.items()}
        )
        for image in images
        if not isinstance(image.picture, Path)
    ]


def _wandb_image(image: ShownImage) -> Any:
    """The picture with its maps as overlays that can be switched on and off; a map covers where it is above half."""
    import wandb

    masks = {
        name: {"mask_data": (one > 127).astype(np.uint8), "class_labels": {0: "background", 1: "object"}}
        for name, one in image.maps.items()
    }
    picture = str(image.picture) if isinstance(image.picture, Path) else image.picture
    return wandb.Image(picture, caption=image.caption or None, masks=masks or None)


class TensorBoard(RunLogger):
    """Event files: images with a slider over steps, tables as text, the config and the summary under HParams."""

    remark = "keeps no files: they are in the run's folder"

    def __init__(self, lightning: Any, place: Place) -> None:
        super().__init__(lightning, place)
        self._config: dict[str, Any] = {}

    def config(self, values: Mapping[str, Any]) -> None:
        self._config = dict(values)

    def images(self, key: str, images: Sequence[ShownImage], step: int | None = None) -> None:
        for number, image in enumerate(images):
            tag = key if len(images) == 1 and not image.caption else f"{key}/{image.caption or number}"
            self.lightning.experiment.add_image(tag, image.side_by_side(), step, dataformats="HWC")

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        lines = [columns, ["---"] * len(columns), *rows]
        text = "\n".join(f"| {' | '.join('' if cell is None else str(cell) for cell in line)} |" for line in lines)
        self.lightning.experiment.add_text(key, text)

    def curves(self, key: str, title: str, lines: Mapping[str, Line], x: str) -> None:
        """Drawn in the figures of a bench, which come as images."""

    def summary(self, values: Mapping[str, Any]) -> None:
        numbers = {key: value for key, value in values.items() if isinstance(value, int | float)}
        words = {key: value for key, value in values.items() if key not in numbers}
        self.lightning.log_hyperparams({**self._config, **words}, numbers)


class MLFlow(RunLogger):
    """MLflow: images with a slider over steps, tables as JSON of its own kind, files as artifacts."""

    def __init__(self, lightning: Any, place: Place) -> None:
        super().__init__(lightning, place)
        if first_rank():
            run_id = lightning.run_id
            if place.kind == "train":
                place.identity("mlflow", run_id)
            lightning.experiment.update_run(run_id, status="RUNNING")

    @staticmethod
    def arguments(place: Place, chosen: Mapping[str, Any]) -> dict[str, Any]:
        kind, _, file = str(chosen.get("tracking_uri")).partition(":///")
        if kind == "sqlite" and first_rank():
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        tags = {"kind": place.kind} | ({} if place.group is None else {"group": place.group})
        known = Run(place.folder).logger_id("mlflow")
        if place.kind == "train" and known.is_file():
            return {"tags": tags, "run_id": known.read_text()}
        return {"tags": tags}

    def _client(self) -> tuple[Any, str]:
        return self.lightning.experiment, self.lightning.run_id

    def config(self, values: Mapping[str, Any]) -> None:
        from mlflow.exceptions import MlflowException

        with contextlib.suppress(MlflowException):  # a parameter keeps its first value: of a resumed run, what it was
            self.lightning.log_hyperparams(dict(values))

    def images(self, key: str, images: Sequence[ShownImage], step: int | None = None) -> None:
        client, run = self._client()
        for number, image in enumerate(images):
            name = key if len(images) == 1 and not image.caption else f"{key}/{image.caption or number}"
            client.log_image(run, image.side_by_side(), key=_mlflow_key(name), step=step or 0)

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        client, run = self._client()
        client.log_dict(run, {"columns": list(columns), "data": [list(row) for row in rows]}, f"tables/{key}.json")

    def curves(self, key: str, title: str, lines: Mapping[str, Line], x: str) -> None:
        client, run = self._client()
        told = {name: {x: list(line[0]), "y": list(line[1])} for name, line in lines.items()}
        client.log_dict(run, {"title": title, "lines": told}, f"curves/{_mlflow_key(key)}.json")

    def artifact(self, name: str, kind: str, files: Sequence[Path], metadata: Mapping[str, Any] | None = None) -> None:
        client, run = self._client()
        for file in files:
            client.log_artifact(run, str(file), kind)
        if metadata:
            client.log_dict(run, dict(metadata), f"{kind}/{name}.json")

    def summary(self, values: Mapping[str, Any]) -> None:
        client, run = self._client()
        for key, value in values.items():
            if isinstance(value, int | float):
                client.log_metric(run, _mlflow_key(key), value)
            else:
                client.set_tag(run, _mlflow_key(key), value)


def _mlflow_key(name: str) -> str:
    """MLflow takes letters, digits and a few signs."""
    return "".join(sign if sign.isalnum() or sign in "_-. /" else "_" for sign in name)


ADAPTERS: dict[str, type[RunLogger]] = {
    "CSVLogger": CsvFile,
    "WandbLogger": Wandb,
    "TensorBoardLogger": TensorBoard,
    "MLFlowLogger": MLFlow,
}
"""What is known of Lightning's loggers; any other is a plain :class:`RunLogger`."""

_NEEDED = {
    "WandbLogger": ("wandb", ["wandb"]),
    "TensorBoardLogger": ("tensorboard", ["tensorboard"]),
    "MLFlowLogger": ("mlflow", ["mlflow", "sqlalchemy", "alembic"]),
}
"""The extra of this package that a logger comes with, and what it imports."""


@contextlib.contextmanager
def open_loggers(chosen: Mapping[str, Any] | None, place: Place) -> Iterator[list[RunLogger]]:
    """The loggers that conf/logger names, until the run ends; what is raised meanwhile marks it as failed.

    Raises:
        ArnError: the library of a logger is not installed, naming the extra.
    """
    loggers: list[RunLogger] = []
    failed = True
    try:
        for name, entry in (chosen or {}).items():
            kind = str(entry["_target_"]).rpartition(".")[2]
            adapter = ADAPTERS.get(kind, RunLogger)
            if adapter is CsvFile and place.kind != "train":
                continue  # its scores.csv is in the folder already
            extra, packages = _NEEDED.get(kind, ("", []))
            missing = [package for package in packages if importlib.util.find_spec(package) is None]
            if missing:
                raise ArnError(f"logger={name} needs {', '.join(missing)}: pip install 'arn-saliency[{extra}]'")
            if entry.get("save_dir", "") is None:  # said now, as a run may have been moved since its config was written
                entry = {**entry, "save_dir": str(place.folder)}
            made = instantiate(entry, f"logger.{name}", **adapter.arguments(place, entry))
            loggers.append(adapter(made, place))
        yield loggers
        failed = False
    finally:
        for logger in loggers:
            logger.close(failed)
