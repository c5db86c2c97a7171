"""Videos, frame by frame, through a method and back into a video with its times, its sound and its orientation.

PyAV (FFmpeg) reads and writes. It comes with ``pip install 'arn-saliency[video]'`` and is imported only when used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain, repeat, takewhile
from pathlib import Path

from arn.errors import ArnError
from arn.inference.methods import Map, Method
from arn.inference.pipeline import BackgroundWriter, batches, prefetch
from arn.inference.render import MADE_FROM, Kind, Style, render
from arn.inference.smoothing import Smoother
from arn.inference.video_reading import Clip, Frame, open_source
from arn.inference.video_writing import check_target, open_writer


def default_suffix(style: Style | Kind) -> str:
    """Of the file that a map, an overlay or a cutout goes to: ``.mp4``, and ``.webm`` where it needs transparency."""
    return ".webm" if is_transparent(style) else ".mp4"


def is_transparent(style: Style | Kind) -> bool:
    return style == "cutout" if isinstance(style, str) else style.kind == "cutout" and style.ground is None


def check(target: Path, style: Style | Kind) -> None:
    """Raises ArnError where a video cannot be shown so, or not be written there."""
    if isinstance(style, Style) and style.margin is not None:
        raise ArnError("crop=true is for pictures: from one frame to the next the object's box moves")
    check_target(target, transparent=is_transparent(style))


def predict_video(
    method: Method,
    source: Path,
    target: Path,
    style: Style | Kind,
    batch_size: int,
    *,
    smoothing: float = 0.0,
    made_from: str | None = None,
    advance: Callable[[int, int | None], None] = lambda done, total: None,
    tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> int:
    """The map, overlay or cutout of each frame of `source` into `target`; returns the number of frames.

    Args:
        target: ``.mp4`` (H.264), ``.webm`` (VP9, transparent for a cutout), or by any other name a folder of PNG
            frames, ``000001.png`` and so on. Whole at the end, or not there at all.
        smoothing: weight of the past in a running average of maps, see :class:`arn.inference.smoothing.Smoother`.
        made_from: a note in the file that :func:`read_note` finds again.
        advance: is told of each batch: so many more frames are done, of so many in all, as the file says, or None.
        tell: is told at the end of damage that was passed over, one line.

    Raises ArnError if the video cannot be read, its frames change size, or the target cannot be written.
    """
    if target.exists() and target.samefile(source):
        raise ArnError(f"output={target} is the video itself and would be overwritten; name another")
    check(target, style)
    smoother = Smoother(smoothing)
    with closing(Clip(source)) as clip:
        frames = clip.frames()
        first = next(frames, None)
        if first is None:
            raise ArnError(f"input={source}: not one frame of this video can be decoded")
        with open_writer(target, clip, made_from) as writer:

            def write(frame: Frame, saliency: Map) -> None:
                writer.add(render(frame.picture, saliency, style), frame)

            # One thread each: frames are read and written in their order. Few are held: one may have 100 MB.
            with ThreadPoolExecutor(1) as readers, BackgroundWriter(1, depth=batch_size) as background:
                ahead = prefetch(readers, lambda _: next(frames, None), repeat(None), batch_size)
                rest = takewhile(lambda frame: frame is not None, ahead)
                for batch in batches(chain([first], rest), batch_size):
                    some = [frame for frame in batch if frame is not None]
                    maps = method.maps([frame.picture for frame in some])
                    for frame, saliency in zip(some, maps, strict=True):
                        background.submit(write, frame, smoother(frame.picture, saliency))
                    advance(len(some), clip.total)
            writer.finish()
        for line in clip.complaints():
            tell(line)
        return writer.count


def read_note(path: Path) -> str | None:
    """The ``made_from`` of a video that :func:`predict_video` wrote; None for any other."""
    try:
        with closing(open_source(path)) as container:
            found = {key.lower(): value for key, value in container.metadata.items()}.get("comment", "")
    except ArnError:
        return None
    return found.removeprefix(f"{MADE_FROM} ") if found.startswith(f"{MADE_FROM} ") else None
