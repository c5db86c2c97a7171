"""Networks, losses and loggers of other packages: where a person names the package, and only then."""

import json
import subprocess
import sys

import pytest
import torch

pytestmark = pytest.mark.slow

PACKAGE = """
from pathlib import Path

import torch
from pytorch_lightning.loggers import CSVLogger
from torch import nn

from arn.networks import SaliencyNetwork

Path("imported").touch()


class Net(SaliencyNetwork):
    def __init__(self, input_size: int = 32, width: int = 4):
        super().__init__()
        self.input_size = input_size
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 1))

    def forward(self, pictures):
        return (self.layers(pictures),)


class Loss(nn.Module):
    def forward(self, outputs, masks):
        return nn.functional.binary_cross_entropy_with_logits(outputs[0], masks)


class Log(CSVLogger):
    pass
"""
TINY = [
    *("data.cache=32", "data.train_limit=8", "data.test_limit=2", "data.val=2", "data.batch_size=4", "data.workers=0"),
    *("trainer.max_epochs=1", "panels=0", "pretrained=false", "network.input_size=32", "experiment=null"),
]


def arn(folder, *arguments):
    """`arn` in a process of its own, in a folder that holds mypkg."""
    command = [sys.executable, "-c", "import sys; from arn.cli import main; sys.exit(main())", *arguments]
    # As the console script: the working folder is not on the path by itself.
    command[2] = "import sys; sys.path.remove(''); " + command[2]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a package, and a training of its network."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "mypkg.py").write_text(PACKAGE)
    options = ["network._target_=mypkg.Net", "loss._target_=mypkg.Loss", "plugins=[mypkg]"]
    options += ["+logger.mine={_target_: mypkg.Log, save_dir: own, name: '', version: log}"]
    done = arn(folder, "train", *TINY, *options, "hydra.run.dir=run")
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return folder


def test_a_package_that_is_named_gives_network_loss_and_logger(place):
    record = json.loads((place / "run" / "metrics.json").read_text())
    assert record["name"] == "Net"
    assert record["network"] == {"_target_": "mypkg.Net", "input_size": 32}
    assert (place / "own" / "log" / "metrics.csv").is_file()


def test_a_checkpoint_alone_does_not_bring_its_package(place):
    (place / "imported").unlink(missing_ok=True)
    for arguments in (
        ("predict", "input=run/figures", "output=maps", "checkpoint=run"),
        ("bench", "checkpoints={mine: run}", "figures=false", "timing=0"),
        ("train", "resume=run"),
    ):
        done = arn(place, *arguments)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "mypkg.Net is not allowed" in done.stderr
        assert "plugins=[PACKAGE]" in done.stderr
        assert not (place / "imported").exists()


def test_a_checkpoint_is_used_where_the_package_is_named(place):
    import cv2
    import numpy as np

    (place / "pictures").mkdir()
    cv2.imwrite(str(place / "pictures" / "a.png"), np.full((40, 50, 3), 90, np.uint8))
    done = arn(place, "predict", "input=pictures", "output=maps", "checkpoint=run", "plugins=[mypkg]")
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(place / "maps" / "a.png"), cv2.IMREAD_GRAYSCALE).shape == (40, 50)


def test_a_config_file_cannot_name_packages(place):
    (place / "evil.yaml").write_text(
        "defaults: [train, _self_]\nplugins: [mypkg]\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params: {seed: '0,1'}\n"
    )
    (place / "imported").unlink(missing_ok=True)
    done = arn(place, "sweep", "evil.yaml")
    assert done.returncode == 2
    assert "plugins: a config file cannot name packages" in done.stderr
    assert not (place / "imported").exists()


def test_a_package_that_is_not_there_is_told(tmp_path):
    done = arn(tmp_path, "train", "plugins=[nosuch]")
    assert done.returncode == 2
    assert "plugins=nosuch: there is no package of that name" in done.stderr


def test_an_installed_package_says_so_itself(place):
    """By an entry point of the group arn.plugins."""
    info = place / "mypkg-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypkg\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[arn.plugins]\nmypkg = mypkg\n")
    code = (
        "import sys; sys.path.insert(0, '.'); import arn; import numpy as np; "
        "m = arn.load('run').predict(np.zeros((8, 9, 3), np.uint8)); assert m.shape == (8, 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert torch.load(place / "run" / "checkpoints" / "best.ckpt", weights_only=True)
