"""Former spellings of keys: read in configs, accepted on command lines, and no reason for another hash."""

import pytest

from arn.config.compose import run_hydra
from arn.config.identity import run_hash
from arn.config.instantiate import to_plain
from arn.config.upgrade import stored_tta, upgrade_config, upgrade_network
from arn.errors import ArnError

VGG16 = {"_target_": "arn.networks.ARN", "backbone": "vgg16"}
LITE = {"_target_": "arn.networks.ARN", "backbone": "timm:tf_efficientnet_lite0"}


@pytest.mark.parametrize(
    ("former", "present"),
    [
        ({**VGG16, "levels": None, "mirror": False}, {**VGG16, "strides": None}),
        (
            {**VGG16, "attention": {"stages": "all", "key_pool": 1}},
            {**VGG16, "attention": {"strides": "all", "key_pool": 1}},
        ),
        ({**VGG16, "attention": {"stages": [5, 4]}}, {**VGG16, "attention": {"strides": [16, 8]}}),
        ({**LITE, "levels": [2, 3, 4, 5]}, {**LITE, "strides": [4, 8, 16, 32]}),
        ({**LITE, "attention": {"stages": [5, 4]}}, {**LITE, "attention": {"strides": [32, 16]}}),
        (
            {"_target_": "arn.networks.UCF", "dropout": {"levels": [3]}},
            {"_target_": "arn.networks.UCF", "dropout": {"levels": [3]}},
        ),
    ],
)
def test_networks(former, present):
    assert upgrade_network(former) == present
    assert upgrade_network(present) == present


def test_averaging_is_no_part_of_the_network():
    config = {"name": "arn", "network": {**VGG16, "mirror": True}}
    assert upgrade_config(config) == {"name": "arn", "network": VGG16}
    assert [stored_tta(one) for one in (config, {"network": VGG16}, {"tta": "flip", "network": VGG16})] == [
        "flip",
        "none",
        "flip",
    ]


def composed(verb, *overrides):
    configs = []
    run_hydra(verb, lambda config: configs.append(to_plain(config)), list(overrides))
    return configs[0]


def test_a_run_has_one_hash_however_its_keys_are_spelled(tmp_path):
    folder = f"hydra.run.dir={tmp_path}"
    present = composed(
        "train", "network=arn_lite", "network.attention.strides=[16,32]", "network.strides=[8,16,32]", folder
    )
    former = composed("train", "network=arn_lite", "network.attention.stages=[4,5]", "network.levels=[3,4,5]", folder)
    assert present == former
    network = {key: value for key, value in present["network"].items() if key != "strides"}
    attention = {key: value for key, value in network["attention"].items() if key != "strides"}
    stored = {**network, "levels": [3, 4, 5], "attention": {**attention, "stages": [4, 5]}, "mirror": False}
    assert run_hash({**present, "network": stored}) == run_hash(present)
    assert run_hash({**present, "network": {**stored, "levels": [2, 4, 5]}}) != run_hash(present)


@pytest.mark.parametrize("verb", ["predict", "export"])
def test_mirror_on_a_command_line_is_tta(verb):
    needed = ("input=a", "output=b") if verb == "predict" else ("checkpoint=a", "output=b")
    assert [composed(verb, *needed, f"mirror={value}")["tta"] for value in ("true", "false", "null")] == [
        "flip",
        "none",
        None,
    ]
    assert "mirror" not in composed(verb, *needed, "mirror=true")
    with pytest.raises(ArnError, match="mirror must be true or false"):
        composed(verb, *needed, "mirror=2")
