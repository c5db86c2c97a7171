"""EfficientNet-Lite0 is timm's, to the last bit: what was trained on one runs on the other."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from arn.networks.backbones import Timm, import_timm
from arn.networks.efficientnet import EfficientNetLite0


@pytest.fixture(scope="module")
def both():
    made = []
    for make in (lambda: import_timm().create_model("tf_efficientnet_lite0", features_only=True), EfficientNetLite0):
        torch.manual_seed(3)
        made.append((make(), torch.rand(2)))
    return made


def test_a_seed_means_the_same_weights_and_the_same_numbers_after_them(both):
    (theirs, after_theirs), (ours, after_ours) = both
    expected, found = theirs.state_dict(), ours.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert torch.equal(after_ours, after_theirs)


@pytest.mark.parametrize("side", [(64, 64), (97, 131)])
@pytest.mark.parametrize("training", [False, True])
def test_features_gradients_and_statistics_are_timms(both, training, side):
    """A tiled picture of ones and ramps would hide where padding goes; random numbers do not."""
    results = []
    for network, _ in both:
        network.train(training).zero_grad()
        picture = torch.randn(2, 3, *side, generator=torch.Generator().manual_seed(1)).requires_grad_()
        features = network(picture)
        sum(one.square().mean() for one in features).backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        results.append([*features, picture.grad, *gradients, *network.buffers()])
    assert len(results[0]) == len(results[1])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_what_timm_says_of_it(both):
    (theirs, _), _ = both
    config = import_timm().data.resolve_model_data_config(theirs)
    backbone = Timm("tf_efficientnet_lite0")
    assert backbone.strides == tuple(theirs.feature_info.reduction())
    assert backbone.channels == tuple(theirs.feature_info.channels())
    assert (EfficientNetLite0.mean, EfficientNetLite0.std) == (config["mean"], config["std"])
    assert [f.shape[1] for f in backbone.eval()(torch.rand(1, 3, 64, 64))] == list(backbone.channels)


def test_the_shipped_network_needs_no_training_library():
    """Importing them takes several times as long as a picture."""
    code = (
        "import sys, numpy, arn, arn.verbs.predict; "
        "arn.load().predict(numpy.zeros((40, 60, 3), numpy.uint8)); "
        "heavy = ('pytorch_lightning', 'lightning_fabric', 'torchmetrics', 'torchvision', 'timm', 'torch._dynamo', "
        "'scipy.signal', 'matplotlib', 'wandb'); "
        "sys.exit(' '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
