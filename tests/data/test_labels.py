"""What mask values stand for: two values and gray levels speak for themselves, others are asked about."""

import cv2
import numpy as np
import pytest

from arn.cli import main
from arn.data.images import read_ignored, read_mask
from arn.data.labels import Meaning
from arn.errors import ArnError


@pytest.fixture
def stored(tmp_path):
    def store(values, suffix="png"):
        path = tmp_path / f"mask.{suffix}"
        cv2.imwrite(str(path), np.resize(np.array(values, np.uint8), (12, 10)))
        return path

    return store


@pytest.mark.parametrize("values", [[1, 2, 3], [0, 1, 255], [0, 128, 255], [0, 2], [7], [0, 38, 75], list(range(21))])
def test_values_that_are_no_mask_are_named(stored, values):
    with pytest.raises(ArnError, match="holds the values") as caught:
        read_mask(stored(values))
    for said in (str(values[0]), str(values[-1]), "masks={1: object}", "masks={255: ignore}", "data.masks"):
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([0], {0}),
        ([0, 1], {0, 255}),
        ([1], {255}),
        ([0, 255], {0, 255}),
        ([0, 21, 64, 255], {0, 21, 64, 255}),  # of twelve people two and three
        ([0, 42], {0, 42}),
        (list(range(0, 256, 20)), set(range(0, 256, 20))),  # a soft outline
    ],
)
def test_values_that_speak_for_themselves(stored, values, read):
    assert set(np.unique(read_mask(stored(values)))) == read


def test_in_jpeg_all_values_are_levels(stored):
    assert read_mask(stored([0, 1, 2, 250], "jpg")).max() > 200


def test_what_the_user_says_decides(stored):
    path = stored([0, 1, 2, 255])
    mask = read_mask(path, Meaning.of("masks", {1: "object", 255: "ignore"}))
    assert (mask == 255).sum() == 30
    assert set(np.unique(mask)) == {0, 255}
    assert read_ignored(path, Meaning.of("masks", {255: "ignore"})).sum() == 30
    with pytest.raises(ArnError, match="holds the values"):
        read_mask(path, Meaning.of("masks", {255: "ignore"}))  # and 2?
    void = stored([0, 1, 255])
    assert (read_mask(void, Meaning.of("masks", {255: "ignore"})) == 255).sum() == 40


@pytest.mark.parametrize("said", [{1: "thing"}, {300: "object"}, {"a": "object"}, {True: "object"}])
def test_other_words_and_values_are_refused(said):
    with pytest.raises(ArnError, match="masks="):
        Meaning.of("masks", said)


def bench(*arguments):
    quiet = ("measures=[mae,f]", "resamples=0", "figures=false", "browser=0", "timing=0", "cache=null", "workers=1")
    return main(["bench", "methods=[mb]", *quiet, *arguments])


def test_sets_of_one_folder_name_and_of_class_numbers_through_the_command(tmp_path, tiny_dataset, capsys):
    import shutil

    for place in ("A", "B"):
        shutil.copytree(tiny_dataset, tmp_path / place / "val")
    for path in (tmp_path / "B" / "val" / "masks").iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.where(mask > 127, 1, 2).astype(np.uint8))
    sets = f"datasets=[{tmp_path}/A/val,{tmp_path}/B/val]"
    assert bench(sets, f"hydra.run.dir={tmp_path}/out") == 2
    assert "holds the values 1, 2" in capsys.readouterr().err
    assert bench(sets, f"hydra.run.dir={tmp_path}/out", "masks={B/val: {1: object}}") == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| mb"))
    assert row.split("|")[2:4] == row.split("|")[4:6]
    assert bench(f"datasets=[{tmp_path}/A/val,{tmp_path}/A/../A/val]", f"hydra.run.dir={tmp_path}/out2") == 2
    assert "one and the same" in capsys.readouterr().err
