"""`arn predict`: pictures, folders and videos in, maps, overlays and cutouts out, at native size."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from arn.classical import METHODS
from arn.cli import main
from arn.data.images import read_map
from arn.data.scenes import draw_scene, scene
from arn.errors import ArnError
from arn.inference import pipeline, video


@pytest.fixture
def holiday(tmp_path):
    """Three pictures of three sizes and formats."""
    folder = tmp_path / "holiday"
    folder.mkdir()
    for index, (name, size) in enumerate([("a.jpg", (60, 90)), ("b.png", (120, 40)), ("c.webp", (33, 33))]):
        Image.fromarray(draw_scene(0, index, size)[0]).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_folder_of_pictures(holiday, tmp_path, trained):
    assert main(["predict", f"input={holiday}", f"output={tmp_path / 'out'}", f"checkpoint={trained}"]) == 0
    shapes = {path.name: read_map(path).shape for path in (tmp_path / "out").iterdir()}
    assert shapes == {"a.png": (60, 90), "b.png": (120, 40), "c.png": (33, 33)}


def test_batches_do_not_change_maps(holiday, tmp_path, trained):
    for size in (1, 3):
        out = tmp_path / f"out{size}"
        arguments = [
            f"input={holiday}",
            f"output={out}",
            f"checkpoint={trained}",
            f"batch_size={size}",
            "precision=fp32",
        ]
        assert main(["predict", *arguments]) == 0
    for name in ("a.png", "b.png", "c.png"):
        one, three = (read_map(tmp_path / f"out{size}" / name).astype(int) for size in (1, 3))
        assert np.abs(one - three).max() <= 1


def test_maps_are_those_of_one_picture_after_the_other(holiday, tmp_path, trained):
    """Decoding ahead and writing behind change neither a value nor which file it is in."""
    from arn import load
    from arn.data.images import read_picture, write_map

    for index in range(20):
        Image.fromarray(draw_scene(1, index, (40 + index, 60))[0]).save(holiday / f"{index:02d}.png")
    out = tmp_path / "out"
    arguments = [f"input={holiday}", f"output={out}", f"checkpoint={trained}", "batch_size=3", "precision=fp32"]
    assert main(["predict", *arguments]) == 0
    predictor = load(trained)
    paths = sorted(path for path in holiday.iterdir() if path.suffix != ".txt")
    for start in range(0, len(paths), 3):
        batch = paths[start : start + 3]
        for path, saliency in zip(batch, predictor.maps([read_picture(one) for one in batch]), strict=True):
            write_map(tmp_path / "one.png", saliency)
            assert (tmp_path / "one.png").read_bytes() == (out / f"{path.stem}.png").read_bytes()
    assert len(list(out.iterdir())) == len(paths) == 23


def test_half_precision_is_close(holiday, tmp_path, trained, capsys):
    for precision in ("fp32", "bf16"):
        arguments = [f"input={holiday}", f"output={tmp_path / precision}", f"checkpoint={trained}"]
        assert main(["predict", *arguments, f"precision={precision}"]) == 0
    maps = [read_map(tmp_path / precision / "a.png").astype(int) for precision in ("fp32", "bf16")]
    assert 0 < np.abs(maps[0] - maps[1]).max() < 20
    assert main(["predict", *arguments, "precision=int4"]) == 2
    assert "int4" in capsys.readouterr().err


def test_flip_makes_the_map_of_a_mirrored_picture_the_mirrored_map(holiday, tmp_path, trained):
    picture = np.array(Image.open(holiday / "b.png"))
    Image.fromarray(picture[:, ::-1]).save(holiday / "d.png")
    turned = {}
    for spelled in ("tta=none", "tta=flip", "mirror=false", "mirror=true"):  # mirror: as it was called before
        out = tmp_path / spelled
        arguments = [f"input={holiday}", f"output='{out}'", f"checkpoint={trained}", "precision=fp32"]
        assert main(["predict", *arguments, spelled]) == 0
        straight, mirrored = (read_map(out / f"{name}.png").astype(int) for name in ("b", "d"))
        turned[spelled] = np.abs(straight - mirrored[:, ::-1]).max()
    assert turned["tta=flip"] <= 1 < turned["tta=none"]
    assert turned["mirror=true"] == turned["tta=flip"]
    assert turned["mirror=false"] == turned["tta=none"]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (["mirror=both"], "mirror"),
        (["tta=both"], "tta=both"),
        (["checkpoint=null", "method=mb", "tta=flip"], "checkpoints"),
        (["checkpoint=null", "method=mb", "mirror=true"], "checkpoints"),
        (["checkpoint=null", "onnx=model.onnx", "mirror=false"], "checkpoints"),
    ],
)
def test_averaging_says_where_it_has_no_meaning(holiday, tmp_path, trained, capsys, change, names):
    arguments = [f"input={holiday}", f"output={tmp_path / 'out'}", f"checkpoint={trained}"]
    assert main(["predict", *arguments, *change]) == 2
    assert names in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_reading_runs_ahead_by_no_more_than_its_depth():
    from concurrent.futures import ThreadPoolExecutor

    begun = []

    def numbers():
        for number in range(20):
            begun.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        results = pipeline.prefetch(pool, lambda number: number**2, numbers(), 4)
        assert next(results) == 0
        assert len(begun) == 5
        assert list(results) == [number**2 for number in range(1, 20)]


def test_an_error_ahead_comes_in_its_turn():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        results = pipeline.prefetch(pool, lambda number: 1 // (number - 3), range(9), 8)
        assert [next(results) for _ in range(3)] == [-1, -1, -1]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_what_is_written_behind_is_done_at_the_end_and_its_errors_are_told():
    done = []
    with pipeline.BackgroundWriter(1) as writers:
        for number in range(50):
            writers.submit(done.append, number)
            assert len(writers.begun) <= writers.depth
    assert done == list(range(50))
    with pytest.raises(ArnError, match="disk"), pipeline.BackgroundWriter(2) as writers:
        writers.submit(fail_to_write)
    with pytest.raises(KeyError, match="first"), pipeline.BackgroundWriter(2):
        raise KeyError("first")


def fail_to_write():
    raise ArnError("the disk is full")


def test_a_full_disk_is_told_once_and_leaves_whole_maps(holiday, tmp_path, trained, capsys, monkeypatch):
    def fails(path, data):
        if path.name == "b.png":
            raise ArnError(f"Cannot write {path}: no space left")
        written(path, data)

    from arn.data import images

    written = images.write_atomically
    monkeypatch.setattr(images, "write_atomically", fails)
    assert main(["predict", f"input={holiday}", f"output={tmp_path / 'out'}", f"checkpoint={trained}"]) == 2
    told = capsys.readouterr().err
    assert told.count("no space left") == 1
    assert "Traceback" not in told
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"a.png", "c.png"}
    assert all(read_map(path).size for path in (tmp_path / "out").iterdir())


def test_without_training(holiday, tmp_path):
    assert main(["predict", f"input={holiday}", f"output={tmp_path / 'out'}", "method=mb"]) == 0
    assert read_map(tmp_path / "out" / "b.png").shape == (120, 40)


def test_one_line_says_by_what_and_on_what(holiday, tmp_path, trained, capsys):
    arguments = [f"input={holiday}", f"output={tmp_path / 'out'}"]
    assert main(["predict", *arguments, f"checkpoint={trained}", "device=cpu", "precision=bf16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    count = torch.get_num_threads()
    chosen = f"CPU, {count} thread{'s' * (count > 1)}, bf16, 8 pictures at once"
    assert lines == [f"arn_lite on {chosen}", f"3 pictures -> {tmp_path / 'out'}"]
    assert main(["predict", *arguments, "method=mb"]) == 0
    assert capsys.readouterr().out.startswith("mb on CPU, 1 thread\n")


def test_checkpoint_or_method(holiday, tmp_path, trained, capsys):
    for given in ([f"checkpoint={trained}", "method=mb"], ["onnx=model.onnx", "method=mb"], ["method=gbvs"]):
        assert main(["predict", f"input={holiday}", f"output={tmp_path / 'out'}", *given]) == 2
        assert "method=" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_cutout_is_the_picture_with_transparency(holiday, tmp_path, trained):
    arguments = [f"input={holiday / 'b.png'}", f"output={tmp_path / 'out'}", f"checkpoint={trained}", "as=cutout"]
    assert main(["predict", *arguments]) == 0
    cut = Image.open(tmp_path / "out" / "b.png")
    assert cut.mode == "RGBA"
    colours, alpha = np.asarray(cut)[..., :3], np.asarray(cut)[..., 3]
    kept = (alpha == 0) | (alpha == 255)  # between, the object's share of the colour is estimated
    assert np.array_equal(colours[kept], np.asarray(Image.open(holiday / "b.png"))[kept])


def test_the_network_that_comes_along(tmp_path):
    """No checkpoint named, no data set, no network: a scene's object is found."""
    picture, mask = scene("test", 0)
    Image.fromarray(picture).save(tmp_path / "scene.png")
    assert main(["predict", f"input={tmp_path / 'scene.png'}", f"output={tmp_path / 'out'}"]) == 0
    saliency = read_map(tmp_path / "out" / "scene.png")
    assert saliency.shape == mask.shape
    assert saliency[mask > 127].mean() > 2 * saliency[mask <= 127].mean()


