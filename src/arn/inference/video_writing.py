"""Frames and a clip's sound into an MP4, a WebM, or a folder of PNG, through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from arn.errors import ArnError
from arn.files import new_file, new_folder
from arn.inference.render import MADE_FROM, Image
from arn.inference.render import SUFFIXES as OF_PICTURES
from arn.inference.video_reading import BT709, NARROW, SUFFIXES, Clip, Frame, decode, import_av, open_source, packets


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


def check_target(target: Path, transparent: bool) -> None:
    """Raises ArnError if `target` is a file of another kind than ``.mp4`` and ``.webm``, or has no transparency."""
    suffix = target.suffix.lower()
    if suffix not in FORMATS and (suffix in SUFFIXES or suffix in OF_PICTURES):
        raise ArnError(f"output={target}: a video is written as .mp4, .webm, or, by format=png, a folder of frames")
    if transparent and suffix in FORMATS and not FORMATS[suffix].transparent:
        raise ArnError(
            f"output={target}: a cutout needs transparency, which .mp4 has not; "
            f"name {target.with_suffix('.webm').name}, or, with format=png, a folder of PNG frames"
        )
    if suffix not in FORMATS and target.exists() and not (target.is_dir() and all(map(is_frame, target.iterdir()))):
        raise ArnError(f"output={target} is there and holds more than numbered frames; name another folder")


def is_frame(path: Path) -> bool:
    return path.suffix == ".png" and path.stem.isdigit()


@contextmanager
def open_writer(target: Path, clip: Clip, made_from: str | None) -> Iterator[VideoFile | FrameFolder]:
    """What takes frames; `target` is there whole at the end, or as it was."""
    if target.suffix.lower() in FORMATS:
        with new_file(target) as passing, closing(VideoFile(passing, target, clip, made_from)) as file:
            yield file
    else:
        with new_folder(target) as passing, closing(FrameFolder(passing, clip)) as folder:
            yield folder


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


def as_frame(image: Image) -> Any:
    """Gray H x W, RGB or RGBA."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    return import_av().VideoFrame.from_ndarray(
        np.ascontiguousarray(image), {1: "gray", 3: "rgb24", 4: "rgba"}[channels]
    )
