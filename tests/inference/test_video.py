"""Videos through a method and back: what of the source is kept, what comes out, and a browser that plays it."""

from __future__ import annotations

import base64
import resource
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from arn.cli import main
from arn.errors import ArnError
from arn.inference.smoothing import Smoother, flicker
from arn.inference.video import default_suffix, predict_video

MILLISECOND = Fraction(1, 1000)
RED, GREEN, BLUE = (200, 30, 30), (30, 160, 40), (30, 40, 200)


class LeftHalf:
    """A method to which the left half of every picture is the object."""

    name = "left"

    def maps(self, pictures):
        made = [np.zeros(picture.shape[:2], np.float32) for picture in pictures]
        for saliency in made:
            saliency[:, : saliency.shape[1] // 2] = 1
        return made


def halves(height: int = 64, width: int = 96) -> np.ndarray:
    """Red on the left, blue on the right, and a green corner at the top left."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:, : width // 2], picture[:, width // 2 :] = RED, BLUE
    picture[: height // 4, : width // 6] = GREEN
    return picture


def record(
    path: Path,
    pictures: Any = 10,
    times: Any = None,
    codec: str = "libx264",
    time_base: Fraction = MILLISECOND,
    pixels: str = "yuv420p",
    turn: tuple[float, bool] | None = None,
    aspect: Fraction | None = None,
    sounds: tuple[str, ...] = (),
    start: int = 0,
) -> Path:
    """A clip. `times` in units of the time base, 40 ms apart unless given; `sounds`: codecs of as many tracks."""
    pictures = [halves()] * pictures if isinstance(pictures, int) else pictures
    step = int(Fraction(40, 1000) / time_base)
    times = [start + step * index for index in range(len(pictures))] if times is None else times
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = stream.time_base = time_base
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if turn is not None:
            stream.set_display_rotation(turn[0], hflip=turn[1])
        tracks = [container.add_stream(name, 48_000, layout="stereo") for name in sounds]
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = time, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for pitch, track in enumerate(tracks, 1):
            samples = len(pictures) * 48_000 // 25
            wave = (8000 * np.sin(np.arange(samples) * 0.05 * pitch)).astype(np.int16)
            for begin in range(0, samples, 960):
                frame = av.AudioFrame.from_ndarray(np.repeat(wave[begin : begin + 960], 2)[None], "s16", "stereo")
                frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
                frame.pts = begin + int(start * time_base * 48_000)
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path


def read(path: Path) -> tuple[list[np.ndarray], list[Fraction], Any]:
    """Frames as RGB, when each is shown in seconds, and what is known of the stream."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        known = SimpleNamespace(
            codec=stream.codec_context.name,
            pixels=stream.codec_context.pix_fmt,
            seconds=stream.duration and stream.duration * stream.time_base,
            aspect=stream.sample_aspect_ratio,
            rotation=frames[0].rotation,
        )
        return [frame.to_ndarray(format="rgb24") for frame in frames], [f.pts * f.time_base for f in frames], known


def read_alpha(path: Path) -> list[np.ndarray]:
    """The alpha plane of each frame: FFmpeg's own VP9 decoder has none, that of libvpx has."""
    decoder = av.CodecContext.create("libvpx-vp9", "r")
    with av.open(str(path)) as container:
        frames = [frame for packet in container.demux(video=0) if packet.size for frame in decoder.decode(packet)]
    return [frame.to_ndarray(format="rgba")[..., 3] for frame in frames]


def sound_packets(path: Path, track: int = 0) -> list[tuple[Fraction, bytes]]:
    """Time in seconds and content of each."""
    with av.open(str(path)) as container:
        return [(one.pts * one.time_base, bytes(one)) for one in container.demux(audio=track) if one.size]


def near(pixel: Any, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.asarray(pixel, int) - colour).max() <= 12)


# ------------------------------------------------------------------------------------------------ what is kept


