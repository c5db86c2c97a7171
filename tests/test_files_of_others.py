"""Folders that hold what something else wrote."""

import pytest

from arn.errors import ArnError
from arn.files import check_unclaimed
from arn.verbs.export import check_output


def test_what_something_else_wrote_is_not_written_over(tmp_path):
    (tmp_path / "Table.MD").touch()
    check_unclaimed(tmp_path, ["table.md"], True, "output")
    check_unclaimed(tmp_path, ["report.csv"], False, "output")
    with pytest.raises(ArnError, match=r"output=.* holds Table.MD of something else"):
        check_unclaimed(tmp_path, ["table.md"], False, "output")


def test_a_folder_of_an_export_is_known_by_its_config(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "of another program"}')
    with pytest.raises(ArnError, match="another program's files"):
        check_output(tmp_path)
