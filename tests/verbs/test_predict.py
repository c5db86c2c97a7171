"""`arn predict`: pictures and folders in, maps, overlays and cutouts out, at native size."""

import http.server
import io
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from arn.cli import main
from arn.data.images import read_map
from arn.data.scenes import draw_scene, scene
from arn.errors import ArnError
from arn.inference import pipeline


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
    from arn.data.images import read_picture

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
            assert np.array_equal(read_map(out / f"{path.stem}.png"), np.round(saliency * 255))
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

    from arn.inference import making

    written = making.write_atomically
    monkeypatch.setattr(making, "write_atomically", fails)
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
    passed_over = f"{holiday}: passed over 1 other file (.txt)"
    assert lines == [passed_over, f"arn_lite on {chosen}", f"3 pictures -> {tmp_path / 'out'}"]
    assert main(["predict", *arguments, "method=mb"]) == 0
    assert capsys.readouterr().out.startswith(f"{passed_over}\nmb on CPU, 1 thread\n")


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


def test_what_cannot_be_read_is_passed_over_and_named_at_the_end(holiday, tmp_path, trained, capsys):
    (holiday / "b.png").write_bytes((holiday / "b.png").read_bytes()[:100])
    (holiday / "d.jpg").write_bytes(b"no picture")
    assert main(["predict", str(holiday), "-o", str(tmp_path / "out"), f"checkpoint={trained}"]) == 1
    told = capsys.readouterr()
    assert [line.split()[2].rpartition("/")[2] for line in told.err.splitlines()] == ["b.png", "d.jpg"]
    assert told.out.splitlines()[-1] == f"2 pictures -> {tmp_path / 'out'}, 2 not made"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", "c.png"}


