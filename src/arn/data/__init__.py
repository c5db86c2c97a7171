"""Pictures and masks: the catalogue of data sets, how their files are read, and what a run trains and is scored on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arn import lazy

if TYPE_CHECKING:
    from arn.data.catalogue import CATALOGUE, data_root
    from arn.data.datamodule import SaliencyDataModule
    from arn.data.images import read_map, read_mask, read_picture, write_map
    from arn.data.layout import Pair, find_dataset

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "catalogue": "CATALOGUE data_root",
        "datamodule": "SaliencyDataModule",
        "images": "read_map read_mask read_picture write_map",
        "layout": "Pair find_dataset",
    },
)
