"""Videos, frame by frame, through a method and back into a video with its times, its sound and its orientation.

PyAV (FFmpeg) reads and writes. It comes with ``pip install 'arn-saliency[video]'`` and is imported only when used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from fractions import Fraction
from itertools import chain, repeat, takewhile
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from arn.errors import ArnError
from arn.files import new_file, new_folder
from arn.inference.methods import Map, Method, Picture
from arn.inference.pipeline import BackgroundWriter, batches, prefetch
from arn.inference.render import MADE_FROM, Image, Kind, Style, render
from arn.inference.smoothing import Smoother

SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".3gp"})


class Format(NamedTuple):
    """A container, what encodes pictures and sound into it, and the sound that it takes as it is."""

    name: str
    codec: str
    options: dict[str, str]
    transparent: bool
    sound: str
    copied: frozenset[str]
    container_options: dict[str, str]


FORMATS = {
    ".mp4": Format(
        name="mp4",
        codec="libx264",
        # bf: MP4 keeps intervals of decoding; with B-frames at a variable rate the last frames would fall off its end
        options={"crf": "18", "preset": "veryfast", "bf": "0"},
        transparent=False,
        sound="aac",
        copied=frozenset({"aac", "mp3", "opus", "flac", "alac", "ac3", "eac3"}),
        container_options={"movflags": "+faststart"},  # the index comes first: a browser plays before all is loaded
    ),
    ".webm": Format(
        name="webm",
        codec="libvpx-vp9",
        # auto-alt-ref: the encoder has no hidden frames with transparency
        options={"crf": "24", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1", "auto-alt-ref": "0"},
        transparent=True,
        sound="libopus",
        copied=frozenset({"opus", "vorbis"}),
        container_options={},
    ),
}
# FFmpeg's numbers
BT709, SRGB, NARROW, UNSPECIFIED = 1, 13, 1, 2
HDR = {16, 18}  # transfer characteristics PQ and HLG


def default_suffix(style: Style | Kind) -> str:
    """Of the file that a map, an overlay or a cutout goes to: ``.mp4``, and ``.webm`` where it needs transparency."""
    return ".webm" if is_transparent(style) else ".mp4"


def is_transparent(style: Style | Kind) -> bool:
    return style == "cutout" if isinstance(style, str) else style.kind == "cutout" and style.ground is None


def check_target(target: Path, transparent: bool) -> None:
    """Raises ArnError if `target` is no ``.mp4``, ``.webm`` or name without a suffix, or has no transparency."""
    if target.suffix and target.suffix.lower() not in FORMATS:
        raise ArnError(f"output={target}: a video is written as .mp4, .webm, or, without a suffix, as a folder of PNG")
    if transparent and target.suffix and not FORMATS[target.suffix.lower()].transparent:
        raise ArnError(
            f"output={target}: a cutout needs transparency, which .mp4 has not; "
            f"name {target.with_suffix('.webm').name}, or {target.stem} without a suffix for a folder of PNG frames"
        )
    if not target.suffix and target.exists() and not (target.is_dir() and all(map(is_frame, target.iterdir()))):
        raise ArnError(f"output={target} is there and holds more than numbered frames; name another folder")


def is_frame(path: Path) -> bool:
    return path.suffix == ".png" and path.stem.isdigit()


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
        target: ``.mp4`` (H.264), ``.webm`` (VP9, transparent for a cutout), or without a suffix a folder of PNG frames,
            ``000001.png`` and so on. Whole at the end, or not there at all.
        smoothing: weight of the past in a running average of maps, see :class:`arn.inference.smoothing.Smoother`.
        made_from: a note in the file that :func:`read_note` finds again.
        advance: is told of each batch: so many more frames are done, of so many in all, as the file says, or None.
        tell: is told at the end of damage that was passed over, one line.

    Raises ArnError if the video cannot be read, its frames change size, or the target cannot be written.
    """
    if isinstance(style, Style) and style.margin is not None:
        raise ArnError("crop=true is for pictures: from one frame to the next the object's box moves")
    if target.exists() and target.samefile(source):
        raise ArnError(f"output={target} is the video itself and would be overwritten; name another")
    check_target(target, transparent=is_transparent(style))
    smoother = Smoother(smoothing)
    with closing(Clip(source)) as clip:
        frames = clip.frames()
        first = next(frames, None)
        if first is None:
            raise ArnError(f"input={source}: not one frame of this video can be decoded")
        with ExitStack() as stack:
            writer: FrameFolder | VideoFile
            if target.suffix:
                passing = stack.enter_context(new_file(target))
                writer = VideoFile(passing, target, clip, made_from)
            else:
                passing = stack.enter_context(new_folder(target))
                writer = FrameFolder(passing, clip)
            stack.callback(writer.close)

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


