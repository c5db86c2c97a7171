"""Videos, frame by frame, through a method and back into a video."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat, takewhile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from arn.errors import ArnError
from arn.files import make_folder
from arn.inference.methods import Method, Picture
from arn.inference.pipeline import BackgroundWriter, batches, prefetch
from arn.inference.render import Image, render

SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"})


def predict_video(method: Method, source: Path, output: Path, kind: str, batch_size: int) -> int:
    """Frame by frame into ``<output>/<stem>.mp4``, of the same size and rate, without sound; returns their number.

    Raises ArnError if the video cannot be read, or the copy not be written whole, of which then nothing is left.
    """
    target, unfinished = output / f"{source.stem}.mp4", output / f".{source.stem}.part.mp4"
    if target.exists() and target.samefile(source):
        raise ArnError(f"output={output} is the video's own folder and would overwrite it; name another")
    reader = cv2.VideoCapture(str(source))
    try:
        frames = read_frames(reader, source)
        first = next(frames, None)  # its size counts: a phone's video announces the size before it is turned upright
        if first is None:
            raise ArnError(f"input={source}: OpenCV cannot read one frame of this video")
        make_folder(output)
        writer = open_writer(unfinished, reader.get(cv2.CAP_PROP_FPS) or 25, first.shape)
        count = 0
        try:
            # One thread each: frames are read and written in their order.
            with ThreadPoolExecutor(1) as readers, BackgroundWriter(1) as background:
                ahead = prefetch(readers, lambda _: next(frames, None), repeat(None), 2 * batch_size)
                rest = takewhile(lambda frame: frame is not None, ahead)
                for batch in batches(chain([first], rest), batch_size):
                    pictures = [frame for frame in batch if frame is not None]
                    for picture, saliency in zip(pictures, method.maps(pictures), strict=True):
                        background.submit(lambda p, s: writer.write(encodable(render(p, s, kind))), picture, saliency)
                        count += 1
        finally:
            writer.release()
        if count_frames(unfinished) != count:  # the writer itself tells nobody when the disk is full
            raise ArnError(f"output={output}: the video could not be written whole; is the disk full?")
        unfinished.replace(target)
    finally:
        reader.release()
        unfinished.unlink(missing_ok=True)
    return count


def open_writer(path: Path, rate: float, shape: tuple[int, ...]) -> cv2.VideoWriter:
    """An MP4 file of frames of one shape (H x W x ...) at a rate a second. Raises ArnError where OpenCV cannot."""
    height, width = (side + side % 2 for side in shape[:2])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
    if not writer.isOpened():
        raise ArnError(f"output={path.parent}: OpenCV cannot write a video of {width} x {height} there")
    return writer


def encodable(image: Image) -> Any:
    """Gray H x W or RGB H x W x 3 as BGR of even sides, which alone the encoder takes: the last row or column twice."""
    frame = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)
    return cv2.copyMakeBorder(frame, 0, frame.shape[0] % 2, 0, frame.shape[1] % 2, cv2.BORDER_REPLICATE)


def read_frames(reader: cv2.VideoCapture, source: Path) -> Iterator[Picture]:
    """The frames as RGB. Raises ArnError if one is of another size than the first."""
    shape = None
    while (frame := reader.read()[1]) is not None:
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ArnError(f"input={source}: its frames change size, from {shape[:2]} to {frame.shape[:2]}")
        yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)


def count_frames(video: Path) -> int:
    reader = cv2.VideoCapture(str(video))
    try:
        return int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        reader.release()
