"""Splits: drawn by seed, the same everywhere, stored so that a change is seen."""

from __future__ import annotations

import json

import pytest

from arn.data.splits import holdout, load_split, paper_split, save_split, shuffled, split_hash
from arn.errors import ArnError

MSRA = [f"{number:06d}" for number in range(10_000)]
OMRON = [f"im{number:04d}" for number in range(5_168)]


def test_the_paper_split_has_the_papers_counts_and_shares_nothing():
    split = paper_split(MSRA, OMRON, seed=0)
    counts = {part: {name: len(stems) for name, stems in sets.items()} for part, sets in split.items()}
    assert counts == {"train": {"MSRA10K": 6000, "DUT-OMRON": 3500}, "test": {"MSRA10K": 4000, "DUT-OMRON": 1668}}
    for name, stems in (("MSRA10K", MSRA), ("DUT-OMRON", OMRON)):
        assert sorted(split["train"][name] + split["test"][name]) == stems


def test_a_seed_draws_these_stems_on_every_machine():
    assert (
        split_hash(paper_split(MSRA, OMRON, seed=0))
        == "09aea9463aee861ef22ebc75c06d9ede9ba479920ce6278b32b0b3aad42f73aa"
    )
    assert shuffled(["a", "b", "c", "d", "e"], 0) == ["c", "e", "d", "a", "b"]


def test_another_seed_draws_others_and_the_order_of_files_changes_nothing():
    one, other = paper_split(MSRA, OMRON, 0), paper_split(MSRA, OMRON, 1)
    assert paper_split(MSRA[::-1], OMRON[::-1], 0) == one
    shared = len(set(one["train"]["MSRA10K"]) & set(other["train"]["MSRA10K"]))
    assert 3_400 < shared < 3_800  # 6,000 x 6,000 / 10,000 if drawn independently


def test_too_few_pictures_for_the_papers_split():
    with pytest.raises(ArnError, match=r"3500 pictures of DUT-OMRON .* only 3500"):
        paper_split(MSRA, OMRON[:3500], 0)


def test_stems_must_differ():
    with pytest.raises(ValueError, match="differ"):
        holdout(["a", "a", "b"], 1, 0)


@pytest.mark.parametrize(
    ("wanted", "count"), [(0, 0), (1, 1), (250, 250), (0.1, 100), (0.0001, 1), (0.0, 0), (999, 999)]
)
def test_holdout_counts(wanted, count):
    stems = MSRA[:1000]
    train, val = holdout(stems, wanted, seed=3)
    assert len(val) == count
    assert sorted(train + val) == stems
    assert train == sorted(train)
    assert val == sorted(val)


@pytest.mark.parametrize("wanted", [1000, -1, 1.0, 1.5, -0.1, 0.9999])
def test_holdout_leaves_something_to_train_on(wanted):
    with pytest.raises(ArnError, match=r"held out|hold out"):
        holdout(MSRA[:1000], wanted, seed=0)


def test_a_new_picture_moves_none_of_the_others():
    _, before = holdout(MSRA[:1000], 100, 5)
    _, after = holdout([*MSRA[:1000], "new"], 100, 5)
    assert len(set(before) - set(after)) <= 1


def test_stored_and_read_again(tmp_path):
    split = {"train": {"DUTS-TR": ["b", "a", "Bild äöü"]}, "val": {"DUTS-TR": ["c"]}}
    path = tmp_path / "run" / "split.json"
    digest = save_split(path, split)
    assert load_split(path) == {"train": {"DUTS-TR": ["Bild äöü", "a", "b"]}, "val": {"DUTS-TR": ["c"]}}
    assert json.loads(path.read_text(encoding="utf-8"))["sha256"] == digest == split_hash(load_split(path))
    assert [file.name for file in path.parent.iterdir()] == ["split.json"]


def test_the_hash_knows_part_and_data_set():
    hashes = {
        split_hash(split)
        for split in (
            {"train": {"A": ["1"]}},
            {"val": {"A": ["1"]}},
            {"train": {"B": ["1"]}},
            {"train": {"A": ["1", "2"]}},
            {"train": {"A": ["12"]}},
        )
    }
    assert len(hashes) == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no split"),
        ("{", "is no split"),
        ("[]", "is no split"),
        ('{"split": {"train": {"A": ["1"]}}}', "is no split"),
        ('{"sha256": "0", "split": {"train": ["1"]}}', "is no split"),
        ('{"sha256": "0", "split": {"train": {"A": ["1"]}}}', "was changed"),
    ],
)
def test_a_file_that_is_no_split_or_was_changed(tmp_path, text, said):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(ArnError, match=said) as caught:
        load_split(path)
    assert str(path) in str(caught.value)


def test_a_missing_split_names_its_path(tmp_path):
    with pytest.raises(ArnError, match=r"nowhere\.json"):
        load_split(tmp_path / "nowhere.json")