def test_empty_folder(tmp_path, trained, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["predict", f"input={tmp_path / 'empty'}", f"output={tmp_path / 'out'}", f"checkpoint={trained}"]) == 2
    assert "empty" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_pictures_of_one_stem_keep_their_suffix(holiday, tmp_path):
    (holiday / "a.png").write_bytes((holiday / "b.png").read_bytes())
    assert main(["predict", str(holiday), "-o", str(tmp_path / "out"), "method=mb"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.jpg.png", "a.png.png", "b.png", "c.png"}


@pytest.mark.parametrize("how", ["name", "link", "hard link"])
def test_pictures_are_never_overwritten(holiday, tmp_path, capsys, how):
    before = (holiday / "b.png").read_bytes()
    out = holiday if how == "name" else tmp_path / "out"
    if how == "link":
        out.symlink_to(holiday)
    elif how == "hard link":
        out.mkdir()
        (out / "b.png").hardlink_to(holiday / "b.png")
    assert main(["predict", str(holiday), "-o", str(out), "method=mb", "--overwrite"]) == 2
    assert "overwrite" in capsys.readouterr().err
    assert (holiday / "b.png").read_bytes() == before


NAMES = [
    "b (1) [x].png",
    "a=b,c.png",
    "it's 'so'.png",
    'dou"ble.png',
    "${oc.env:HOME}.png",
    "-dash.png",
    "ü:smile:.png",
]


def test_any_name_goes_through(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(NAMES):
        Image.fromarray(draw_scene(0, number, (20 + number, 30))[0]).save(tmp_path / name)
    assert main(["predict", "-o", "o u't=1", "method=mb", "--", *NAMES]) == 0
    assert {name: read_map(tmp_path / "o u't=1" / name).shape for name in NAMES} == {
        name: (20 + number, 30) for number, name in enumerate(NAMES)
    }
    for name in NAMES:
        assert main(["predict", f"input={name}", f"output={tmp_path}/by key/", "method=mb"]) == 0
    assert {path.name for path in (tmp_path / "by key").iterdir()} == set(NAMES)
    capsys.readouterr()
    assert main(["predict", "nothing=here.png", "method=mb"]) == 2
    assert "nothing" in capsys.readouterr().err


def test_a_folder_keeps_its_tree_and_a_pattern_its_own(holiday, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (holiday / "deep/er").mkdir(parents=True)
    for place in ("deep/d.png", "deep/er/e.png", "deep/er/.hidden.png"):
        shutil.copy(holiday / "b.png", holiday / place)
    assert main(["predict", "holiday", "-o", "holiday/out", "method=mb"]) == 0

    def tree(folder):
        return sorted(str(path.relative_to(folder)) for path in (tmp_path / folder).rglob("*") if path.is_file())

    whole = ["a.png", "b.png", "c.png", "deep/d.png", "deep/er/e.png"]
    assert tree(tmp_path / "holiday/out") == whole
    assert main(["predict", "holiday", "-o", "holiday/out", "method=mb"]) == 0  # its own output is not looked into
    assert tree(tmp_path / "holiday/out") == whole
    shutil.rmtree(holiday / "out")
    assert main(["predict", "holiday", "-o", "flat", "method=mb", "recursive=false"]) == 0
    assert tree(tmp_path / "flat") == whole[:3]
    assert main(["predict", "holiday/**/*.png", "-o", "matched", "method=mb"]) == 0
    assert tree(tmp_path / "matched") == ["b.png", "deep/d.png", "deep/er/e.png"]
    assert main(["predict", "holiday/deep", "holiday/deep/er", "-o", "two", "method=mb"]) == 0
    assert tree(tmp_path / "two") == ["deep/d.png", "deep/er/e.png"]  # a picture that two words mean is made once
    assert main(["predict", "holiday/b.png", "holiday/deep/er/../d.png", "holiday/deep/er/e.png", "method=mb"]) == 0
    assert main(["predict", ".", "method=mb"]) == 0
    assert not list((tmp_path / "outputs/predict/maps/outputs").rglob("*"))  # nor is where it writes by default


def test_links_are_pictures_of_their_own_and_two_ways_to_one_are_not(holiday, tmp_path):
    (holiday / "again.png").symlink_to(holiday / "b.png")
    (tmp_path / "way").symlink_to(holiday)
    command = ["predict", f"{holiday}/b.png", f"{tmp_path}/way/b.png", str(holiday / "again.png")]
    assert main([*command, "-o", str(tmp_path / "out"), "method=mb"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["again.png", "b.png"]


def test_pictures_of_one_name_keep_their_folders(holiday, tmp_path):
    for place in ("x", "y"):
        (holiday / place).mkdir()
        shutil.copy(holiday / "b.png", holiday / place)
    given = [str(holiday / "x/b.png"), str(holiday / "y/b.png")]
    assert main(["predict", *given, "-o", str(tmp_path / "out"), "method=mb"]) == 0
    assert (tmp_path / "out/x/b.png").is_file()
    assert (tmp_path / "out/y/b.png").is_file()


def test_what_is_done_is_not_done_again(holiday, tmp_path, capsys):
    arguments = ["predict", str(holiday), "-o", str(tmp_path / "out"), "method=mb"]

    def run(*more):
        status = main([*arguments, *more])
        return status, capsys.readouterr().out.splitlines()[-1].partition("out")[2]

    assert run() == (0, "")
    assert run() == (0, ", 3 made before")
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    shutil.copy(holiday / "b.png", holiday / "a.jpg")  # another picture under an old name
    assert run() == (0, ", 2 made before")
    assert read_map(tmp_path / "out/a.png").shape == (120, 40)
    changed = {path.name for path in (tmp_path / "out").iterdir() if path.stat().st_mtime_ns != times[path.name]}
    assert changed == {"a.png"}
    assert run("crop=true") == (0, "")  # made in another way
    assert run("--overwrite", "crop=true") == (0, "")
    theirs = (holiday / "c.webp").read_bytes()
    (tmp_path / "out/c.png").write_bytes(theirs)
    assert run("crop=true") == (1, ", 2 made before, 1 not made")
    assert (tmp_path / "out/c.png").read_bytes() == theirs
    assert run("crop=true", "--overwrite") == (0, "")
    assert (tmp_path / "out/c.png").read_bytes() != theirs


def test_one_picture_to_one_file(holiday, tmp_path, capsys):
    for name, mode in (("cut.webp", "RGBA"), ("cut.jpg", "RGB"), ("cut.png", "RGBA"), ("cut.tiff", "RGBA")):
        assert main(["predict", str(holiday / "a.jpg"), "-o", str(tmp_path / name), "method=mb", "as=cutout"]) == 0
        with Image.open(tmp_path / name) as image:
            assert (image.size, image.mode) == ((90, 60), mode)
    for more, message in (
        ([str(holiday)], "3 inputs"),
        ([str(holiday / "a.jpg"), "format=jpeg"], "two formats"),
        ([str(holiday / "a.jpg"), "background=purplish", "as=cutout"], "background=purplish"),
        ([str(holiday / "a.jpg"), "background=white"], "as=map"),
        ([str(holiday / "a.jpg"), "--watch"], "folders"),
        ([str(holiday / "a.jpg"), "--bogus"], "no option --bogus"),
    ):
        assert main(["predict", *more, "-o", str(tmp_path / "one.png"), "method=mb", "--overwrite"]) == 2
        assert message in capsys.readouterr().err


def test_through_pipes(holiday, tmp_path):
    command = [sys.executable, "-m", "arn", "predict", "-", "method=mb", "as=cutout"]
    for more in ([], ["-o", "-"]):
        done = subprocess.run(
            [*command, *more], input=(holiday / "a.jpg").read_bytes(), capture_output=True, check=True
        )
        assert Image.open(io.BytesIO(done.stdout)).size == (90, 60)
        assert b"mb on CPU" in done.stderr
    done = subprocess.run(command, input=b"nothing", capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no picture" in done.stderr


@pytest.fixture
def server(holiday):
    """The address of the pictures on a server of this machine that also breaks off and leads astray."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(holiday))

        def log_message(self, *_):
            pass

        def do_GET(self):
            if self.path == "/astray.jpg":
                self.send_response(302)
                self.send_header("Location", f"file://{holiday}/b.png")
                self.end_headers()
            elif self.path == "/short.jpg":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"short")
            else:
                super().do_GET()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_from_the_web(holiday, tmp_path, server, capsys):
    (holiday / "a.jpg").rename(holiday / "a b.jpg")
    good = [f"{server}/a b.jpg?size=2", f"{server}/b.png"]
    bad = [f"{server}/none.jpg", f"{server}/astray.jpg", f"{server}/short.jpg", "http://127.0.0.1:1/x.jpg"]
    assert main(["predict", *good, *bad, "-o", str(tmp_path / "out"), "method=mb"]) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a b.png", "b.png"}
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4
    for line, (place, why) in zip(
        told, zip(bad, ("404", "Redirection", "broke off", "refused"), strict=True), strict=True
    ):
        assert place in line
        assert why in line


def test_a_pattern_beside_its_output(holiday, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "holiday/a*.jpg", "-o", "one.png", "method=mb"]) == 0
    assert main(["predict", "holiday/*", "-o", ".", "method=mb"]) == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {"one.png", "a.png", "b.png", "c.png"}


def test_a_picture_too_long_for_the_format_spoils_no_other(holiday, tmp_path, capsys):
    Image.new("RGB", (16_384, 2)).save(holiday / "long.png")
    given = ["predict", str(holiday), "-o", str(tmp_path / "out"), "method=mb", "format=webp"]
    assert main(given) == 1
    told = capsys.readouterr()
    assert "long.png: format=webp: a side of 16,384 px" in told.err
    assert told.out.splitlines()[-1].startswith("3 pictures -> ")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.webp", "b.webp", "c.webp"}


def test_watching_goes_on_with_what_comes_in_until_interrupted(holiday, tmp_path):
    out = tmp_path / "out"
    (holiday / "bad.png").write_bytes(b"never a picture")
    command = [sys.executable, "-m", "arn", "predict", str(holiday), "-o", str(out), "method=mb", "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        wait_for(lambda: len(list(out.glob("*.png"))) == 3)
        (holiday / "late").mkdir()
        whole = (holiday / "b.png").read_bytes()
        (holiday / "late/d.png").write_bytes(whole)
        (holiday / "e.jpg").write_bytes(b"never a picture")
        wait_for(lambda: (out / "late/d.png").is_file())
        running.send_signal(signal.SIGINT)
        try:
            told = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == 130
    assert told[1].count("bad.png is no picture") == 1
    assert told[1].count("e.jpg is no picture") <= 1
    assert "interrupted" in told[1]
    assert not list(out.rglob("*.tmp"))


def wait_for(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_only_so_many_pixels_are_in_memory(holiday, tmp_path, monkeypatch):
    """One picture at a time where each is beyond what may be held: all are made, and none waits for itself."""
    from arn.inference import making

    monkeypatch.setattr(making, "PIXELS", 100)
    assert main(["predict", str(holiday), "-o", str(tmp_path / "out"), "method=mb"]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 3
