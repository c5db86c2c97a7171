"""Names of files made of names of things, and folders that are whole or as they were."""

import contextlib

import numpy as np
import pytest

from arn import files
from arn.errors import ArnError
from arn.files import new_folder, slugs
from arn.inference.render import encode


def test_no_two_names_are_one_file():
    names = ["ECSSD", "a b", "a_b", "A B", "x/test", "y/test", "..", "", "日本", "Ω", "a_b_2", "ecssd"]
    made = slugs(names)
    assert list(made) == names
    assert len({name.casefold() for name in made.values()}) == len(names)
    assert made["ECSSD"] == "ECSSD"
    assert made["a b"] == "a_b"
    assert all(name and "/" not in name and not name.startswith(".") for name in made.values())


def test_a_terminal_obeys_no_name_of_a_file():
    told = ArnError("\x1b]0;title\x07a\x1b[2Jb\r\u202ec.png is damaged\nä 日本").told
    assert told == "\\x1b]0;title\\x07a\\x1b[2Jb\\r\\u202ec.png is damaged\nä 日本"


@pytest.mark.parametrize(("suffix", "side"), [(".png", 1_000_001), (".jpg", 65_501), (".webp", 16_384)])
def test_a_side_that_a_format_does_not_hold_is_told(suffix, side):
    with pytest.raises(ArnError, match=f"a side of {side:,} px"):
        encode(np.zeros((1, side), np.uint8), suffix)


@pytest.mark.parametrize("swaps", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path, monkeypatch, swaps):
    if not swaps:
        monkeypatch.setattr(files, "_swap", lambda one, other: False)
    for text in ("first", "second"):
        with new_folder(tmp_path / "out") as passing:
            (passing / text).write_text(text)
        assert [path.name for path in (tmp_path / "out").iterdir()] == [text]
    with contextlib.suppress(RuntimeError), new_folder(tmp_path / "out") as passing:
        (passing / "third").touch()
        raise RuntimeError
    (tmp_path / "file").touch()
    with pytest.raises(ArnError, match="cannot be written"), new_folder(tmp_path / "file"):
        pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "out", "second"]


def test_two_at_once_leave_one_whole_folder(tmp_path):
    with new_folder(tmp_path / "out") as one, new_folder(tmp_path / "out") as other:
        (one / "a").touch()
        (other / "b").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