class VideoFile:
    """Frames and the clip's sound into a file at `passing`, which will be `target`; errors name the latter."""

    def __init__(self, passing: Path, target: Path, clip: Clip, made_from: str | None = None) -> None:
        self.target, self.clip, self.count = target, clip, 0
        self.format = FORMATS[target.suffix.lower()]
        self.multiple = 2 if self.format.codec == "libx264" else 1  # of the sides, px
        with self.errors():
            self.container = import_av().open(
                f"file:{passing}", "w", format=self.format.name, container_options=self.format.container_options
            )
        if made_from is not None:
            self.container.metadata["comment"] = f"{MADE_FROM} {made_from}"
        self.reformatter = import_av().video.reformatter.VideoReformatter()
        self.stream: Any = None
        self.sound: Sound | None = None
        self.durations: dict[int, int] = {}

    def add(self, image: Image, frame: Frame) -> None:
        """Gray H x W, RGB or RGBA, all alike."""
        with self.errors():
            if self.stream is None:
                self.begin(image)
            self.durations[frame.pts] = frame.duration
            self.mux(self.stream.encode(self.encodable(image, frame.pts)))
            if self.sound is not None:
                self.sound.write(until=frame.pts * self.clip.time_base)
        self.count += 1

    def begin(self, image: Image) -> None:
        check_target(self.target, transparent=image.shape[2:] == (4,))
        self.stream = self.container.add_stream(self.format.codec, self.clip.rate, options=self.format.options)
        height, width = (side + side % self.multiple for side in image.shape[:2])
        if self.format.name == "webm":  # PyAV cannot tell it the shape of pixels, so they are made square
            height, width = round(height / min(1, self.clip.aspect)), round(width * max(1, self.clip.aspect))
        self.stream.height, self.stream.width = height, width
        self.stream.pix_fmt = "yuva420p" if image.shape[2:] == (4,) else "yuv420p"
        coder = self.stream.codec_context
        self.stream.time_base = coder.time_base = self.clip.time_base
        coder.sample_aspect_ratio = self.clip.aspect
        coder.colorspace, coder.color_primaries, coder.color_trc, coder.color_range = BT709, BT709, BT709, NARROW
        self.sound = Sound.of(self.clip, self.container, self.format)

    def encodable(self, image: Image, pts: int) -> Any:
        """H.264 at half the resolution of colour has no odd sides: the last row or column twice."""
        odd = [(0, side % self.multiple) for side in image.shape[:2]] + [(0, 0)] * (image.ndim - 2)
        frame = as_frame(np.pad(image, odd, mode="edge"))
        size = self.stream.width, self.stream.height
        frame = self.reformatter.reformat(
            frame, *size, self.stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        frame.color_primaries = frame.color_trc = BT709
        frame.pts, frame.time_base = pts, self.clip.time_base
        return frame

    def mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self.durations.pop(packet.pts)  # encoders forget it, and the last frame's would be lost
            self.container.mux(packet)

    def finish(self) -> None:
        with self.errors():
            self.mux(self.stream.encode(None))
            if self.sound is not None:
                self.sound.write(until=None)
            self.container.close()

    def close(self) -> None:
        with suppress(Exception):  # nothing is left to do, or an error before it is the one to tell
            self.container.close()
        if self.sound is not None:
            self.sound.source.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except import_av().error.FFmpegError as error:
            remedy = "; free the disk or name another folder" if isinstance(error, OSError) else ""
            raise ArnError(f"output={self.target} cannot be written: {error.strerror}{remedy}") from error


class Sound:
    """The first sound track of a clip on its way into another container: copied, or encoded where that wants it."""

    def __init__(self, source: Any, track: Any, clip: Clip, container: Any, format: Format) -> None:
        self.source, self.track, self.clip, self.container = source, track, clip, container
        self.copied = track.codec_context.codec.canonical_name in format.copied
        if self.copied:
            self.stream = container.add_stream_from_template(track)
        else:
            layout = "mono" if track.codec_context.channels == 1 else "stereo"
            self.stream = container.add_stream(format.sound, 48_000, layout=layout)
        self.packets = self.made()
        self.next = next(self.packets, None)

    @classmethod
    def of(cls, clip: Clip, container: Any, format: Format) -> Sound | None:
        """From a reading of its own, so that sound is read no further ahead than pictures are written."""
        source = open_source(clip.source)
        tracks = [track for track in source.streams.audio if track.codec_context is not None]
        if tracks:
            return cls(source, tracks[0], clip, container, format)
        source.close()
        return None

    def made(self) -> Iterator[Any]:
        start = round(self.clip.start / self.track.time_base)
        for packet in packets(self.source, self.track, self.clip):
            if not self.copied:
                for frame in decode(self.track, packet, self.clip):
                    if frame.pts is not None:
                        frame.pts -= start
                    yield from self.stream.encode(frame)
            elif packet is not None and packet.dts is not None:
                packet.pts = packet.dts = packet.dts - start
                packet.stream = self.stream
                yield packet
        if not self.copied:
            yield from self.stream.encode(None)

    def write(self, until: Fraction | None) -> None:
        """All up to a time in seconds, or to the end."""
        while self.next is not None and (until is None or self.next.dts * self.next.time_base <= until):
            self.container.mux(self.next)
            self.next = next(self.packets, None)


class FrameFolder:
    """Frames as numbered PNG files. Raises OSError where one cannot be written."""

    def __init__(self, folder: Path, clip: Clip) -> None:
        self.folder, self.clip, self.count, self.written = folder, clip, 0, 0
        self.coder = import_av().CodecContext.create("png", "w")
        self.coder.options = {"compression_level": "3"}
        self.coder.time_base, self.coder.sample_aspect_ratio = clip.time_base, clip.aspect

    def add(self, image: Image, frame: Frame) -> None:
        encoded = as_frame(image)
        encoded.pts, encoded.time_base = frame.pts, self.clip.time_base
        if not self.count:
            self.coder.height, self.coder.width = image.shape[:2]
            self.coder.pix_fmt = encoded.format.name
        self.count += 1
        self.save(self.coder.encode(encoded))

    def save(self, packets: list[Any]) -> None:
        for packet in packets:
            self.written += 1
            (self.folder / f"{self.written:06d}.png").write_bytes(packet)

    def finish(self) -> None:
        self.save(self.coder.encode(None))

    def close(self) -> None:
        pass


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


def read_note(path: Path) -> str | None:
    """The ``made_from`` of a video that :func:`predict_video` wrote; None for any other."""
    try:
        with closing(open_source(path)) as container:
            found = {key.lower(): value for key, value in container.metadata.items()}.get("comment", "")
    except ArnError:
        return None
    return found.removeprefix(f"{MADE_FROM} ") if found.startswith(f"{MADE_FROM} ") else None


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


def as_frame(image: Image) -> Any:
    """Gray H x W, RGB or RGBA."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    return import_av().VideoFrame.from_ndarray(
        np.ascontiguousarray(image), {1: "gray", 3: "rgb24", 4: "rgba"}[channels]
    )
