"""Sheets of panels: picture, mask and map side by side, after each validation and of the test sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback

from arn.data.datamodule import SaliencyDataModule
from arn.data.sources import Source
from arn.data.transforms import resize
from arn.files import write_atomically
from arn.inference.predictor import Predictor
from arn.loggers import RunLogger, ShownImage
from arn.runs import Run


def panel(picture: NDArray[np.uint8], mask: NDArray[np.uint8], saliency: NDArray[np.float32], side: int = 224) -> Any:
    """Picture, mask and map side by side: uint8 RGB, ``side`` high."""
    height, width = picture.shape[:2]
    shape = (side, max(1, round(width * side / height)))
    gray = [resize(one, *shape) for one in (mask, np.round(saliency * 255).astype(np.uint8))]
    return np.concatenate([resize(picture, *shape), *(cv2.cvtColor(one, cv2.COLOR_GRAY2RGB) for one in gray)], axis=1)


def draw_panels(
    predictor: Predictor, source: Source, rows: int, columns: int = 2, side: int = 160
) -> NDArray[np.uint8]:
    """A sheet of panels (picture, mask, map) of pictures spread evenly over a set: uint8 RGB."""
    chosen = np.unique(np.linspace(0, len(source.stems) - 1, rows * columns).round().astype(int))
    panels = []
    for index in chosen:
        picture, mask = source.read(int(index))
        panels.append(panel(picture, mask, predictor.predict(picture), side))
    width = max(image.shape[1] for image in panels)
    padded = [_centred(image, side + 4, width + 8) for image in panels]
    padded += [np.full_like(padded[0], 255)] * (-len(padded) % columns)
    lines = [np.concatenate(padded[start : start + columns], axis=1) for start in range(0, len(padded), columns)]
    return np.concatenate(lines, axis=0)


def _centred(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The image in the middle of a white height x width."""
    sheet = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """uint8 RGB to PNG, whole or not at all."""
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    write_atomically(path, data.tobytes())


class Panels(Callback):
    """Draws maps beside pictures and masks after each validation, two a row, to the run's figures and its loggers."""

    def __init__(self, run: Run, rows: int, loggers: Sequence[RunLogger]) -> None:
        self.run, self.rows, self.loggers = run, rows, loggers

    @torch.inference_mode()
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or trainer.sanity_checking or not self.rows:
            return
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(datamodule, SaliencyDataModule)
        network: Any = pl_module.network
        sheet = draw_panels(Predictor(network, {}, pl_module.device), datamodule.validation_source, self.rows)
        write_png(self.run.figures / "validation.png", sheet)
        for logger in self.loggers:
            logger.images("validation", [ShownImage(sheet)], trainer.global_step)


def draw_test_panels(
    predictor: Predictor, sources: Mapping[str, Source], run: Run, rows: int, loggers: Sequence[RunLogger]
) -> list[Path]:
    """A sheet of every test set, to the run's figures and to its loggers; returns the files, none for ``rows=0``."""
    if not rows or not sources:
        return []
    sheets = [draw_panels(predictor, source, rows) for source in sources.values()]
    files = [run.figures / f"{name.replace('/', '_')}.png" for name in sources]
    for path, sheet in zip(files, sheets, strict=True):
        write_png(path, sheet)
    for logger in loggers:
        logger.images("test", [ShownImage(sheet) for sheet in sheets])
    return files
