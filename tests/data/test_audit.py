"""The audit: every known alteration is found, different pictures are not, and what is written says so."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from arn.cli import main
from arn.data.audit import NEAR, SIDE, Match, audit, find_pictures, hashes, similarity, thumbnail, write_report
from arn.data.catalogue import CATALOGUE, OVERLAPS, known_overlap
from arn.data.layout import find_pairs
from arn.data.scenes import draw_scene

COUNT = 12


@pytest.fixture(scope="module")
def drawn() -> list[np.ndarray]:
    return [draw_scene(0, index, (180, 240))[0] for index in range(COUNT)]


def save(folder: Path, pictures: dict[str, np.ndarray], suffix: str = "png", **options) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{stem}.{suffix}", **options)
    return folder


def found(a: Path, b: Path | None = None, **options) -> list[tuple[str, str, str, bool]]:
    matches = audit(find_pictures(a), None if b is None else find_pictures(b), **options)
    return [(match.a.stem, match.b.stem, match.kind, match.flipped) for match in matches]


def resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def gray(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


ALTERED = {
    "quality": (lambda picture: picture, 20, False),
    "mirrored": (lambda picture: picture[:, ::-1], 90, True),
    "square": (lambda picture: resized(picture, 224, 224), 90, False),
    "small": (lambda picture: resized(picture, 120, 90), 90, False),
    "gray": (gray, 90, False),
    "cropped": (lambda picture: picture[14:-14, 19:-19], 90, False),  # 8 % a side
    "one side": (lambda picture: picture[:, 24:], 90, False),  # 10 %
    "everything": (lambda picture: resized(gray(picture[9:-4, :-14, :][:, ::-1]), 150, 150), 30, True),
}


@pytest.mark.parametrize("way", ALTERED)
def test_an_altered_copy_is_found_and_nothing_else(way, drawn, tmp_path):
    alter, quality, flipped = ALTERED[way]
    originals = save(tmp_path / "a", {f"{i:02d}": picture for i, picture in enumerate(drawn)})
    # Only every other picture has a copy, under a name that says nothing.
    kept = range(0, COUNT, 2)
    copies = save(tmp_path / "b", {f"x{99 - i}": alter(drawn[i]) for i in kept}, "jpg", quality=quality)
    assert sorted(found(originals, copies)) == [(f"{i:02d}", f"x{99 - i}", "near", flipped) for i in kept]


def test_the_kinds_and_their_order(drawn, tmp_path):
    a = save(tmp_path / "a", {"p": drawn[0], "q": drawn[1], "r": drawn[2]})
    b = save(tmp_path / "b", {"near": drawn[2]}, "jpg", quality=80)
    save(b, {"pixels": drawn[1]}, compress_level=0)
    (b / "bytes.png").write_bytes((a / "p.png").read_bytes())
    assert found(a, b) == [
        ("p", "bytes", "bytes", False),
        ("q", "pixels", "pixels", False),
        ("r", "near", "near", False),
    ]
    matches = audit(find_pictures(a), find_pictures(b))
    assert [match.similarity for match in matches[:2]] == [1, 1]
    assert NEAR <= matches[2].similarity < 1


def test_within_one_set_each_pair_comes_once_and_no_picture_with_itself(drawn, tmp_path):
    save(tmp_path, {"a": drawn[0], "b": drawn[1], "c": drawn[0], "d": drawn[1][:, ::-1]})
    assert found(tmp_path) == [("a", "c", "bytes", False), ("b", "d", "near", True)]
    # All pairs of a group, not a chain.
    save(tmp_path, {"e": drawn[0]})
    assert [one[:2] for one in found(tmp_path) if one[2] == "bytes"] == [("a", "c"), ("a", "e"), ("c", "e")]


def test_the_same_for_any_number_of_threads_and_the_progress_is_told(drawn, tmp_path):
    save(tmp_path / "a", {f"{i}": picture for i, picture in enumerate(drawn)})
    save(tmp_path / "b", {f"{i}": picture[5:, :-8] for i, picture in enumerate(drawn)}, "jpg")
    a, b = find_pictures(tmp_path / "a"), find_pictures(tmp_path / "b")
    told = []
    one = audit(a, b, threads=1, progress=lambda *at: told.append(at))
    assert one == audit(a, b, threads=4)
    assert len(one) >= COUNT
    for stage, total in (("reading", 2 * COUNT), ("searching", COUNT)):
        assert [at for at in told if at[0] == stage][-1] == (stage, total, total)
    aligned = [at[1:] for at in told if at[0] == "aligning"]
    assert aligned[-1] == (len(aligned), len(aligned))


def test_flat_pictures_are_like_nothing_but_themselves(tmp_path):
    save(tmp_path, {f"{level}": np.full((90, 120, 3), level, np.uint8) for level in (0, 128, 255)})
    assert found(tmp_path) == []
    assert not hashes(np.zeros((1, SIDE, SIDE), np.uint8)).any()
    assert similarity(np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)) == 0


def test_a_slope_of_light_is_no_likeness(drawn):
    """Two different pictures under one strong gradient correlate; their details do not."""
    slope = np.linspace(-60, 60, SIDE)[:, None]
    one, other = ((thumbnail(picture) * 0.25 + 96 + slope).astype(np.uint8) for picture in drawn[:2])
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.8
    assert similarity(one, other) < 0.5


def test_a_warp_too_large_for_a_crop_is_refused(drawn):
    small = thumbnail(drawn[0])
    halved = thumbnail(drawn[0][45:135, 60:180])
    assert similarity(small, small) == pytest.approx(1)
    assert similarity(small, halved) < NEAR


def test_what_is_written(drawn, tmp_path):
    long = "too-long-to-be-printed-in-full-under-a-picture"
    a = find_pictures(save(tmp_path / "a", {f"{long}-{i}": drawn[i] for i in (0, 1)}))
    b = find_pictures(save(tmp_path / "b", {"x": drawn[0], "y": drawn[1][:, ::-1]}))
    count = 33  # one more than a page holds
    matches = [Match(a[1], b[1], "near", 0.98765, True), *[Match(a[0], b[0], "near", 0.9, False)] * (count - 1)]
    output = tmp_path / "out"
    written = write_report(matches, output)
    assert [path.name for path in written] == ["pairs.csv", "sheet_1.png", "sheet_2.png"]
    with written[0].open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["a", "b", "kind", "similarity", "flipped"]
    assert len(rows) == count
    assert list(rows[0].values()) == [a[1].stem, "y", "near", "0.9877", "true"]
    assert list(rows[1].values()) == [a[0].stem, "x", "near", "0.9000", "false"]
    first, second = (np.asarray(Image.open(path)) for path in written[1:])
    assert first.shape[0] > second.shape[0]
    assert (first[:60] != 255).any()
    before = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in write_report(matches, output)] == before
    # A later run with fewer pairs leaves no page of the earlier one, and nothing else of the folder is touched.
    (output / "sheet_mine.png").touch()
    assert [path.name for path in write_report([], output)] == ["pairs.csv"]
    assert sorted(os.listdir(output)) == ["pairs.csv", "sheet_mine.png"]


def test_a_folder_of_pictures_needs_no_masks(tiny_dataset):
    assert len(find_pictures(tiny_dataset)) == len(find_pictures(tiny_dataset / "images")) == 6


# --------------------------------------------------------------------------------------------------- the command line


def test_the_command(tmp_path, drawn, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "one", {f"{i}": picture for i, picture in enumerate(drawn)})
    save(tmp_path / "two", {"copy": drawn[3]}, "jpg")
    assert main(["data", "audit", "one", "two"]) == 0
    told = capsys.readouterr().out
    assert "one (12 pictures)" in told
    assert "two (1 pictures)" in told
    assert "pictures per second" in told
    assert (tmp_path / "outputs/audit/one-two/pairs.csv").read_text().splitlines()[1].startswith("3,copy,near,")
    assert main(["data", "audit", "one", "output=elsewhere"]) == 0
    assert os.listdir("elsewhere") == ["pairs.csv"]
    # A set against itself is a set alone: else every picture would be a pair.
    assert main(["data", "audit", "one", "one", "output=itself"]) == 0
    assert (tmp_path / "itself/pairs.csv").read_text() == "a,b,kind,similarity,flipped\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "arn data audit A"),
        (["one", "one", "one"], "arn data audit A"),
        (["one", "output="], "arn data audit A"),
        (["one", "output=a", "output=b"], "arn data audit A"),
        (["one", "ECSD"], "No data set 'ECSD'"),
        (["nowhere/at/all"], "No data set 'nowhere/at/all'"),
        (["empty"], "empty"),
        (["one", "broken"], "broken/x.png"),
    ],
)
def test_bad_input_is_one_message_and_writes_nothing(arguments, told, tmp_path, drawn, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "one", {"x": drawn[0]})
    (tmp_path / "empty").mkdir()
    broken = save(tmp_path / "broken", {"x": drawn[0]}) / "x.png"
    broken.write_bytes(broken.read_bytes()[:400])
    assert main(["data", "audit", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


# ---------------------------------------------------------------------------------------------------- known overlaps


def test_known_overlaps():
    told = known_overlap("ECSSD", "sod")
    assert told is not None
    assert told.startswith("74 pictures")
    assert known_overlap("SOD", "ECSSD") is not None
    assert known_overlap("DUTS-TR", "ECSSD") is None
    assert known_overlap("DUTS-TR", "my own") is None
    assert known_overlap("my own", "my own") is not None
    assert known_overlap("scenes", "scenes") is None
    assert "DUT-OMRON@rest" in (known_overlap("DUT-OMRON", "DUT-OMRON") or "")
    assert known_overlap("DUT-OMRON", "DUT-OMRON@rest") is None


def test_overlaps_are_of_the_catalogue_and_have_a_source():
    assert all(set(overlap.names) <= set(CATALOGUE) and overlap.source for overlap in OVERLAPS)
    assert len({frozenset(overlap.names) for overlap in OVERLAPS}) == len(OVERLAPS)


# ------------------------------------------------------------------------------------------------------ real pictures


def test_ecssd_and_sod_share_74_pictures(data_dir):
    """All of BSDS that ECSSD holds, 0001-0035 and 0089-0127, is in SOD: not one of the two runs is missed."""
    matches = audit(*(find_pairs(data_dir / name / "images", None) for name in ("ECSSD", "SOD")))
    assert sorted(int(match.a.stem) for match in matches) == [*range(1, 36), *range(89, 128)]
    assert len({match.b.stem for match in matches}) == 74
    assert not any(match.flipped for match in matches)
    known = next(overlap for overlap in OVERLAPS if overlap.names == ("ECSSD", "SOD"))
    assert known.shared == len(matches)


def test_duts_tr_holds_eleven_pictures_twice(data_dir):
    """Byte for byte; they are among 400 others here, as reading all of DUTS-TR takes a quarter of a minute."""
    pairs = find_pairs(data_dir / "DUTS-TR/images", None)
    by_bytes: dict[bytes, list] = {}
    for pair in pairs:
        by_bytes.setdefault(pair.picture.read_bytes(), []).append(pair)
    twice = [group for group in by_bytes.values() if len(group) > 1]
    assert [len(group) for group in twice] == [2] * 11
    some = sorted({*pairs[::26], *(pair for group in twice for pair in group)}, key=lambda pair: pair.stem)
    matches = [(match.a, match.b) for match in audit(some) if match.kind == "bytes"]
    assert matches == sorted((tuple(group) for group in twice), key=lambda group: group[0].stem)
