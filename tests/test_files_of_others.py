"""Folders that hold what something else wrote, and what we ourselves did and did not come to an end with."""

import pytest

from arn.cli import main
from arn.errors import ArnError
from arn.files import check_unclaimed, write_atomically
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


def test_a_bench_that_was_killed_while_it_wrote_goes_on_in_its_folder(tiny_dataset, tmp_path, monkeypatch):
    """Wherever the kill came between two files."""
    monkeypatch.chdir(tmp_path)
    quick = ["methods=[mb]", "resamples=0", "timing=0", "figures=false", "hydra.run.dir=run"]
    command = ["bench", f"datasets=[{tiny_dataset}]", *quick]
    write, count = write_atomically, 0

    def killed(path, data):
        nonlocal count
        count += 1
        if count > left:
            raise KeyboardInterrupt
        write(path, data)

    with monkeypatch.context() as context:
        context.setattr("arn.report.bench.write_atomically", killed)
        for left in range(1, 5):
            count = 0
            assert main(command) == 130
            assert len(list((tmp_path / "run").iterdir())) == left
    assert main(command) == 0
    assert (tmp_path / "run" / "table.tex").is_file()
