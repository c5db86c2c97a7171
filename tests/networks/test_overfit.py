"""Eight real pictures, overfitted: the difference between a network that runs and one that works."""

import numpy as np
import pytest
import torch

from arn.data.layout import find_dataset
from arn.data.sources import PairSource
from arn.data.transforms import resize
from arn.inference.predictor import native_map
from arn.metrics import SaliencyMetrics
from arn.networks import ARN, NLDF, SRM, UCF, Amulet, DHSNet
from arn.training.losses import SaliencyLoss

pytestmark = pytest.mark.slow

NETWORKS = {"arn": ARN, "dhsnet": DHSNet, "nldf": NLDF, "srm": SRM, "amulet": Amulet, "ucf": UCF}
OTHERS = ("resnet18", "mobilenetv3_small_100", "convnext_atto")  # that ARN's decoder is tried on
SIDE, STEPS = 64, 200


@pytest.fixture(scope="module")
def eight(data_dir):
    """Pictures 8 x 3 x 64 x 64 in 0..1 and masks 8 x 1 x 64 x 64, of DUTS-TR."""
    source = PairSource(find_dataset("DUTS-TR")[::1300])
    pairs = [[resize(one, SIDE, SIDE) for one in source.read(index)] for index in range(8)]
    pictures = torch.from_numpy(np.stack([picture for picture, _ in pairs])).permute(0, 3, 1, 2).float() / 255
    return pictures, torch.from_numpy(np.stack([mask for _, mask in pairs])).unsqueeze(1)


def max_f(network, pictures, masks):
    metric = SaliencyMetrics(protocol="arn2018", measures=("f",))
    with torch.no_grad():
        logits = network.eval()(pictures)[0]
    metric.update([native_map(one, (SIDE, SIDE)) for one in logits], list(masks[:, 0]))
    network.train()
    return float(metric.compute()["max_f"])


def overfit(network, pictures, masks):
    """max F before and after."""
    network = network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-4)
    loss_of, truth = SaliencyLoss(iou=1.0), masks.float() / 255
    begun = reached = max_f(network, pictures, masks)
    for step in range(1, STEPS + 1):
        optimizer.zero_grad(set_to_none=True)
        loss_of(network(pictures), truth).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 10 == 0:
            reached = max_f(network, pictures, masks)
            if reached > 0.95:
                break
    return begun, reached


# One of each kind on every push, as each takes minutes; the others nightly.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.nightly] if name not in ("arn", "nldf") else []) for name in NETWORKS],
)
def test_eight_real_pictures_can_be_overfit(name, eight, data_dir):
    torch.manual_seed(0)
    network = NETWORKS[name](input_size=SIDE)
    if name != "srm":  # there are no weights of ResNet-50 among the data: it learns these from random numbers
        network.backbone.load_imagenet(data_dir / "weights")
    begun, reached = overfit(network, *eight)
    assert begun < 0.9
    assert reached > 0.95


@pytest.mark.nightly
@pytest.mark.parametrize("name", OTHERS)
def test_so_they_are_on_another_backbone(name, eight):
    """The decoder on extractors that nobody made it for, from random numbers."""
    torch.manual_seed(0)
    network = ARN(backbone=f"timm:{name}", strides=[4, 8, 16, 32], input_size=SIDE, decoder={"batch_norm": True})
    begun, reached = overfit(network, *eight)
    assert begun < 0.9
    assert reached > 0.95
