"""What lies in a folder is read or told, by every command alike."""

import shutil

import pytest

from arn.cli import main
from arn.data.images import PICTURE_SUFFIXES
from arn.data.layout import find_dataset
from arn.data.listing import list_folder
from arn.errors import ArnError


def filled(folder, *names):
    for name in names:
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return folder


QUICK = ("resamples=0", "figures=false", "browser=0")
STRANGE = ("Thumbs.db", ".DS_Store", "._a.jpg", "notes.txt", "raw.CR2", "README", "older/")


def test_every_kind_of_what_is_passed_over_is_told(tmp_path):
    folder = filled(tmp_path / "f", "b.JPG", "a.png", "c.avif", "clip.mp4", *STRANGE, "older/z.png")
    found = list_folder(folder, PICTURE_SUFFIXES, named={"videos": {".mp4"}})
    assert [path.name for path in found.files] == ["a.png", "b.JPG", "c.avif"]
    assert found.passed_over == ["1 video", "1 folder", "3 hidden files", "3 other files (.cr2, .txt, README)"]
    lines = []
    found.tell(folder, lines.append)
    assert len(lines) == 1
    assert lines[0].startswith(f"{folder}: passed over 1 video, ")
    list_folder(filled(tmp_path / "plain", "a.png"), PICTURE_SUFFIXES).tell(folder, lines.append)
    assert len(lines) == 1


def test_folders_below_are_read_but_for_hidden_ones_and_links(tmp_path):
    folder = filled(tmp_path / "f", "b.png", "in/a.png", ".git/x.png", "out/y.png")
    (folder / "link").symlink_to(folder / "in")
    found = list_folder(folder, PICTURE_SUFFIXES, below=True, closed=[(folder / "out").resolve()])
    assert [str(path.relative_to(folder)) for path in found.files] == ["b.png", "in/a.png"]
    assert found.passed_over == ["2 folders"]


def test_a_pattern_is_of_any_case(tmp_path):
    folder = filled(tmp_path / "f", "b.JPG", "a.jpg", "a.png", "b.PNG", ".c.jpg")
    assert [path.name for path in list_folder(folder, PICTURE_SUFFIXES, pattern="*.jpg").files] == ["a.jpg", "b.JPG"]


def test_a_folder_that_is_none_is_an_error_of_ours(tmp_path):
    with pytest.raises(ArnError, match=r"Cannot read .*nowhere"):
        list_folder(tmp_path / "nowhere", PICTURE_SUFFIXES)


@pytest.fixture
def untidy(tiny_dataset):
    """A data set among whose pictures other things lie."""
    filled(tiny_dataset / "images", *STRANGE)
    return tiny_dataset


def test_data_sets_tell_it(untidy, plain_overrides, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = f"{untidy / 'images'}: passed over 1 folder, 3 hidden files, 3 other files (.cr2, .txt, README)"
    lines = []
    assert len(find_dataset(untidy, tell=lines.append)) == 6
    assert lines == [told]
    shutil.copytree(untidy / "masks", tmp_path / "maps")
    data = [f"data.train=[{untidy}]", f"data.test=[{untidy}]", "data.val=2"]
    commands = (
        ["data", "verify", str(untidy)],
        ["data", "audit", str(untidy / "images"), f"output={tmp_path / 'audit'}"],
        ["bench", f"datasets=[{untidy}]", f"maps={{M: {tmp_path / 'maps'}}}", *QUICK],
        ["train", "experiment=folder", *plain_overrides, *data, f"hydra.run.dir={tmp_path / 'run'}"],
        ["predict", str(untidy / "images"), "-o", str(tmp_path / "out"), "recursive=false", "method=mb"],
    )
    for command in commands:
        assert main(command) == 0
        assert told in capsys.readouterr().out, command


def test_folders_of_maps_tell_it(untidy, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    maps = tmp_path / "results" / "M" / "TINY"
    shutil.copytree(untidy / "masks", maps)
    filled(maps, *STRANGE)
    told = "passed over: 1 folder and 3 hidden files and 3 other files (.cr2, .txt, README)"
    assert main(["bench", "scan", str(tmp_path / "results"), f"datasets=[{untidy}]"]) == 0
    assert told in capsys.readouterr().out
    assert main(["bench", f"datasets=[{untidy}]", f"maps={{M: {maps}}}", *QUICK]) == 0
    assert told in capsys.readouterr().out


def test_what_has_no_mask_is_told_with_what_was_passed_over(untidy):
    (untidy / "masks" / "0003.png").rename(untidy / "masks" / "0003.xcf")
    with pytest.raises(ArnError, match=r"without a mask: 0003.*masks: passed over 1 other file \(\.xcf\)"):
        find_dataset(untidy)
