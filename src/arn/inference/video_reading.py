"""Videos through PyAV (FFmpeg): frames upright and in their order, with their times, and what was damaged.

It comes with ``pip install 'arn-saliency[video]'`` and is imported only when used.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from arn.errors import ArnError
from arn.inference.methods import Picture

SUFFIXES = frozenset(
    {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".3gp"}
    | {".flv", ".f4v", ".m2ts", ".vob", ".ogv", ".asf", ".mxf"}
)

# FFmpeg's numbers
BT709, SRGB, NARROW, UNSPECIFIED = 1, 13, 1, 2
HDR = {16, 18}  # transfer characteristics PQ and HLG


class Frame(NamedTuple):
    picture: Picture
    pts: int  # when it is shown, in units of the clip's time base, from the file's start
    duration: int  # likewise


class Clip:
    """A video that is read: its first video track that is no cover picture.

    Raises ArnError where FFmpeg cannot read the file.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self.container = open_source(source)
        stream = self.container.streams.best("video")
        if stream is None:
            self.close()
            raise ArnError(f"input={source}: there is no video in this file")
        stream.thread_type = "AUTO"
        self.stream = stream
        self.time_base: Fraction = stream.time_base
        self.reformatter = import_av().video.reformatter.VideoReformatter()
        self.rate: Fraction = stream.average_rate or stream.guessed_rate or Fraction(25)  # frames a second, on average
        self.aspect: Fraction = stream.sample_aspect_ratio or Fraction(1)  # of a pixel, width to height, once turned
        self.damaged = 0
        self.end = Fraction(0)  # of the last frame that was read, seconds
        starts = [one.start_time * one.time_base for one in self.container.streams if one.start_time is not None]
        # A recording's clock may have begun hours ago; that of an ordinary file begins at 0 and is kept as it is.
        self.start: Fraction = max(Fraction(0), min(starts, default=Fraction(0)))

    @property
    def length(self) -> Fraction | None:
        """In seconds, as the file announces it."""
        if self.stream.duration:
            return Fraction(self.stream.duration * self.time_base)
        return Fraction(self.container.duration, 10**6) - self.start if self.container.duration else None

    @property
    def total(self) -> int | None:
        """Frames as the file announces them."""
        length = self.length
        return self.stream.frames or (None if length is None else round(length * self.rate))

    def frames(self) -> Iterator[Frame]:
        """In the order in which they are shown, upright. Raises ArnError if one is of another size than the first."""
        last, shape = None, None
        step = max(1, round(1 / (self.rate * self.time_base)))
        start = round(self.start / self.time_base)
        for frame in self.decoded():
            picture, turned = upright(to_rgb(frame, self.reformatter), frame)
            if shape is None and turned:
                self.aspect = 1 / self.aspect
            shape = shape or picture.shape
            if picture.shape != shape:
                raise ArnError(f"input={self.source}: its frames change size, from {shape[:2]} to {picture.shape[:2]}")
            time = frame.pts if frame.pts is not None else frame.dts
            pts = time - start if time is not None else 0 if last is None else last + step
            last = pts if last is None else max(pts, last + 1)
            duration = frame.duration or step
            self.end = (last + duration) * self.time_base
            yield Frame(picture, last, duration)

    def decoded(self) -> Iterator[Any]:
        for packet in packets(self.container, self.stream, self):
            for frame in decode(self.stream, packet, self):
                self.damaged += frame.is_corrupt
                yield frame

    def complaints(self) -> Iterator[str]:
        """What was wrong with the file, once it is read: a line each."""
        if self.damaged:
            pieces = "1 damaged piece" if self.damaged == 1 else f"{self.damaged} damaged pieces"
            yield f"input={self.source}: {pieces}; such frames are missing, or as the decoder patched them up"
        length = self.length
        if length is not None and self.end + 1 < length:
            yield f"input={self.source}: the pictures end after {float(self.end):.1f} s of {float(length):.1f} s"

    def close(self) -> None:
        self.container.close()


def import_av() -> ModuleType:
    """Raises ArnError where PyAV is not installed."""
    try:
        import av
    except ImportError as error:
        raise ArnError("a video needs PyAV, which is not installed: pip install 'arn-saliency[video]'") from error
    return av


def open_source(source: Path) -> Any:
    """Raises ArnError where FFmpeg cannot read the file."""
    av = import_av()
    try:
        return av.open(f"file:{source}")  # without `file:` FFmpeg takes what stands before a colon for a protocol
    except av.error.FFmpegError as error:
        raise ArnError(f"input={source} cannot be read as a video: {error.strerror}") from error


def packets(container: Any, stream: Any, clip: Clip) -> Iterator[Any]:
    """Of one track, and None at the end, for which decoders wait. Where the file breaks off counts as damage."""
    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except import_av().error.FFmpegError:
        clip.damaged += 1
    yield None


def decode(stream: Any, packet: Any, clip: Clip) -> list[Any]:
    """A packet's frames; of what the decoder can make nothing, none, which counts as damage."""
    av = import_av()
    frames, damaged = [], packet is not None and packet.is_corrupt
    try:
        frames = list(stream.decode(packet))
    except av.error.EOFError:
        pass
    except av.error.FFmpegError:
        damaged = True
    clip.damaged += damaged
    return frames


def upright(picture: Picture, frame: Any) -> tuple[Picture, bool]:
    """A frame's picture as its display matrix says, and whether that swaps rows and columns."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return picture, False
    # A pixel right of another comes to lie (a, b) from it, one below (c, d).
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5]
    turned = bool(abs(b) > abs(a))
    if turned:
        picture, a, d = picture.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]), turned


def to_rgb(frame: Any, reformatter: Any) -> Picture:
    """uint8 RGB H x W x 3, however many bits the frame has. `reformatter`: PyAV's, one a clip, as it keeps its tables.

    HDR is converted to what a plain screen shows: the standard's white, 203 cd/m2, is white, what is brighter clipped.
    """
    options: dict[str, Any] = {"format": "rgb24"}
    if frame.color_trc in HDR:
        options |= {"dst_color_trc": SRGB, "dst_color_primaries": BT709}
    elif frame.colorspace == UNSPECIFIED and frame.height >= 720:
        options |= {"src_colorspace": "ITU709"}  # FFmpeg takes BT.601 for granted, which no HD video is in
    return np.asarray(reformatter.reformat(frame, **options).to_ndarray(), np.uint8)
