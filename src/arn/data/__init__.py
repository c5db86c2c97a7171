"""Pictures and masks: the catalogue of data sets, how their files are read, and what a run trains and is scored on.

The members load on first use: the catalogue alone must not cost an import of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arn.data.catalogue import CATALOGUE, data_root
    from arn.data.datamodule import SaliencyDataModule
    from arn.data.images import read_map, read_mask, read_picture, write_map
    from arn.data.layout import Pair, find_dataset

_HOMES = {
    "CATALOGUE": "catalogue",
    "data_root": "catalogue",
    "SaliencyDataModule": "datamodule",
    "Pair": "layout",
    "find_dataset": "layout",
    "read_map": "images",
    "read_mask": "images",
    "read_picture": "images",
    "write_map": "images",
}

__all__ = [
    "CATALOGUE",
    "Pair",
    "SaliencyDataModule",
    "data_root",
    "find_dataset",
    "read_map",
    "read_mask",
    "read_picture",
    "write_map",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"arn.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'arn.data' has no attribute {name!r}")
