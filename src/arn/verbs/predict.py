"""``arn predict``: maps, overlays or cutouts of a picture, a folder or a video, at native size.

Reading, the network and writing overlap: files are decoded a few pictures ahead, and encoded and written behind, on
threads of their own (OpenCV lets the interpreter go meanwhile). Order, files and messages are those of one after the
other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice, repeat, takewhile
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console

from arn.classical import METHODS
from arn.config.compose import run_hydra
from arn.config.instantiate import to_plain
from arn.data.cutouts import cutout
from arn.data.images import PICTURE_SUFFIXES, read_picture, write_map
from arn.errors import ArnError
from arn.files import write_atomically
from arn.inference.allocation import reuse_memory
from arn.inference.onnx import OnnxModel
from arn.inference.predictor import load

THREADS = 2
"""Of decoding, and as many of encoding: next to the network each has little to do."""

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"})
KINDS = ("map", "overlay", "cutout")

console = Console(highlight=False, soft_wrap=True)
Picture = NDArray[np.uint8]
Map = NDArray[np.float32]
Item = TypeVar("Item")
Result = TypeVar("Result")


def main(arguments: list[str]) -> None:
    run_hydra("predict", recipe, arguments)


def recipe(config: DictConfig) -> None:
    plain = to_plain(config)
    kind, source, output = plain["as"], Path(plain["input"]), Path(plain["output"])
    if kind not in KINDS:
        raise ArnError(f"as must be one of {', '.join(KINDS)}, not {kind!r}")
    if not source.exists():
        raise ArnError(f"input={source}: there is no such file or folder")
    if output.exists() and not output.is_dir():
        raise ArnError(f"output={output} is a file; name a folder")
    video = source.suffix.lower() in VIDEO_SUFFIXES
    if video and kind == "cutout":
        raise ArnError("as=cutout needs transparency, which a video file has not; use as=map or as=overlay")
    pictures = [] if video else find_pictures(source, output, kind)
    reuse_memory()
    predictor = _predictor(plain["checkpoint"], plain["onnx"], plain["method"], plain["precision"], plain["mirror"])
    if video:
        count = predict_video(predictor, source, output, kind, plain["batch_size"])
    else:
        make_folder(output)
        count = predict_pictures(predictor, pictures, kind, plain["batch_size"])
    console.print(f"{count} {'frames' if video else 'pictures'} -> {output}")


class MapMaker(Protocol):
    """What pictures go through: a trained network, an ONNX file or a training-free method."""

    def maps(self, pictures: list[Picture]) -> list[Map]:
        """uint8 RGB H x W x 3 -> float32 H x W in 0..1, each at its own size."""


class TrainingFree:
    """A method of :mod:`arn.classical` by name."""

    def __init__(self, name: str) -> None:
        if name not in METHODS:
            raise ArnError(f"method={name}: there is no such method; there are {', '.join(METHODS)}")
        self.method = METHODS[name]

    def maps(self, pictures: list[Picture]) -> list[Map]:
        return [self.method(picture) for picture in pictures]


def _predictor(
    checkpoint: str | None, onnx: str | None, method: str | None, precision: str = "fp32", mirror: bool | None = None
) -> MapMaker:
    if precision not in ("fp32", "bf16"):
        raise ArnError(f"precision must be fp32 or bf16, not {precision!r}")
    if not isinstance(mirror, bool | None):
        raise ArnError(f"mirror must be true or false, not {mirror!r}")
    if mirror is not None and (onnx or method):
        raise ArnError("mirror= is for checkpoints: an ONNX file has it or not, and training-free methods have none")
    match (checkpoint, onnx, method):
        case (str(), None, None):
            return load(checkpoint, bf16=precision == "bf16", mirror=mirror)
        case (None, str(), None):
            return OnnxModel(onnx)
        case (None, None, str()):
            return TrainingFree(method)
        case (None, None, None):
            return load(bf16=precision == "bf16", mirror=mirror)
        case _:
            raise ArnError("give checkpoint=FILE, onnx=FILE or method=NAME, one of the three or none")


def find_pictures(source: Path, output: Path, kind: str) -> list[tuple[Path, Path]]:
    """(picture, file to write) for a picture or every picture in a folder."""
    if source.is_dir():
        found = sorted(path for path in source.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
        if not found:
            raise ArnError(f"input={source}: no pictures in this folder")
    else:
        found = [source]
    targets = [(path, output / f"{path.stem}.{'jpg' if kind == 'overlay' else 'png'}") for path in found]
    stems = [target for _, target in targets]
    if len(set(stems)) != len(stems):
        twice = sorted({t.name for t in stems if stems.count(t) > 1})
        raise ArnError(f"input={source}: two pictures would both be written to {twice[0]}; rename one")
    if output.resolve() in {path.parent.resolve() for path in found} and any(p == t for p, t in targets):
        raise ArnError(f"output={output} is the pictures' own folder and would overwrite them; name another")
    return targets


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArnError(f"output={folder} cannot be made: {error.strerror}") from error


def predict_pictures(predictor: MapMaker, targets: Sequence[tuple[Path, Path]], kind: str, batch_size: int) -> int:
    done = 0
    with ThreadPoolExecutor(THREADS) as readers, Behind(THREADS) as writers:
        pictures = ahead(readers, read_picture, (path for path, _ in targets), 2 * batch_size)
        for batch in batches(zip(targets, pictures, strict=True), batch_size):
            found = predictor.maps([picture for _, picture in batch])
            for ((_, target), picture), saliency in zip(batch, found, strict=True):
                writers.do(write, target, picture, saliency, kind)
                done += 1
    return done


def write(target: Path, picture: Picture, saliency: Map, kind: str) -> None:
    """One picture's file, whole or not at all."""
    if kind == "map":
        write_map(target, saliency)
    else:
        write_atomically(target, encode(render(picture, saliency, kind), target.suffix))


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Iterator[Result]:
    """``work`` of each item, in order, begun up to ``depth`` items early; its errors come where its result would."""
    begun: deque[Future[Result]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > depth:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for one in begun:
            one.cancel()


class Behind:
    """Work done on other threads while the caller goes on, a bounded amount of it: ``do`` waits when that is reached.

    The first error comes out of a later ``do`` or of the end of the ``with`` block, which waits for all that was begun.
    """

    def __init__(self, threads: int, depth: int = 16) -> None:
        self.pool, self.depth = ThreadPoolExecutor(threads), depth
        self.begun: deque[Future[Any]] = deque()

    def do(self, work: Callable[..., object], *arguments: Any) -> None:
        self.begun.append(self.pool.submit(work, *arguments))
        while len(self.begun) > self.depth or self.begun[0].done():
            self.begun.popleft().result()
            if not self.begun:
                break

    def __enter__(self) -> Behind:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while self.begun and kind is None:
                self.begun.popleft().result()
        finally:
            # What is begun is finished, so that no file is left half-written; after an error the rest is not begun.
            self.pool.shutdown(wait=True, cancel_futures=True)


def render(picture: Picture, saliency: Map, kind: str) -> Picture:
    """Picture uint8 H x W x 3 and map H x W in 0..1 -> uint8 overlay (RGB), cutout (RGBA) or map (gray)."""
    if kind == "cutout":
        return cutout(picture, saliency)
    if kind == "overlay":
        return overlay(picture, saliency)
    return np.round(saliency * 255).astype(np.uint8)


def overlay(picture: Picture, saliency: Map) -> Picture:
    """The object in its colours, the rest dimmed and gray."""
    weight = saliency[..., None]
    gray = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.float32)
    return np.round(picture * weight + 0.35 * gray * (1 - weight)).astype(np.uint8)


