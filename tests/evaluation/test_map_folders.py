"""Published maps as they come, and folders that hold what something else wrote."""

import numpy as np
import pytest
from PIL import Image

from arn.errors import ArnError
from arn.evaluation.coverage import _pattern
from arn.files import check_unclaimed
from arn.inference.methods import MapFolder


@pytest.fixture
def folder(tmp_path):
    def fill(*names):
        for name in names:
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / name)
        return tmp_path

    return fill


def test_maps_of_any_format_and_case(folder):
    place = folder("1.PNG", "2.jpg", "3.bmp", ".4.png")
    assert list(MapFolder("M", place).files("SET")) == ["1", "2", "3"]


def test_longer_names_are_named_by_a_pattern_which_is_offered(folder):
    place = folder("1_sal.png", "2_sal.png", "1.png")
    files = MapFolder("M", f"{place}/*_sal.png").files("SET")
    assert {stem: path.name for stem, path in files.items()} == {"1": "1_sal.png", "2": "2_sal.png"}
    assert _pattern(["1", "2"], {path.stem: path for path in files.values()}) == f"{place}/*_sal.png"
    assert _pattern(["1", "3"], {path.stem: path for path in files.values()}) is None


def test_two_maps_of_one_picture_are_refused(folder):
    with pytest.raises(ArnError, match="maps of one picture"):
        MapFolder("M", folder("1.png", "1.jpg")).files("SET")


def test_what_something_else_wrote_is_not_written_over(tmp_path):
    (tmp_path / "Table.MD").touch()
    check_unclaimed(tmp_path, ["table.md"], True, "output")
    check_unclaimed(tmp_path, ["report.csv"], False, "output")
    with pytest.raises(ArnError, match=r"output=.* holds Table.MD of something else"):
        check_unclaimed(tmp_path, ["table.md"], False, "output")