def test_overlay(holiday, tmp_path, trained):
    arguments = [f"input={holiday / 'a.jpg'}", f"output={tmp_path / 'out'}", f"checkpoint={trained}", "as=overlay"]
    assert main(["predict", *arguments]) == 0
    assert np.asarray(Image.open(tmp_path / "out" / "a.jpg")).shape == (60, 90, 3)


@pytest.fixture
def clip(tmp_path):
    """Five frames, 96 x 64, at 10 frames a second: a white square that moves right over black."""
    source = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"mp4v"), 10, (96, 64))
    for index in range(5):
        frame = np.zeros((64, 96, 3), np.uint8)
        frame[20:45, 16 * index : 16 * index + 25] = 255
        writer.write(frame)
    writer.release()
    return source


def read_video(path):
    reader = cv2.VideoCapture(str(path))
    frames = []
    while (read := reader.read())[0]:
        frames.append(read[1])
    return frames, reader.get(cv2.CAP_PROP_FPS)


def test_video_keeps_size_rate_and_frames(clip, tmp_path):
    arguments = [f"input={clip}", f"output={tmp_path / 'out'}", "method=mb", "batch_size=2"]
    assert main(["predict", *arguments]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip.mp4"]
    frames, rate = read_video(tmp_path / "out" / "clip.mp4")
    assert rate == 10
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 5
    for index, frame in enumerate(frames[1:4], start=1):  # in the first and last the square touches the border
        assert frame[25:40, 16 * index + 5 : 16 * index + 20].mean() > 200
        assert frame[:, : 16 * index - 8].mean() < 50


def test_video_of_odd_size_loses_no_row_or_column(tmp_path):
    frames = []
    for shade in (0, 120):
        frame = np.full((65, 97, 3), shade, np.uint8)
        frame[-1:, :, 0] = frame[:, -1:, 0] = 255  # red at the two edges that an encoder of even sides cuts off
        frames.append(Image.fromarray(frame))
    source = tmp_path / "odd.mkv"  # the reader goes by content, and OpenCV itself writes no video of odd size
    frames[0].save(source, format="GIF", save_all=True, append_images=frames[1:], duration=100)
    assert main(["predict", f"input={source}", f"output={tmp_path / 'out'}", "method=mb", "as=overlay"]) == 0
    written, _ = read_video(tmp_path / "out" / "odd.mp4")
    assert [frame.shape for frame in written] == [(66, 98, 3)] * 2
    assert written[0][-2:].mean() > written[0][20:40, 20:40].mean() + 20
    assert written[0][:, -2:].mean() > written[0][20:40, 20:40].mean() + 20


def test_video_overlay_by_a_network(clip, tmp_path, trained):
    arguments = [f"input={clip}", f"output={tmp_path / 'out'}", f"checkpoint={trained}", "as=overlay"]
    assert main(["predict", *arguments]) == 0
    assert len(read_video(tmp_path / "out" / "clip.mp4")[0]) == 5


def test_video_that_fails_leaves_nothing(clip, tmp_path, capsys, monkeypatch):
    before = clip.read_bytes()
    assert main(["predict", f"input={clip}", f"output={tmp_path}", "method=mb"]) == 2
    assert "overwrite" in capsys.readouterr().err
    assert main(["predict", f"input={clip}", f"output={tmp_path / 'out'}", "method=mb", "as=cutout"]) == 2
    assert "transparency" in capsys.readouterr().err
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(before[: len(before) // 2])
    assert main(["predict", f"input={broken}", f"output={tmp_path / 'out'}", "method=mb"]) == 2
    assert "broken.mp4" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

    def fails(picture):
        raise ArnError("no map of this")

    monkeypatch.setitem(METHODS, "mb", fails)
    assert main(["predict", f"input={clip}", f"output={tmp_path / 'out'}", "method=mb"]) == 2
    assert list((tmp_path / "out").iterdir()) == []
    assert clip.read_bytes() == before


def test_video_on_a_full_disk(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(video, "count_frames", lambda video: 3)
    assert main(["predict", f"input={clip}", f"output={tmp_path / 'out'}", "method=mb"]) == 2
    assert "disk full" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_frames_that_change_size_are_refused(tmp_path):
    frames = iter([(True, np.zeros((4, 6, 3), np.uint8)), (True, np.zeros((6, 4, 3), np.uint8))])
    reader = SimpleNamespace(read=lambda: next(frames))
    with pytest.raises(ArnError, match=r"odd\.mp4.*change size"):
        list(video.read_frames(reader, tmp_path / "odd.mp4"))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"input": "nowhere.jpg"}, "nowhere.jpg"),
        ({"as": "painting"}, "painting"),
        ({"checkpoint": "nothing.ckpt"}, "nothing.ckpt"),
        ({"output": "notes.txt"}, "notes.txt"),
        ({"batch_size": "0"}, "batch_size=0: must be at least 1, or auto"),
        ({"batch_size": "abc"}, "batch_size=abc: must be at least 1, or auto"),
        ({"precision": "x"}, "precision=x: must be one of auto, fp32, bf16"),
        ({"device": "abacus"}, "device=abacus"),
    ],
)
def test_bad_arguments(holiday, tmp_path, trained, capsys, change, names):
    given = {"input": "a.jpg", "output": "out", "as": "map", "checkpoint": str(trained)} | change
    for key in ("input", "output"):
        given[key] = str(holiday / given[key])
    assert main(["predict", *(f"{key}={value}" for key, value in given.items())]) == 2
    message = capsys.readouterr().err
    assert names in message
    assert "Traceback" not in message
    assert not (holiday / "out").exists()