def encode(image: Picture, suffix: str) -> bytes:
    colours = {2: image} if image.ndim == 2 else {3: image[..., ::-1]} if image.shape[2] == 3 else {}
    ready = next(iter(colours.values())) if colours else cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA)
    done, data = cv2.imencode(suffix, np.ascontiguousarray(ready))
    assert done
    return data.tobytes()


def batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(islice(items, size)):
        yield batch


def predict_video(predictor: MapMaker, source: Path, output: Path, kind: str, batch_size: int) -> int:
    """Frame by frame into ``<output>/<stem>.mp4``, of the same size and rate, without sound; whole or not at all.

    An odd side is one larger in the copy, its last row or column twice: the encoder takes even sides only.
    """
    target, unfinished = output / f"{source.stem}.mp4", output / f".{source.stem}.part.mp4"
    if target.exists() and target.samefile(source):
        raise ArnError(f"output={output} is the video's own folder and would overwrite it; name another")
    reader = cv2.VideoCapture(str(source))
    try:
        rate = reader.get(cv2.CAP_PROP_FPS) or 25
        read = read_frames(reader, source)
        first = next(read, None)  # its size counts: a phone's video announces the size before it is turned upright
        if first is None:
            raise ArnError(f"input={source}: OpenCV cannot read one frame of this video")
        make_folder(output)
        size = (first.shape[1] + first.shape[1] % 2, first.shape[0] + first.shape[0] % 2)
        writer = cv2.VideoWriter(str(unfinished), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
        if not writer.isOpened():
            raise ArnError(f"output={output}: OpenCV cannot write a video of {size[0]} x {size[1]} there")

        def write_frame(picture: Picture, saliency: Map) -> None:
            image = render(picture, saliency, kind)
            frame = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)
            below, right = size[1] - frame.shape[0], size[0] - frame.shape[1]
            writer.write(cv2.copyMakeBorder(frame, 0, below, 0, right, cv2.BORDER_REPLICATE))

        done = 0
        try:
            # One thread each: frames are read and written in their order.
            with ThreadPoolExecutor(1) as readers, Behind(1) as writers:
                frames = ahead(readers, lambda _: next(read, None), repeat(None), 2 * batch_size)
                rest = takewhile(lambda frame: frame is not None, frames)
                for batch in batches(chain([first], rest), batch_size):
                    for picture, saliency in zip(batch, predictor.maps(batch), strict=True):
                        writers.do(write_frame, picture, saliency)
                        done += 1
        finally:
            writer.release()
        if count_frames(unfinished) != done:  # the writer itself tells nobody when the disk is full
            raise ArnError(f"output={output}: the video could not be written whole; is the disk full?")
        unfinished.replace(target)
    finally:
        reader.release()
        unfinished.unlink(missing_ok=True)
    return done


def read_frames(reader: cv2.VideoCapture, source: Path) -> Iterator[Picture]:
    """The frames as RGB.

    Raises:
        ArnError: a frame is of another size than the first.
    """
    shape = None
    while True:
        read, frame = reader.read()
        if not read:
            return
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
