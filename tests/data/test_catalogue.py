"""The catalogue: complete, honest, and known without waiting."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from arn.data.catalogue import CATALOGUE, PLAIN, data_root
from arn.data.layout import find_dataset
from arn.data.splits import PAPER_TRAIN
from arn.data.verify import stems_digest, verify


def test_the_published_counts():
    assert {name: dataset.count for name, dataset in CATALOGUE.items()} == {
        "MSRA10K": 10_000,
        "DUT-OMRON": 5_168,
        "DUTS-TR": 10_553,
        "DUTS-TE": 5_019,
        "ECSSD": 1_000,
        "HKU-IS": 4_447,
        "PASCAL-S": 850,
        "SOD": 300,
    }


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_entry_says_all_a_user_needs(name):
    dataset = CATALOGUE[name]
    assert dataset.name == name
    assert dataset.layouts[0] == PLAIN
    assert len(set(dataset.layouts)) == len(dataset.layouts) >= 2
    assert all(not Path(place).is_absolute() for one in dataset.layouts for place in (one.images, one.masks))
    assert re.search(r"https?://\S+", dataset.source)
    assert re.search(r"\b20[01]\d$", dataset.citation)
    assert dataset.role in {"train", "test", "train and test"}
    assert "research" in dataset.licence


def test_what_the_paper_splits_is_there():
    assert all(PAPER_TRAIN[name] < CATALOGUE[name].count for name in PAPER_TRAIN)
    assert {name for name, dataset in CATALOGUE.items() if dataset.role == "train and test"} == set(PAPER_TRAIN)


def test_the_data_root(monkeypatch):
    monkeypatch.delenv("ARN_DATA_DIR", raising=False)
    assert data_root() == Path("data")
    monkeypatch.setenv("ARN_DATA_DIR", "")
    assert data_root() == Path("data")
    monkeypatch.setenv("ARN_DATA_DIR", "~/sets")
    assert data_root() == Path.home() / "sets"


def test_it_imports_nothing_that_takes_time():
    script = (
        "import sys, arn.data.catalogue\n"
        "print([m for m in ('numpy', 'cv2', 'PIL', 'torch', 'albumentations') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_document_lists_every_data_set_with_its_count_and_source():
    document = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    for dataset in CATALOGUE.values():
        row = next(line for line in document.splitlines() if line.startswith(f"| {dataset.name} |"))
        assert f"{dataset.count:,}" in row
        assert re.search(r"https?://[^\s)]+", dataset.source).group() in row
        for layout in dataset.layouts[1:]:
            assert f"`{layout.images}`" in row
            assert f"`{layout.masks}`" in row


def test_a_renamed_copy_is_told_by_its_names(tiny_dataset):
    names = [f"{number:04d}" for number in range(6)]
    published = hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()
    dataset = dataclasses.replace(CATALOGUE["ECSSD"], count=6, stems=published)
    assert not verify(find_dataset(tiny_dataset), dataset).notes
    for folder in ("images", "masks"):
        (tiny_dataset / folder / "0003.png").rename(tiny_dataset / folder / "3.png")
    report = verify(find_dataset(tiny_dataset), dataset)
    assert not report.errors
    assert "names are not the published ones" in report.notes[0]


@pytest.mark.parametrize("name", ["ECSSD", "DUTS-TR"])
def test_the_published_names_are_those_of_the_real_sets(name, data_dir):
    pairs = find_dataset(name, data_dir)
    assert len(pairs) == CATALOGUE[name].count
    assert stems_digest([pair.stem for pair in pairs]) == CATALOGUE[name].stems