def test_missing_argument_is_named(capsys):
    assert main(["predict", "output=out", "checkpoint=x"]) == 2
    assert "input" in capsys.readouterr().err


def test_truncated_picture(holiday, tmp_path, trained, capsys):
    (holiday / "b.png").write_bytes((holiday / "b.png").read_bytes()[:100])
    assert main(["predict", f"input={holiday}", f"output={tmp_path / 'out'}", f"checkpoint={trained}"]) == 2
    assert "b.png" in capsys.readouterr().err


def test_empty_folder(tmp_path, trained, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["predict", f"input={tmp_path / 'empty'}", f"output={tmp_path / 'out'}", f"checkpoint={trained}"]) == 2
    assert "empty" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_two_pictures_of_one_stem_do_not_overwrite_each_other(holiday, tmp_path, trained, capsys):
    (holiday / "a.png").write_bytes((holiday / "b.png").read_bytes())
    assert main(["predict", f"input={holiday}", f"output={tmp_path / 'out'}", f"checkpoint={trained}"]) == 2
    assert "a.png" in capsys.readouterr().err


def test_pictures_are_never_overwritten(holiday, trained, capsys):
    before = (holiday / "b.png").read_bytes()
    assert main(["predict", f"input={holiday}", f"output={holiday}", f"checkpoint={trained}"]) == 2
    assert (holiday / "b.png").read_bytes() == before
    assert "overwrite" in capsys.readouterr().err
