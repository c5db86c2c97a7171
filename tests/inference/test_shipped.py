"""The networks that come with the package do what their model cards say."""

import csv
import json
import re

import numpy as np
import pytest
import torch

import arn
from arn.cli import main
from arn.data.scenes import scene
from arn.inference.exports import SHIPPED, shipped

pytestmark = pytest.mark.slow

CARD = {name: folder / "README.md" for name, folder in shipped().items()}


@pytest.mark.parametrize(("name", "megabytes"), [("arn_lite", 12), ("arn", 42)])
def test_the_networks_are_there_and_small(name, megabytes):
    folder = shipped()[name]
    assert sum(path.stat().st_size for path in folder.iterdir()) < megabytes * 1e6
    config = json.loads((folder / "config.json").read_text())
    assert config["weights"] == "float16"
    assert config["trained_on"] == ["DUTS-TR"]


def test_its_map_of_a_scene_depends_on_the_picture_alone():
    """In float32 whatever it was stored in, and the same alone as in a batch."""
    network = arn.load(runtime="torch")
    assert {one.dtype for one in network.network.parameters()} == {torch.float32}
    pictures = [scene("test", index)[0] for index in range(3)]
    for alone, together in zip(map(network.predict, pictures), network.maps(pictures), strict=True):
        assert np.abs(alone - together).max() < 1e-4


@pytest.mark.real
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "name",
    # 300 pictures, by ARN in two passes of 192 px each: minutes
    [pytest.param(name, marks=[pytest.mark.nightly] if name == "arn" else []) for name in CARD],
)
def test_the_cards_figures_on_sod(data_dir, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    least = ["resamples=0", "timing=0", "figures=false", "browser=0", "measures=[mae,f]"]
    called = SHIPPED[name]
    assert main(["bench", "datasets=[SOD]", f"checkpoints={{{called}: {name}}}", *least, "hydra.run.dir=run"]) == 0
    with (tmp_path / "run" / "scores.csv").open() as lines:
        (row,) = csv.DictReader(lines)
    card = re.search(r"\| SOD \(300\) \| `arn2018` \| \*?\*?(\.\d{4}).*?\| \*?\*?(\.\d{4})", CARD[name].read_text())
    assert card, "the card has no row for SOD under arn2018"
    assert float(row["max_f"]) == pytest.approx(float(card[1]), abs=5e-4)
    assert float(row["mae"]) == pytest.approx(float(card[2]), abs=5e-4)