def test_the_command_keeps_size_times_and_frames(tmp_path, capsys):
    pictures = [np.zeros((64, 96, 3), np.uint8) for _ in range(5)]
    for index, picture in enumerate(pictures):
        picture[20:45, 16 * index : 16 * index + 25] = 255
    clip = record(tmp_path / "a clip: 50 %d.mp4", pictures, time_base=Fraction(1, 25))
    arguments = [f"input='{clip}'", f"output={tmp_path / 'out'}", "method=mb", "batch_size=2"]
    assert main(["predict", *arguments]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [clip.name]
    assert "5 frames" in capsys.readouterr().out
    frames, times, stream = read(tmp_path / "out" / clip.name)
    assert (stream.codec, stream.pixels) == ("h264", "yuv420p")
    assert times == [Fraction(index, 25) for index in range(5)]
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 5
    for index, frame in enumerate(frames[1:4], start=1):  # in the first and last the square touches the border
        assert frame[25:40, 16 * index + 5 : 16 * index + 20].mean() > 200
        assert frame[:, : 16 * index - 8].mean() < 50


def test_the_command_makes_a_transparent_cutout_by_a_network(tmp_path, trained):
    clip = record(tmp_path / "clip.mp4", 3)
    arguments = [f"input={clip}", f"output={tmp_path / 'out'}", f"checkpoint={trained}", "as=cutout"]
    assert main(["predict", *arguments]) == 0
    assert len(read_alpha(tmp_path / "out" / "clip.webm")) == 3


@pytest.mark.parametrize(("suffix", "exact"), [(".mp4", True), (".webm", False)])
@pytest.mark.parametrize("time_base", [MILLISECOND, Fraction(1, 90_000), Fraction(1001, 30_000)])
def test_a_variable_rate_is_kept(tmp_path, suffix, exact, time_base):
    times = [0, 1, 2, 5, 6, 7, 20, 21, 40, 41]
    clip = record(tmp_path / "clip.mp4", times=[max(1, int(Fraction(1, 30) / time_base)) * t for t in times],
                  time_base=time_base)  # fmt: skip
    target = tmp_path / f"out{suffix}"
    assert predict_video(LeftHalf(), clip, target, "map", 4) == 10
    wanted, got = read(clip)[1], read(target)[1]
    if exact:
        assert got == wanted
    else:  # Matroska counts milliseconds
        assert max(abs(one - other) for one, other in zip(got, wanted, strict=True)) <= MILLISECOND / 2


def test_the_last_frame_lasts_as_long_as_it_did(tmp_path):
    frames = [Image.new("RGB", (64, 64), (9 * shade, 0, 0)) for shade in range(5)]
    lasts = [50, 100, 200, 50, 90]  # ms; the name does not matter to the reader
    frames[0].save(tmp_path / "gif.mkv", format="GIF", save_all=True, append_images=frames[1:], duration=lasts)
    predict_video(LeftHalf(), tmp_path / "gif.mkv", tmp_path / "out.mp4", "overlay", 4)
    _, times, stream = read(tmp_path / "out.mp4")
    assert times == [sum(lasts[:index]) * MILLISECOND for index in range(5)]
    assert stream.seconds == sum(lasts) * MILLISECOND


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turned_video_stands_upright(tmp_path, degrees, mirrored):
    clip = record(tmp_path / "clip.mp4", 2, turn=(degrees, mirrored), aspect=Fraction(4, 3))
    predict_video(LeftHalf(), clip, tmp_path / "out.mp4", "overlay", 4)
    wanted = np.rot90(halves(), degrees // 90)
    wanted = wanted[:, ::-1] if mirrored else wanted
    frames, _, stream = read(tmp_path / "out.mp4")
    assert frames[0].shape == wanted.shape
    rows, columns = (slice(8, None, 16) for _ in range(2))  # clear of what the encoder blurs
    kept = wanted.shape[1] // 2  # the object's half; the rest is gray
    assert (
        np.abs(frames[0][rows, columns][:, : kept // 16].astype(int) - wanted[rows, columns][:, : kept // 16]).max()
        < 12
    )
    assert stream.rotation == 0
    assert stream.aspect == (Fraction(3, 4) if degrees in (90, 270) else Fraction(4, 3))


def test_pixels_that_are_not_square(tmp_path):
    clip = record(tmp_path / "clip.mp4", 2, aspect=Fraction(4, 3))
    predict_video(LeftHalf(), clip, tmp_path / "out.webm", "cutout", 4)
    predict_video(LeftHalf(), clip, tmp_path / "frames", "map", 4)
    assert read(tmp_path / "out.webm")[0][0].shape == (64, 128, 3)
    assert read_alpha(tmp_path / "out.webm")[0].shape == (64, 128)
    assert np.asarray(Image.open(tmp_path / "frames" / "000001.png")).shape == (64, 96)


@pytest.mark.parametrize(("suffix", "shape"), [(".mp4", (66, 98)), (".webm", (65, 97)), ("", (65, 97))])
def test_odd_sizes_lose_no_row_or_column(tmp_path, suffix, shape):
    picture = np.full((65, 97, 3), 60, np.uint8)
    picture[-1:, :, 0] = picture[:, -1:, 0] = 255
    clip = record(tmp_path / "clip.webm", [picture] * 2, codec="libvpx-vp9", pixels="yuv444p")
    target = tmp_path / f"out{suffix}"
    predict_video(LeftHalf(), clip, target, "overlay", 4)
    frame = read(target)[0][0] if suffix else np.asarray(Image.open(target / "000001.png"))
    assert frame.shape[:2] == shape
    assert frame[-1, :40, 0].mean() > frame[20:40, :40, 0].mean() + 60  # red, at the edge


@pytest.mark.parametrize(
    ("source", "sounds", "target"),
    [
        ("clip.mp4", ("aac",), "out.mp4"),
        ("clip.mkv", ("libmp3lame",), "out.mp4"),
        ("clip.mkv", ("flac",), "out.mp4"),
        ("clip.mkv", ("ac3", "aac"), "out.mp4"),
        ("clip.webm", ("libopus",), "out.mp4"),
        ("clip.webm", ("libopus",), "out.webm"),
        ("clip.ts", ("aac",), "out.mp4"),
    ],
)
def test_sound_is_copied(tmp_path, source, sounds, target):
    codec = "libvpx-vp9" if source.endswith("webm") else "libx264"
    start = 5_000 if source.endswith("ts") else 0  # a broadcast's clock does not begin with the recording
    clip = record(tmp_path / source, 25, sounds=sounds, codec=codec, start=start)
    predict_video(LeftHalf(), clip, tmp_path / target, "map", 4)
    before, after = sound_packets(clip), sound_packets(tmp_path / target)
    kept = [content for _, content in after]
    if source.endswith("ts"):  # each packet of AAC has a header of seven bytes there
        assert kept == [content[7:] for _, content in before]
    else:
        assert kept == [content for _, content in before]
    shift = read(clip)[1][0] - read(tmp_path / target)[1][0]
    assert (shift > 4) == bool(start)
    for (one, _), (other, _) in zip(before, after, strict=True):
        assert abs(one - shift - other) <= 2 * MILLISECOND  # sound and pictures have moved together
    with av.open(str(tmp_path / target)) as container:
        assert len(container.streams.audio) == 1
        assert 0.95 < container.duration / 1e6 < 1.1


@pytest.mark.parametrize(("source", "sound", "target", "wanted"), [
    ("clip.mov", "pcm_s16le", "out.mp4", "aac"), ("clip.mp4", "aac", "out.webm", "opus"),
])  # fmt: skip
def test_sound_that_the_container_does_not_take_is_encoded(tmp_path, source, sound, target, wanted):
    clip = record(tmp_path / source, 25, sounds=(sound,))
    predict_video(LeftHalf(), clip, tmp_path / target, "map", 4)
    with av.open(str(tmp_path / target)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == wanted
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert abs(len(samples) / 48_000 - 1) < 0.05
    crossings = np.count_nonzero(np.diff(np.signbit(samples[5_000:40_000])))
    assert abs(crossings - 35_000 * 0.05 / np.pi) < 15  # the same tone


def test_more_bits_become_eight(tmp_path):
    for name, pixels in (("eight.mkv", "yuv420p"), ("ten.mkv", "yuv420p10le")):
        predict_video(LeftHalf(), record(tmp_path / name, 2, pixels=pixels), tmp_path / name[:-4], "overlay", 4)
    eight, ten = (np.asarray(Image.open(tmp_path / name / "000001.png"), int) for name in ("eight", "ten"))
    assert np.abs(eight - ten)[36:60, 5:40].max() <= 3
    assert near(ten[40, 20], RED)


def test_the_white_of_an_hdr_video_is_white(tmp_path):
    """203 cd/m2 in PQ, BT.2100's white, is 58 % of the signal: shown as it is, a third too dark."""
    with av.open(str(tmp_path / "hdr.mkv"), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p10le"
        coder = stream.codec_context
        coder.colorspace, coder.color_primaries, coder.color_trc, coder.color_range = 9, 9, 16, 1
        frame = av.VideoFrame(96, 64, "yuv420p10le")
        for plane, level in zip(frame.planes, (64 + round(876 * 0.581), 512, 512), strict=True):
            plane.update(np.full(plane.buffer_size // 2, level, np.uint16).tobytes())
        frame.pts = 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    predict_video(LeftHalf(), tmp_path / "hdr.mkv", tmp_path / "out", "overlay", 4)
    assert near(np.asarray(Image.open(tmp_path / "out" / "000001.png"))[32, 20], (255, 255, 255))


# -------------------------------------------------------------------------------------------------- what comes out


def test_a_cutout_is_transparent(tmp_path):
    clip = record(tmp_path / "clip.mp4", 3)
    assert (default_suffix("cutout"), default_suffix("map"), default_suffix("overlay")) == (".webm", ".mp4", ".mp4")
    assert predict_video(LeftHalf(), clip, tmp_path / "out.webm", "cutout", 2) == 3
    alpha = read_alpha(tmp_path / "out.webm")
    assert len(alpha) == 3
    assert alpha[2][:, :40].min() > 250
    assert alpha[2][:, 56:].max() < 5
    assert predict_video(LeftHalf(), clip, tmp_path / "frames", "cutout", 2) == 3
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [f"00000{n}.png" for n in (1, 2, 3)]
    frame = np.asarray(Image.open(tmp_path / "frames" / "000003.png"))
    assert frame.shape == (64, 96, 4)
    assert near(frame[40, 10, :3], RED)
    assert (frame[40, 10, 3], frame[40, 80, 3]) == (255, 0)


def test_levels_of_a_map_come_through(tmp_path):
    clip = record(tmp_path / "clip.mp4", 2)
    for target in ("out.mp4", "out.webm"):
        predict_video(LeftHalf(), clip, tmp_path / target, "map", 2)
        frame = read(tmp_path / target)[0][1]
        assert frame[:, :40].min() > 250
        assert frame[:, 56:].max() < 5
    predict_video(LeftHalf(), clip, tmp_path / "frames", "map", 2)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "frames" / "000002.png"))[5], [255] * 48 + [0] * 48)


def test_frames_are_replaced_and_nothing_else(tmp_path):
    long, short = record(tmp_path / "long.mp4", 4), record(tmp_path / "short.mp4", 2)
    for clip, count in ((long, 4), (short, 2)):
        predict_video(LeftHalf(), clip, tmp_path / "frames", "map", 2)
        assert len(list((tmp_path / "frames").iterdir())) == count
    (tmp_path / "frames" / "notes.txt").write_text("mine")
    with pytest.raises(ArnError, match="frames is there and holds more"):
        predict_video(LeftHalf(), long, tmp_path / "frames", "map", 2)
    assert len(list((tmp_path / "frames").iterdir())) == 3


def test_progress_comes_to_the_announced_total(tmp_path):
    seen: list[tuple[int, int | None]] = []
    for name, codec in (("clip.mp4", "libx264"), ("clip.webm", "libvpx-vp9")):  # the latter announces a length only
        predict_video(LeftHalf(), record(tmp_path / name, 9, codec=codec), tmp_path / "out.mp4", "map", 4,
                      advance=lambda *told: seen.append(told))  # fmt: skip
    assert seen == [(4, 9), (4, 9), (1, 9)] * 2


def test_few_frames_are_held_at_once(tmp_path):
    alive: list[Any] = []
    most = 0

    class Watched(LeftHalf):
        def maps(self, pictures):
            nonlocal most
            alive.extend(map(weakref.ref, pictures))
            most = max(most, sum(one() is not None for one in alive))
            return super().maps(pictures)

    predict_video(Watched(), record(tmp_path / "clip.mp4", 80), tmp_path / "out.mp4", "overlay", 2, smoothing=0.5)
    assert len(alive) == 80
    assert most <= 8


# ------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("target", "kind", "names"),
    [
        ("out.mp4", "cutout", ["out.mp4", "out.webm", "folder of PNG"]),
        ("out.avi", "map", ["out.avi", ".mp4", ".webm"]),
        ("clip.mp4", "map", ["clip.mp4", "overwritten"]),
    ],
)
def test_targets_that_cannot_be(tmp_path, target, kind, names):
    before = record(tmp_path / "clip.mp4", 2).read_bytes()
    with pytest.raises(ArnError) as told:
        predict_video(LeftHalf(), tmp_path / "clip.mp4", tmp_path / target, kind, 4)
    assert all(name in str(told.value) for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert (tmp_path / "clip.mp4").read_bytes() == before


@pytest.mark.parametrize("content", ["", "not a video", "sound"])
def test_what_is_no_video(tmp_path, content, capsys):
    path = tmp_path / "broken.mp4"
    path.write_text(content)
    if content == "sound":
        with av.open(str(path), "w") as container:
            track = container.add_stream("aac", 48_000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), "s16", "stereo")
            frame.sample_rate, frame.pts = 48_000, 0
            container.mux([*track.encode(frame), *track.encode(None)])
    assert main(["predict", f"input={path}", f"output={tmp_path / 'out'}", "method=mb"]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "broken.mp4" in message
    assert not (tmp_path / "out").exists()


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    clip = record(tmp_path / "clip.mp4", 1)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ArnError, match=r"pip install 'arn-saliency\[video\]'"):
        predict_video(LeftHalf(), clip, tmp_path / "out.mp4", "map", 4)


def test_frames_that_change_size_are_refused(tmp_path):
    parts = [record(tmp_path / f"{n}.ts", [halves(64, side)] * 5) for n, side in enumerate((96, 128))]
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(ArnError, match=r"both\.ts: its frames change size, from \(64, 96\) to \(64, 128\)"):
        predict_video(LeftHalf(), both, tmp_path / "out" / "new.mp4", "map", 2)
    assert not (tmp_path / "out").exists()


def test_damage_is_counted_and_passed_over(tmp_path):
    clip = record(tmp_path / "clip.mp4", 60, sounds=("aac",))
    data = bytearray(clip.read_bytes())
    with av.open(str(clip)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in places[30:33]:
        data[position : position + size] = b"\xff" * size
    clip.write_bytes(data)
    lines: list[str] = []
    count = predict_video(LeftHalf(), clip, tmp_path / "out.mp4", "map", 4, tell=lines.append)
    assert 54 <= count < 60
    assert len(lines) == 1
    assert "clip.mp4: 3 damaged pieces" in lines[0]
    _, times, _ = read(tmp_path / "out.mp4")
    assert len(times) == count
    assert times[-1] == Fraction(59 * 40, 1000)  # what comes after the damage is shown when it was
    assert sound_packets(tmp_path / "out.mp4") == sound_packets(clip)


def test_a_file_that_breaks_off_is_told(tmp_path):
    clip = record(tmp_path / "clip.mkv", 100)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    lines: list[str] = []
    count = predict_video(LeftHalf(), clip, tmp_path / "out.mp4", "map", 4, tell=lines.append)
    assert 10 < count < 90
    assert f"the pictures end after {count / 25:.1f} s of 4.0 s" in lines[-1]


@pytest.mark.parametrize("target", ["new/out.mp4", "new/out.webm", "new/frames"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ArnError("no map of this")])
def test_an_end_before_the_end_leaves_nothing(tmp_path, target, error):
    class Ends(LeftHalf):
        calls = 0

        def maps(self, pictures):
            self.calls += 1
            if self.calls == 4:
                raise error
            return super().maps(pictures)

    clip = record(tmp_path / "clip.mp4", 20, sounds=("aac",))
    with pytest.raises(type(error)):
        predict_video(Ends(), clip, tmp_path / target, "overlay", 4)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes meanwhile, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("target", ["out.mp4", "out.webm", "frames"])
@pytest.mark.parametrize("share", [0.1, 0.999])
def test_a_full_disk_is_one_line(tmp_path, target, share):
    """At the first byte, and at the very last, when the index of the MP4 moves to the front."""
    clip = record(tmp_path / "clip.mp4", 20)
    whole = tmp_path / target
    predict_video(LeftHalf(), clip, whole, "overlay", 4)
    size = (whole if whole.is_file() else whole / "000001.png").stat().st_size
    with room(int(size * share)), pytest.raises(ArnError, match=f"{target} cannot be written: File too large; free"):
        predict_video(LeftHalf(), clip, tmp_path / "new" / target, "overlay", 4)
    assert not (tmp_path / "new").exists()


# ------------------------------------------------------------------------------------------------------- smoothing


def noisy(count: int = 12) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A still picture with noise, a square of it that moves, and maps that flicker: the square is the object."""
    random = np.random.default_rng(0)
    pictures, maps = [], []
    for index in range(count):
        picture = halves(120, 160).astype(float) + random.normal(0, 6, (120, 160, 3))
        saliency = np.full((120, 160), 0.3) + random.normal(0, 0.1)
        picture[60:90, 8 * index : 8 * index + 30], saliency[60:90, 8 * index : 8 * index + 30] = 240, 1
        pictures.append(picture.clip(0, 255).astype(np.uint8))
        maps.append(saliency.clip(0, 1).astype(np.float32))
    return pictures, maps


def test_smoothing_lessens_flicker_and_leaves_what_moves():
    pictures, maps = noisy()
    smooth = Smoother(0.8)
    smoothed = [smooth(picture, saliency) for picture, saliency in zip(pictures, maps, strict=True)]
    assert flicker(pictures, smoothed) < 0.4 * flicker(pictures, maps)
    for index in range(1, len(maps)):
        row = (75, slice(8 * index, 8 * index + 30))
        assert np.array_equal(smoothed[index][row], maps[index][row])  # the square is where it is
        behind = (75, slice(8 * index - 8, 8 * index))
        assert np.array_equal(smoothed[index][behind], maps[index][behind])  # and not where it was
    assert all(one is other for one, other in zip(map(Smoother(0), pictures, maps), maps, strict=True))


def test_slow_movement_and_a_cut_are_new():
    """A wedge creeps on by a level of brightness a frame: no two frames differ by much, the average's picture does."""
    pictures = [np.full((40, 40, 3), 60 + level, np.uint8) for level in range(24)]
    maps = [np.full((40, 40), level / 24, np.float32) for level in range(24)]
    smooth = Smoother(0.95)
    lag = [
        float((saliency - smooth(picture, saliency)).max()) for picture, saliency in zip(pictures, maps, strict=True)
    ]
    assert 0 < max(lag) < 7 / 24  # without a look at the average's picture: more than 15 / 24
    white, new = np.full((40, 40, 3), 255, np.uint8), np.ones((40, 40), np.float32)
    assert np.array_equal(smooth(white, new), new)


def test_flicker_is_the_change_where_nothing_moves():
    still = [halves(120, 160)] * 3
    maps = [np.full((120, 160), level, np.float32) for level in (0.2, 0.3, 0.2)]
    assert flicker(still, maps) == pytest.approx(0.1)
    changed = [still[0], np.full_like(still[0], 255), still[0]]
    assert np.isnan(flicker(changed, maps))
    corner = [still[0], still[0].copy(), still[0]]
    corner[1][:30, :30] = 255
    maps[1][:30, :30] = 1  # a new object: no flicker
    assert flicker(corner, maps) == pytest.approx(0.1)


@pytest.mark.parametrize("weight", [-0.1, 1, 1.5, float("nan")])
def test_weights_that_cannot_be(weight):
    with pytest.raises(ArnError, match=f"smoothing={weight}"):
        Smoother(weight)


def test_smoothing_reaches_the_video(tmp_path):
    class Flickers(LeftHalf):
        def maps(self, pictures):
            self.level = 1 - getattr(self, "level", 1)
            return [np.full(picture.shape[:2], self.level, np.float32) for picture in pictures]

    clip = record(tmp_path / "clip.mp4", 6)
    levels = {}
    for smoothing in (0.0, 0.75):
        predict_video(Flickers(), clip, tmp_path / "out", "map", 1, smoothing=smoothing)
        levels[smoothing] = [np.asarray(Image.open(path))[30, 30] for path in sorted((tmp_path / "out").iterdir())]
    assert levels[0.0] == [0, 255, 0, 255, 0, 255]
    assert levels[0.75] == [0, 64, 48, 100, 75, 120]


# ------------------------------------------------------------------------------------------------- a real browser

PLAY = """
const [source, done] = arguments, video = document.createElement('video');
video.muted = true;
video.onerror = () => done({error: video.error.message});
video.onloadeddata = async () => {
  await video.play();
  await new Promise(resolve => { video.ontimeupdate = () => video.currentTime > 0.15 && resolve(); });
  const {currentTime, duration, videoWidth, videoHeight} = video, canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [videoWidth, videoHeight];
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0);
  const pixel = (x, y) => Array.from(context.getImageData(x * videoWidth, y * videoHeight, 1, 1).data);
  done({currentTime, duration, size: [videoWidth, videoHeight], left: pixel(0.25, 0.6), right: pixel(0.85, 0.6),
        corner: pixel(0.08, 0.1)});
};
video.src = source;
"""


@pytest.mark.parametrize(
    ("target", "kind", "sound"),
    [("out.mp4", "overlay", "aac"), ("out.webm", "overlay", "aac"), ("out.webm", "cutout", None)],
)
def test_chromium_plays_it(chromium, tmp_path, target, kind, sound):
    clip = record(tmp_path / "clip.mp4", 25, sounds=(sound,) if sound else ())
    predict_video(LeftHalf(), clip, tmp_path / target, kind, 4)
    data = base64.b64encode((tmp_path / target).read_bytes()).decode()
    chromium.get("about:blank")
    told = chromium.execute_async_script(PLAY, f"data:video/{target[4:]};base64,{data}")
    assert "error" not in told, told
    assert told["size"] == [96, 64]
    assert told["duration"] == pytest.approx(1, abs=0.05)
    assert told["currentTime"] > 0.15
    assert near(told["left"][:3], RED)
    assert near(told["corner"][:3], GREEN)
    assert told["left"][3] > 250
    if kind == "cutout":
        assert told["right"][3] < 5
    else:
        assert told["right"][3] == 255
        assert np.ptp(told["right"][:3]) < 12  # gray


def test_through_the_command(tmp_path, capsys):
    """Frames on request, a ground that needs no transparency, and what was made before is left as it is."""
    clip = record(tmp_path / "clip.mp4", 3)
    command = ["predict", str(clip), "method=mb", "as=cutout"]
    assert main([*command, "-o", str(tmp_path / "out"), "format=png"]) == 0
    assert len(list((tmp_path / "out/clip").glob("*.png"))) == 3
    assert main([*command, "-o", str(tmp_path / "on.mp4"), "background=pink"]) == 0
    dotted = record(tmp_path / "my.holiday.mp4", 2)
    assert main(["predict", str(dotted), "method=mb", "-o", str(tmp_path / "out"), "format=png"]) == 0
    assert len(list((tmp_path / "out/my.holiday").glob("*.png"))) == 2
    made = (tmp_path / "on.mp4").stat().st_mtime_ns
    assert main([*command, "-o", str(tmp_path / "on.mp4"), "background=pink"]) == 0
    assert (tmp_path / "on.mp4").stat().st_mtime_ns == made
    assert main([*command, "-o", str(tmp_path / "on.mp4"), "background=blue", "smoothing=0.5"]) == 0
    assert (tmp_path / "on.mp4").stat().st_mtime_ns != made
    record(tmp_path / "theirs.mp4", 3)
    capsys.readouterr()
    for more, says in (
        (["-o", str(tmp_path / "on.mp4")], "transparency"),
        (["-o", str(tmp_path / "out"), "format=webp"], "format=png"),
        (["-o", str(tmp_path / "out"), "crop=true"], "crop=true"),
        (["-o", str(tmp_path / "theirs.mp4"), "background=white"], "not made by arn predict"),
        (["-o", str(tmp_path / "out"), "smoothing=1"], "smoothing"),
        (["-o", str(tmp_path / "out.png")], "a video is written as .mp4"),
        (["-o", str(tmp_path / "out.avi")], "a video is written as .mp4"),
    ):
        assert main([*command, *more]) in (1, 2)
        assert says in capsys.readouterr().err
