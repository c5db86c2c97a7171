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
from arn.files import slugs, write_atomically
from arn.inference.predictor import Predictor
from arn.loggers import RunLogger, ShownImage
from arn.runs import Run


def shown_pictures(predictor: Predictor, source: Source, count: int, side: int = 224) -> list[ShownImage]:
    """Pictures spread evenly over a set, ``side`` high, each with its ``truth`` and its ``prediction``."""
    shown = []
    for index in np.unique(np.linspace(0, len(source.stems) - 1, count).round().astype(int)):
        picture, mask = source.read(int(index))
        height, width = picture.shape[:2]
        shape = (side, max(1, round(width * side / height)))
        maps = {"truth": mask, "prediction": np.round(predictor.predict(picture) * 255).astype(np.uint8)}
        small = {name: resize(one, *shape) for name, one in maps.items()}
        shown.append(ShownImage(resize(picture, *shape), source.stems[int(index)], small))
    return shown


def draw_sheet(images: Sequence[ShownImage], columns: int = 2, side: int = 160) -> NDArray[np.uint8]:
    """A sheet of panels (picture, mask, map), each ``side`` high: uint8 RGB."""
    panels = [image.side_by_side() for image in images]
    panels = [resize(panel, side, max(1, round(panel.shape[1] * side / panel.shape[0]))) for panel in panels]
    width = max(panel.shape[1] for panel in panels)
    padded = [_centred(panel, side + 4, width + 8) for panel in panels]
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
        images = shown_pictures(Predictor(network, {}, pl_module.device), datamodule.validation_source, 2 * self.rows)
        write_png(self.run.figures / "validation.png", draw_sheet(images))
        for logger in self.loggers if trainer.state.fn == "fit" else ():
            logger.images("validation", images, trainer.global_step)


def draw_test_panels(
    predictor: Predictor, sources: Mapping[str, Source], run: Run, rows: int, loggers: Sequence[RunLogger]
) -> list[Path]:
    """A sheet of every test set, to the run's figures and to its loggers; returns the files, none for ``rows=0``."""
    files = []
    names = slugs(["validation", *sources])  # which has its panels there already
    for name, source in sources.items() if rows else ():
        images = shown_pictures(predictor, source, 2 * rows)
        files.append(run.figures / f"{names[name]}.png")
        write_png(files[-1], draw_sheet(images))
        for logger in loggers:
            logger.images(f"test_maps/{name}", images)
    return files
