"""Where a run is shown: one small interface, behind which stands W&B or any logger of Lightning's.

A training, a bench and a report say what they have (scalars, images with masks, tables, files, a summary); what a
logger cannot show it leaves out. Another logger is one class here and its entry in ``TRAINING`` or ``RESULTS``, by the
last part of the ``_target_`` in conf/logger. The library of a logger is imported only when its logger is chosen.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arn.config.instantiate import instantiate
from arn.errors import ArnError
from arn.files import write_atomically
from arn.runs import Run, first_rank


@dataclass(frozen=True)
class ShownImage:
    """A picture (uint8 RGB H x W x 3, gray H x W, or the file of one) and masks over it (bool H x W) by name."""

    picture: NDArray[np.uint8] | Path
    caption: str = ""
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


Line = tuple[Sequence[float], Sequence[float]]
"""x and y of a curve."""


class RunLogger:
    """A run as a logger shows it. What a class does not know of these it leaves out, and says so once."""

    remark = "takes scalars only: images, tables, files and the summary are in the run's folder"
    _told = False

    def scalars(self, values: Mapping[str, float], step: int | None = None) -> None:
        self._leave_out()

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
        self._leave_out()

    def close(self) -> None:
        """Everything is sent. Nothing may be logged afterwards."""

    def _leave_out(self) -> None:
        if self.remark and not self._told:
            print(f"logger: {self.remark}", flush=True)
        self._told = True


class TrainingLogger(RunLogger):
    """Any logger of Lightning's. The trainer logs scalars to it by itself."""

    def __init__(self, lightning: Any) -> None:
        self.lightning = lightning
        self.remark = f"{type(lightning).__name__} {self.remark}" if self.remark else ""

    @staticmethod
    def arguments(run: Run, sweep: str | None) -> dict[str, Any]:
        """What Lightning's logger is built with beside its config.

        Args:
            sweep: what the runs of a sweep are grouped under.
        """
        return {}

    def config(self, values: Mapping[str, Any]) -> None:
        """What the run was asked for."""

    def scalars(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.lightning.log_metrics(dict(values), step)


class CsvFile(TrainingLogger):
    """The CSV file of a run's folder; it says nothing of what lies beside it."""

    remark = ""


class _Wandb(RunLogger):
    """What a W&B run is told, whoever began it."""

    @property
    def session(self) -> Any:
        """W&B's own object of the run."""
        raise NotImplementedError

    def _log(self, values: dict[str, Any], step: int | None = None) -> None:
        raise NotImplementedError

    def scalars(self, values: Mapping[str, float], step: int | None = None) -> None:
        self._log(dict(values), step)

    def images(self, key: str, images: Sequence[ShownImage], step: int | None = None) -> None:
        self._log({key: [_wandb_image(image) for image in images]}, step)

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        import wandb

        table = wandb.Table(list(columns))
        for row in rows:
            table.add_data(*row)
        self._log({key: table})

    def curves(self, key: str, title: str, lines: Mapping[str, Line], x: str) -> None:
        import wandb

        xs, ys = [list(line[0]) for line in lines.values()], [list(line[1]) for line in lines.values()]
        self._log({key: wandb.plot.line_series(xs=xs, ys=ys, keys=list(lines), title=title, xname=x)})

    def artifact(self, name: str, kind: str, files: Sequence[Path], metadata: Mapping[str, Any] | None = None) -> None:
        import wandb

        artifact = wandb.Artifact(f"{name}-{self.session.id}", type=kind)
        if metadata is not None:
            artifact.metadata = dict(metadata)
        for file in files:
            artifact.add_file(str(file))
        self.session.log_artifact(artifact)

    def summary(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            self.session.summary[key] = value


class WandbTraining(_Wandb, TrainingLogger):
    """Lightning's ``WandbLogger``. A resumed run goes on as the W&B run that it was, by the id in the run's folder."""

    @staticmethod
    def arguments(run: Run, sweep: str | None) -> dict[str, Any]:
        file = run.wandb_id
        if first_rank() and not file.is_file():
            write_atomically(file, secrets.token_hex(4).encode())
        identity = file.read_text() if file.is_file() else None  # other ranks log nothing
        return {"id": identity, "resume": "allow", "group": sweep, "job_type": "train"}

    @property
    def session(self) -> Any:
        return self.lightning.experiment

    def _log(self, values: dict[str, Any], step: int | None = None) -> None:
        self.lightning.log_metrics(values, step)

    def config(self, values: Mapping[str, Any]) -> None:
        self.lightning.log_hyperparams(dict(values))

    def close(self) -> None:
        """Two runs in one process would merge unless each ends."""
        wandb = sys.modules.get("wandb")
        if wandb is not None:
            wandb.finish()


class WandbResult(_Wandb):
    """A W&B run of a bench or a report: everything is logged at once, as one step, when it is closed."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._pending: dict[str, Any] = {}

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, chosen: Mapping[str, Any], folder: Path, kind: str, config: Mapping[str, Any]
    ) -> Iterator[WandbResult]:
        import wandb

        options = {key: value for key, value in chosen.items() if key not in ("_target_", "save_dir", "offline")}
        with wandb.init(
            dir=str(chosen.get("save_dir") or folder),
            mode="offline" if chosen.get("offline") else "online",
            job_type=kind,
            config=dict(config),
            reinit="finish_previous",
            **options,
        ) as session:
            logger = cls(session)
            yield logger
            logger.close()

    @property
    def session(self) -> Any:
        return self._session

    def _log(self, values: dict[str, Any], step: int | None = None) -> None:
        self._pending |= values

    def images(self, key: str, images: Sequence[ShownImage], step: int | None = None) -> None:
        shown = [_wandb_image(image) for image in images]
        self._log({key: shown[0] if len(shown) == 1 else shown}, step)

    def close(self) -> None:
        if self._pending:
            self.session.log(self._pending)
        self._pending = {}


def _wandb_image(image: ShownImage) -> Any:
    import wandb

    options: dict[str, Any] = {"caption": image.caption} if image.caption else {}
    if image.masks:
        options["masks"] = {
            name: {"mask_data": mask.astype(np.uint8), "class_labels": {0: "background", 1: name}}
            for name, mask in image.masks.items()
        }
    return wandb.Image(str(image.picture) if isinstance(image.picture, Path) else image.picture, **options)


TRAINING: dict[str, type[TrainingLogger]] = {"CSVLogger": CsvFile, "WandbLogger": WandbTraining}
"""How a training reaches Lightning's loggers; any other through :class:`TrainingLogger` itself."""

RESULTS = {"WandbLogger": WandbResult}
"""How a bench and a report open a run of their own."""


@contextlib.contextmanager
def training_loggers(
    chosen: Mapping[str, Any] | None, run: Run, sweep: str | None = None
) -> Iterator[list[TrainingLogger]]:
    """The loggers of a training, by what conf/logger names, until it ends."""
    with contextlib.ExitStack() as closing:
        loggers: list[TrainingLogger] = []
        for name, entry in (chosen or {}).items():
            kind = TRAINING.get(_class_of(entry), TrainingLogger)
            lightning = instantiate(entry, f"logger.{name}", **kind.arguments(run, sweep))
            loggers.append(kind(lightning))
            closing.callback(loggers[-1].close)
        yield loggers


def result_logger(
    chosen: Mapping[str, Any], folder: Path, kind: str, config: Mapping[str, Any]
) -> contextlib.AbstractContextManager[RunLogger]:
    """A run of its own for what no training made, closed with its block.

    Args:
        chosen: one entry of conf/logger, resolved: where and how.
        folder: what the logger may write to.
        kind: of run, ``bench`` or ``report``.
        config: what to tell of it beside its results.

    Raises:
        ArnError: a logger that cannot do this.
    """
    name = _class_of(chosen)
    if name not in RESULTS:
        raise ArnError(f"logger: {name} cannot show a {kind}; {', '.join(RESULTS)} can")
    return RESULTS[name].opened(chosen, folder, kind, config)


def _class_of(entry: Mapping[str, Any]) -> str:
    return str(entry["_target_"]).rpartition(".")[2]
