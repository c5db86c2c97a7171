"""`arn predict`: pictures, folders and videos in, maps, overlays and cutouts out, at native size."""

import cv2
import numpy as np
import pytest
from PIL import Image

from arn.cli import main
from arn.data.pairs import read_map
from arn.data.scenes import draw_scene


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
        arguments = [f"input={holiday}", f"output={out}", f"checkpoint={trained}", f"batch_size={size}"]
        assert main(["predict", *arguments]) == 0
    for name in ("a.png", "b.png", "c.png"):
        one, three = (read_map(tmp_path / f"out{size}" / name).astype(int) for size in (1, 3))
        assert np.abs(one - three).max() <= 1


def test_without_training(holiday, tmp_path):
    assert main(["predict", f"input={holiday}", f"output={tmp_path / 'out'}", "method=mb"]) == 0
    assert read_map(tmp_path / "out" / "b.png").shape == (120, 40)


def test_checkpoint_or_method(holiday, tmp_path, trained, capsys):
    for given in ([], [f"checkpoint={trained}", "method=mb"], ["method=gbvs"]):
        assert main(["predict", f"input={holiday}", f"output={tmp_path / 'out'}", *given]) == 2
        assert "method=" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_cutout_is_the_picture_with_transparency(holiday, tmp_path, trained):
    arguments = [f"input={holiday / 'b.png'}", f"output={tmp_path / 'out'}", f"checkpoint={trained}", "as=cutout"]
    assert main(["predict", *arguments]) == 0
    cut = Image.open(tmp_path / "out" / "b.png")
    assert cut.mode == "RGBA"
    assert np.array_equal(np.asarray(cut)[..., :3], np.asarray(Image.open(holiday / "b.png")))


def test_overlay(holiday, tmp_path, trained):
    arguments = [f"input={holiday / 'a.jpg'}", f"output={tmp_path / 'out'}", f"checkpoint={trained}", "as=overlay"]
    assert main(["predict", *arguments]) == 0
    assert np.asarray(Image.open(tmp_path / "out" / "a.jpg")).shape == (60, 90, 3)


def test_video_keeps_size_and_frames(tmp_path, trained):
    source = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"mp4v"), 10, (96, 64))
    for index in range(5):
        writer.write(draw_scene(1, index, (64, 96))[0])
    writer.release()
    assert main(["predict", f"input={source}", f"output={tmp_path / 'out'}", f"checkpoint={trained}"]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip.mp4"]
    reader = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert reader.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert (reader.get(cv2.CAP_PROP_FRAME_WIDTH), reader.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (96, 64)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"input": "nowhere.jpg"}, "nowhere.jpg"),
        ({"as": "painting"}, "painting"),
        ({"checkpoint": "nothing.ckpt"}, "nothing.ckpt"),
        ({"output": "notes.txt"}, "notes.txt"),
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
