"""Every config composes, and everything it names exists and takes the keywords it is given."""

import functools
import inspect
from itertools import chain

import hydra.utils
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from arn.config import config_dir, config_hash, instantiate, register_resolvers, run_name
from arn.errors import ArnError

CONF = config_dir()
GROUPS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir())
CHOICES = sorted(f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml"))


def composed(*overrides, verb="train"):
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base=None):
        return compose(verb, list(overrides), return_hydra_config=True)


def targets(node, place=""):
    if isinstance(node, dict):
        if "_target_" in node:
            yield place, node
        yield from chain.from_iterable(targets(value, f"{place}.{key}") for key, value in node.items())
    elif isinstance(node, list):
        yield from chain.from_iterable(targets(value, f"{place}[{i}]") for i, value in enumerate(node))


@pytest.mark.parametrize("verb", ["train", "bench", "predict", "export"])
def test_verbs_compose(verb):
    assert composed(verb=verb)


@pytest.mark.parametrize("choice", CHOICES)
def test_choice_composes_and_its_targets_take_their_keywords(choice):
    config = composed(choice)
    plain = OmegaConf.to_container(config, resolve=False)
    plain.pop("hydra")
    found = list(targets(plain))
    assert found
    for place, node in found:
        target = hydra.utils.get_object(node["_target_"])
        accepted = inspect.signature(target).parameters
        if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
            continue
        unknown = {key for key in node if not key.startswith("_")} - accepted.keys()
        assert not unknown, f"{place}: {node['_target_']} does not take {unknown}"


def test_lightning_takes_every_trainer_key():
    from pytorch_lightning import Trainer

    accepted = inspect.signature(Trainer.__init__).parameters
    for path in (CONF / "trainer").glob("*.yaml"):
        keys = {str(key) for key in OmegaConf.load(path)} - {"defaults"}
        assert keys <= accepted.keys(), path.name


INPUT_SIZES = {"nldf": 352, "srm": 353, "amulet": 256, "ucf": 448}  # all others 224


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "network").glob("*.yaml")))
def test_network_builds_from_its_config(name):
    import torch

    with torch.device("meta"):  # built, not filled
        network = instantiate(composed(f"network={name}", "experiment=none").network, "network")
    assert network.input_size == INPUT_SIZES.get(name, 224)


@pytest.mark.parametrize("name", ["dhsnet", "nldf", "srm", "amulet", "ucf"])
def test_a_rival_is_its_class_without_arguments(name):
    import torch

    config = composed(f"network={name}", "experiment=none").network
    with torch.device("meta"):
        published, ours = hydra.utils.get_object(config["_target_"])(), instantiate(config, "network")
    assert str(ours) == str(published)
    assert ours.input_size == published.input_size


@pytest.mark.parametrize("network", ["arn", "arn_lite", "dhsnet", "nldf", "srm", "amulet", "ucf"])
def test_the_fair_recipe_is_the_same_for_every_network(network):
    config = composed("experiment=fair", f"network={network}")
    assert config.network["_target_"] == composed(f"network={network}", "experiment=none").network["_target_"]
    assert config.network.input_size == config.data.size == 224
    shared = {key: config[key] for key in ("data", "loss", "optimizer", "schedule", "trainer", "backbone_lr")}
    expected = composed("experiment=fair")
    assert shared == {key: expected[key] for key in shared}


def test_rivals_sweep_trains_every_network_by_the_fair_recipe():
    sweep = OmegaConf.load(CONF.parent / "sweeps" / "rivals.yaml")
    assert sweep.hydra.mode == "MULTIRUN"
    params = sweep.hydra.sweeper.params
    assert params.experiment == "fair"
    assert set(params.network.split(",")) == {"arn", "dhsnet", "nldf", "srm", "amulet", "ucf"}


def test_a_target_from_outside_the_list_is_refused():
    with pytest.raises(ArnError, match="not allowed"):
        instantiate({"_target_": "os.system", "command": "true"}, "network")
    with pytest.raises(ArnError, match="not allowed"):  # the standard library by way of our own modules
        instantiate({"_target_": "arn.data.pairs.os.getcwd"}, "network")
    with pytest.raises(ArnError, match="not allowed"):
        instantiate({"_target_": "arn.networks.ARN", "rcl": {"_target_": "builtins.eval"}}, "network")


def test_a_failure_inside_an_object_names_the_key():
    with pytest.raises(ArnError, match=r"network: .*vgg17"):
        instantiate({"_target_": "arn.networks.ARN", "backbone": "vgg17"}, "network")


@pytest.mark.parametrize(
    ("network", "config", "name"),
    [
        ("arn", {}, "arn"),
        ("arn", {"rcl": {"enabled": False}}, "arn_no_rcl"),
        ("arn_no_rcl", {"rcl": {"enabled": False}}, "arn_no_rcl"),
        ("arn", {"rcl": {"steps": 5}, "attention": {"enabled": False}}, "arn_T5_no_attention"),
        (
            "arn_no_rcl_no_attention",
            {"rcl": {"enabled": False}, "attention": {"enabled": False}},
            "arn_no_rcl_no_attention",
        ),
        ("arn", {"attention": {"key_pool": 2}, "rcl": {"norm": "none"}}, "arn_norm_none_key_pool2"),
    ],
)
def test_run_name(network, config, name):
    assert run_name(network, config) == name


def test_hash_tells_configs_apart():
    one, two = {"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}
    assert config_hash(one) == config_hash(two) != config_hash({"a": 1, "b": [2, 1]})


def test_partial_optimizer_takes_parameters():
    import torch

    optimizer = instantiate(composed("experiment=duts").optimizer, "optimizer")
    assert isinstance(optimizer, functools.partial)
    made = optimizer([torch.nn.Parameter(torch.zeros(1))])
    assert made.param_groups[0]["lr"] == 1e-4
    assert made.param_groups[0]["betas"] == (0.9, 0.999) or made.param_groups[0]["betas"] == [0.9, 0.999]
