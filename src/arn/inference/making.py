"""Maps, overlays and cutouts of many pictures as files: read ahead of the network, written behind it.

What cannot be read is passed over and told; what was made before of the same bytes, by the same method, in the same
way, is not made again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from arn.data.images import Picture, picture_size, read_photo
from arn.errors import ArnError
from arn.files import digest, remove_abandoned, write_atomically
from arn.inference import video
from arn.inference.methods import Map, Method
from arn.inference.pipeline import prefetch
from arn.inference.render import Style, encode, read_note, render
from arn.inference.sources import Source

THREADS = 2  # of reading, and as many of writing: next to the network each has little to do
PIXELS = 64_000_000  # in memory at once, unless a single picture has more: some 15 bytes each


@dataclass(frozen=True)
class Job:
    """A picture and the file to write; None: the bytes go to :attr:`Recipe.emit`."""

    source: Source
    target: Path | None


@dataclass(frozen=True)
class Recipe:
    """What is made of every picture.

    Args:
        suffix: of the files, ``.png``, ``.jpg``, ``.webp`` or ``.tif``.
        overwrite: make anew what is there already, and write over files that this program did not write.
        emit: gets the bytes of a job without a target.
    """

    method: Method
    style: Style
    suffix: str
    quality: int = 95
    overwrite: bool = False
    emit: Callable[[bytes], object] = lambda data: None

    @property
    def fingerprint(self) -> bytes:
        """A hash of all that a file depends on but the picture."""
        ground = self.style.ground
        behind = repr(ground) if ground is None or isinstance(ground, str | tuple) else ground.tobytes()
        options = repr((self.style.kind, self.style.margin, self.suffix, self.quality))
        return digest(self.method.fingerprint, options, behind)


@dataclass
class Outcome:
    """What became of the pictures: ``failed`` is (place, reason)."""

    made: int = 0
    kept: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class _Begun:
    """A picture whose file was looked at and whose pixels were not."""

    job: Job
    data: bytes = b""
    note: str = ""
    pixels: int = 0
    kept: bool = False
    failed: str | None = None


def check_targets(jobs: Sequence[Job]) -> None:
    """Raises ArnError where a picture itself would be written over: under its own name, another, or through a link."""
    inputs = {}
    for job in jobs:
        if job.source.path is not None and job.source.path.exists():
            status = os.stat(job.source.path)
            inputs[status.st_dev, status.st_ino] = job.source.place
    for job in jobs:
        if job.target is not None and job.target.exists():
            status = os.stat(job.target)
            if (status.st_dev, status.st_ino) in inputs:
                raise ArnError(
                    f"output={job.target} would overwrite {inputs[status.st_dev, status.st_ino]}; name another folder"
                )


def make(recipe: Recipe, jobs: Sequence[Job], advance: Callable[[int], None] = lambda done: None) -> Outcome:
    """Write what the recipe makes of each picture. `advance` is told how many more are done with, however they ended.

    Raises ArnError where nothing can be written. Files are whole or not there, also after an interrupt.
    """
    outcome = Outcome()
    fingerprint = recipe.fingerprint
    for folder in {job.target.parent for job in jobs if job.target is not None}:
        remove_abandoned(folder)
    reading: deque[tuple[_Begun, Future[tuple[Picture, bytes | None]]]] = deque()
    writing: deque[tuple[_Begun, Future[str | None]]] = deque()
    readers, writers = ThreadPoolExecutor(THREADS), ThreadPoolExecutor(THREADS)

    def alive() -> int:
        return sum(begun.pixels for begun, _ in reading) + sum(begun.pixels for begun, _ in writing)

    def failed(begun: _Begun, reason: str) -> None:
        outcome.failed.append((begun.job.source.place, reason))
        advance(1)

    def written() -> None:
        begun, future = writing.popleft()
        if (reason := future.result()) is not None:
            failed(begun, reason)
        else:
            outcome.made += 1
            advance(1)

    def run_batch() -> None:
        batch: list[tuple[_Begun, Picture, bytes | None]] = []
        while reading and len(batch) < recipe.method.batch_size:
            begun, future = reading.popleft()
            try:
                batch.append((begun, *future.result()))
            except ArnError as error:
                failed(begun, error.told)
        maps = recipe.method.maps([picture for _, picture, _ in batch]) if batch else []
        for (begun, picture, profile), saliency in zip(batch, maps, strict=True):
            writing.append((begun, writers.submit(_write, recipe, begun, [(picture, profile, saliency)])))
        while writing and (writing[0][1].done() or len(writing) > 2 * recipe.method.batch_size):
            written()

    try:
        for begun in prefetch(readers, lambda job: _begin(recipe, fingerprint, job), jobs, 2 * THREADS):
            if begun.kept:
                outcome.kept += 1
                advance(1)
            elif begun.failed is not None:
                failed(begun, begun.failed)
            else:
                while (reading or writing) and alive() + begun.pixels > PIXELS:
                    if reading:
                        run_batch()
                    else:
                        written()
                reading.append((begun, readers.submit(_decode, begun)))
                if len(reading) >= 2 * recipe.method.batch_size:
                    run_batch()
        while reading:
            run_batch()
        while writing:
            written()
    finally:
        # What is begun is finished, so that no file is left half-written; after an error the rest is not begun.
        readers.shutdown(wait=True, cancel_futures=True)
        writers.shutdown(wait=True, cancel_futures=True)
    return outcome


def make_clip(
    recipe: Recipe,
    source: Path,
    target: Path,
    smoothing: float,
    advance: Callable[[int, int | None], None],
    tell: Callable[[str], None],
) -> int | None:
    """Write what the recipe makes of a video: how many frames, or None where it was made before.

    A video is known by its path, size and time, as reading it whole takes long. Raises ArnError as
    :func:`arn.inference.video.predict_video`, and for a file that another program wrote.
    """
    status = source.stat()
    seen = repr((str(source.resolve()), status.st_size, status.st_mtime_ns, smoothing))
    note = digest(seen, recipe.fingerprint).hex()
    if not recipe.overwrite and target.exists() and not target.is_dir() and _is_made(target, video.read_note, note):
        return None
    return video.predict_video(
        recipe.method,
        source,
        target,
        recipe.style,
        recipe.method.batch_size,
        smoothing=smoothing,
        made_from=note,
        advance=advance,
        tell=tell,
    )


def _is_made(target: Path, read: Callable[[Path], str | None], note: str) -> bool:
    """Whether a file that is there was made as it is to be made now. Raises ArnError where it is not ours."""
    there = read(target)
    if there is None:
        raise ArnError(f"{target} is there and was not made by arn predict; --overwrite writes over it")
    return there == note


def _begin(recipe: Recipe, fingerprint: bytes, job: Job) -> _Begun:
    try:
        data = job.source.read()
        note = digest(data, fingerprint).hex()
        target = None if recipe.overwrite else job.target
        if target is not None and target.exists() and _is_made(target, read_note, note):
            return _Begun(job, kept=True)
    except ArnError as error:
        return _Begun(job, failed=error.told)
    height, width = picture_size(data)
    return _Begun(job, data, note, height * width)


def _decode(begun: _Begun) -> tuple[Picture, bytes | None]:
    return read_photo(Path(begun.job.source.place), begun.data)


def _write(recipe: Recipe, begun: _Begun, made: list[tuple[Picture, bytes | None, Map]]) -> str | None:
    """What is wrong with this picture alone, as a side too long for the format. Raises ArnError for a full disk.

    `made`, of one, is emptied: an executor keeps its arguments alive, and encoders want memory of their own.
    """
    picture, profile, saliency = made.pop()
    image = render(picture, saliency, recipe.style)
    del picture, saliency
    try:
        data = encode(image, recipe.suffix, quality=recipe.quality, profile=profile, made_from=begun.note)
    except ArnError as error:
        return f"{begun.job.source.place}: {error.told}"
    if begun.job.target is None:
        recipe.emit(data)
    else:
        write_atomically(begun.job.target, data)
    return None
