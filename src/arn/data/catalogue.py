"""What is known of the field's data sets: counts, layouts, where to get them, whom to cite.

Nothing is read or downloaded here, and only the standard library is imported, so that `arn data list` answers at once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Layout(NamedTuple):
    """Where pictures and masks lie below a data set's folder: folders, or one and patterns of names (`Imgs/*.jpg`)."""

    images: str
    masks: str


PLAIN = Layout("images", "masks")
_UNSTATED = "no licence stated by the authors; used for research. The pictures keep their own copyrights"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One published data set; what it does to a comparison is in docs/datasets.md."""

    name: str
    role: str = "test"  # or "train", or "train and test" for those that the paper splits
    count: int  # of pairs, as published
    stems: str | None = None  # SHA-256 of the published file names without suffixes, sorted bytewise, a line each
    citation: str
    licence: str = _UNSTATED
    source: str  # where a person gets it
    layouts: tuple[Layout, ...]  # tried in order
    archives: tuple[str, ...] = ()  # ZIP files for `arn data fetch`, as public projects give them: not tried by us


_DUT, _CUHK = "http://saliencydetection.net", "https://www.cse.cuhk.edu.hk/leojia/projects/hsaliency"
_MIXED = Layout("Imgs/*.jpg", "Imgs/*.png")
_DUTS = (
    "L. Wang, H. Lu, Y. Wang, M. Feng, D. Wang, B. Yin, X. Ruan. "
    "Learning to detect salient objects with image-level supervision. CVPR 2017"
)

_DATASETS = (
    Dataset(
        name="MSRA10K",
        role="train and test",
        count=10_000,
        citation=(
            "M.-M. Cheng, N. J. Mitra, X. Huang, P. H. S. Torr, S.-M. Hu. "
            "Global contrast based salient region detection. TPAMI 37(3), 2015"
        ),
        source="the authors' page https://mmcheng.net/msra10k/ (archive MSRA10K_Imgs_GT)",
        layouts=(PLAIN, Layout("MSRA10K_Imgs_GT/Imgs/*.jpg", "MSRA10K_Imgs_GT/Imgs/*.png"), _MIXED),
        archives=("http://mftp.mmcheng.net/Data/MSRA10K_Imgs_GT.zip",),
    ),
    Dataset(
        name="DUT-OMRON",
        role="train and test",
        count=5_168,
        stems="6932ad22670bcc834354df563824aa6e12e3f34e54c8fdf4dd543379c2e5fa5a",
        citation=(
            "C. Yang, L. Zhang, H. Lu, X. Ruan, M.-H. Yang. "
            "Saliency detection via graph-based manifold ranking. CVPR 2013"
        ),
        source=f"the authors' page {_DUT}/dut-omron/ (archives DUT-OMRON-image and DUT-OMRON-gt-pixelwise)",
        layouts=(PLAIN, Layout("DUT-OMRON-image", "pixelwiseGT-new-PNG")),
        archives=(
            f"{_DUT}/dut-omron/download/DUT-OMRON-image.zip",
            f"{_DUT}/dut-omron/download/DUT-OMRON-gt-pixelwise.zip.zip",
        ),
    ),
    Dataset(
        name="DUTS-TR",
        role="train",
        count=10_553,
        stems="5f8c9f7c8703cd15234b7fd55a0674a9bfc06e3ba86300f78b583f1e9056eef0",
        citation=_DUTS,
        licence=_UNSTATED + " (from ImageNet)",
        source=f"the authors' page {_DUT}/duts/ (archive DUTS-TR)",
        layouts=(PLAIN, Layout("DUTS-TR-Image", "DUTS-TR-Mask")),
        archives=(f"{_DUT}/duts/download/DUTS-TR.zip",),
    ),
    Dataset(
        name="DUTS-TE",
        count=5_019,
        stems="48795764418ac89a01e4bd07b7674737df09ce36cafb3a9345728b6d10785734",
        citation=_DUTS,
        licence=_UNSTATED + " (from ImageNet and SUN)",
        source=f"the authors' page {_DUT}/duts/ (archive DUTS-TE)",
        layouts=(PLAIN, Layout("DUTS-TE-Image", "DUTS-TE-Mask")),
        archives=(f"{_DUT}/duts/download/DUTS-TE.zip",),
    ),
    Dataset(
        name="ECSSD",
        count=1_000,
        stems="0c8a974ea37ffb56f429319a6495265ed4f5d38ba7740392bce26ab9f5084eb4",
        citation="Q. Yan, L. Xu, J. Shi, J. Jia. Hierarchical saliency detection. CVPR 2013",
        source=f"the authors' page {_CUHK}/dataset.html (archives images and ground_truth_mask)",
        layouts=(PLAIN, Layout("images", "ground_truth_mask")),
        archives=(f"{_CUHK}/data/ECSSD/images.zip", f"{_CUHK}/data/ECSSD/ground_truth_mask.zip"),
    ),
    Dataset(
        name="HKU-IS",
        count=4_447,
        stems="cb0b162ba4ca277e6ada2a3a5e78754450039e9cace609663cc8f29ee1b882d3",
        citation="G. Li, Y. Yu. Visual saliency based on multiscale deep features. CVPR 2015",
        source="the authors' page https://i.cs.hku.hk/~gbli/deep_saliency.html (archive HKU-IS)",
        layouts=(PLAIN, Layout("imgs", "gt")),
    ),
    Dataset(
        name="PASCAL-S",
        count=850,
        stems="55bd8178a1c3f82c7e2cb09b358ac023963f4be404783add01a0393610a568db",
        citation=(
            "Y. Li, X. Hou, C. Koch, J. M. Rehg, A. L. Yuille. The secrets of salient object segmentation. CVPR 2014"
        ),
        licence=_UNSTATED + " (from PASCAL VOC 2010)",
        source="the authors' page http://cbi.gatech.edu/salobj/ (archive salObj)",
        layouts=(PLAIN, Layout("datasets/imgs/pascal", "datasets/masks/pascal")),
        archives=("http://cbs.ic.gatech.edu/salobj/download/salObj.zip",),
    ),
    Dataset(
        name="SOD",
        count=300,
        citation=(
            "V. Movahedi, J. H. Elder. Design and perceptual validation of performance measures for salient object "
            "segmentation. CVPR Workshops (POCV) 2010"
        ),
        licence="non-commercial research and education, as BSDS, whose pictures it uses",
        source="the authors' page http://elderlab.yorku.ca/SOD/ and BSDS300 for the pictures",
        layouts=(PLAIN, _MIXED, Layout("imgs", "gt")),
    ),
)

CATALOGUE = {dataset.name: dataset for dataset in _DATASETS}


class Overlap(NamedTuple):
    """How many pictures two data sets share, exactly or nearly. `source` is the command that counted, or a citation."""

    names: tuple[str, str]
    shared: int
    source: str


# Only what was measured or can be cited; a pair that is not here is not known to be independent.
OVERLAPS = (
    Overlap(("ECSSD", "SOD"), 74, "arn data audit ECSSD SOD, every pair looked at"),
    Overlap(("DUTS-TR", "ECSSD"), 0, "arn data audit DUTS-TR ECSSD"),
    Overlap(("DUTS-TR", "SOD"), 0, "arn data audit DUTS-TR SOD"),
)


def by_name(name: str) -> Dataset | None:
    """The data set of that name, in any case; None where the catalogue has none."""
    return next((dataset for dataset in CATALOGUE.values() if dataset.name.lower() == name.lower()), None)


def known_overlap(train_name: str, test_name: str) -> str | None:
    """One sentence if a method trained on `train_name` is known to have seen pictures of `test_name`, else None.

    Names in any case. None says nothing against an overlap that nobody has measured (`arn data audit` does).
    """
    train, test = train_name.lower(), test_name.lower()
    if train == test == "scenes":  # drawn apart for training and test
        return None
    if train == test:
        dataset = by_name(train)
        if dataset is not None and dataset.role == "train and test":
            return f"{test_name} is a training set here: only the part kept from training, {test_name}@rest, tests."
        return f"{test_name} is the training set itself."
    for overlap in OVERLAPS:
        if overlap.shared and {name.lower() for name in overlap.names} == {train, test}:
            return f"{overlap.shared} pictures of {test_name} are also in {train_name} ({overlap.source})."
    return None


def data_root() -> Path:
    """The folder that holds the data sets: the environment's `ARN_DATA_DIR`, else `data` where the command runs."""
    return Path(os.environ.get("ARN_DATA_DIR") or "data").expanduser()
