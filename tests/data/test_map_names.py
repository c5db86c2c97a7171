"""Which file is the map of which picture: found where it is plain, asked where it is not."""

import pytest

from arn.data.map_names import fold, match_names
from arn.errors import ArnError

STEMS = [f"{number:04d}" for number in range(1, 21)]


def named(folder, names, suffix=None, stems=STEMS):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return match_names(folder, stems, suffix)


@pytest.mark.parametrize(
    ("pattern", "ending"),
    [
        ("{}.png", ""),
        ("{}.PNG", ""),
        ("{}.jpg", ""),
        ("{}_sal_fuse.png", "_sal_fuse"),
        ("{}-sal.JPG", "-sal"),
        ("{}.sal.npy", ".sal"),
        ("{}_0001.png", "_0001"),
    ],
)
def test_endings_are_found(tmp_path, pattern, ending):
    found = named(tmp_path / "m", [pattern.format(stem) for stem in STEMS])
    assert sorted(found.by_stem) == STEMS
    assert (found.ending, found.extra, found.passed_over) == (ending, [], ())


def test_numbers_do_not_run_into_one_another(tmp_path):
    """`1` begins the name of `10_sal` as well."""
    stems = [str(number) for number in range(1, 120)]
    found = named(tmp_path / "m", [f"{stem}_sal.png" for stem in stems], stems=stems)
    assert found.by_stem["1"].name == "1_sal.png"
    assert found.by_stem["10"].name == "10_sal.png"
    assert len(found.by_stem) == len(stems)


def test_what_is_missing_or_extra_is_so_behind_an_ending_too(tmp_path):
    names = [f"{stem}_sal.png" for stem in [*STEMS[:-2], "9999"]]
    found = named(tmp_path / "m", [*names, STEMS[-1] + ".png", "notes.txt", "._0001_sal.png"])
    assert found.ending == "_sal"
    assert sorted(set(STEMS) - found.by_stem.keys()) == STEMS[-2:-1]  # one has no ending, and is plainly meant
    assert (found.extra, found.passed_over) == (["9999_sal.png"], ("1 hidden file", "1 other file (.txt)"))


def test_formats_may_be_mixed(tmp_path):
    ends = ("png", "jpg", "tif", "npy")
    found = named(tmp_path / "m", [f"{stem}.{ends[number % 4]}" for number, stem in enumerate(STEMS)])
    assert sorted(found.by_stem) == STEMS


def test_an_ending_that_could_be_part_of_the_name_is_asked_for(tmp_path):
    names = [f"{stem}sal.png" for stem in STEMS]
    found = named(tmp_path / "m", names)
    assert not found.by_stem
    assert "suffix: sal" in found.hint
    assert len(match_names(tmp_path / "m", STEMS, "sal").by_stem) == len(STEMS)


def test_two_endings_are_asked_for(tmp_path):
    names = [f"{stem}_{what}.png" for stem in STEMS for what in ("sal", "edge")]
    with pytest.raises(ArnError, match=r"_(sal|edge) \(20 files\) or _(sal|edge).*suffix:"):
        named(tmp_path / "m", names)
    found = match_names(tmp_path / "m", STEMS, "_sal.png")
    assert {path.name for path in found.by_stem.values()} == {f"{stem}_sal.png" for stem in STEMS}
    assert found.passed_over == (f"{len(STEMS)} not ending in _sal.png",)


def test_two_maps_of_a_picture_are_asked_for(tmp_path):
    names = [f"{stem}.{end}" for stem in STEMS for end in ("png", "jpg")]
    with pytest.raises(ArnError, match=r"0001\.jpg and 0001\.png.*suffix:"):
        named(tmp_path / "m", names)
    assert all(path.suffix == ".png" for path in match_names(tmp_path / "m", STEMS, ".png").by_stem.values())


@pytest.mark.parametrize("name", ["DUTS-TE", "duts_te", "DutsTE", "DUTS TE"])
def test_names_without_case_and_punctuation(name):
    assert fold(name) == "dutste"
