"""Ranks that disagree stop; panels are drawn whole."""

from types import SimpleNamespace

import numpy as np
import pytest

from arn.errors import ArnError
from arn.training.callbacks import SameConfig
from arn.training.panels import draw_sheet, shown_pictures, write_png


def trainer_that_heard(first):
    return SimpleNamespace(strategy=SimpleNamespace(broadcast=lambda mine: first or mine), global_rank=1, world_size=1)


def test_ranks_with_another_config_stop():
    check = SameConfig({"seed": 1})
    check.setup(trainer_that_heard(None), None, "fit")
    with pytest.raises(ArnError, match="rank 1"):
        check.setup(trainer_that_heard(SameConfig({"seed": 2}).hash), None, "fit")


def test_ranks_with_another_folder_stop():
    check = SameConfig({"seed": 1}, "outputs/10-00-01")
    trainer = trainer_that_heard(None)
    trainer.strategy.broadcast = lambda mine: mine if mine == check.hash else "outputs/10-00-00"
    with pytest.raises(ArnError, match=r"hydra\.run\.dir"):
        check.setup(trainer, None, "fit")


def test_panel_shows_picture_mask_and_map_side_by_side():
    picture = np.full((40, 60, 3), 10, np.uint8)
    mask, saliency = np.full((40, 60), 255, np.uint8), np.full((40, 60), 0.5, np.float32)
    source = SimpleNamespace(stems=["a", "b", "c"], read=lambda index: (picture, mask))
    predictor = SimpleNamespace(predict=lambda picture: saliency)
    first, last = shown_pictures(predictor, source, 2, side=20)
    assert (first.caption, last.caption) == ("a", "c")
    drawn = first.side_by_side()
    assert drawn.shape == (20, 90, 3)
    assert [int(drawn[10, x, 0]) for x in (15, 45, 75)] == [10, 255, 128]
    assert draw_sheet([first, last], columns=2, side=20).shape == (24, 2 * 98, 3)


def test_png_is_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArnError, match=r"sheet\.png"):
        write_png(tmp_path / "file" / "sheet.png", np.zeros((4, 4, 3), np.uint8))
