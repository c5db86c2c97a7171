"""Every config composes, and everything it names exists and takes the keywords it is given."""

import functools
import inspect
from itertools import chain

import hydra.utils
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from arn.config.identity import config_hash, run_hash, run_name
from arn.config.instantiate import instantiate
from arn.config.locate import config_dir, sweeps_dir
from arn.config.resolvers import register_resolvers, wandb_tags
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


@pytest.mark.parametrize("verb", ["train", "bench", "predict", "export", "report"])
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


@pytest.mark.parametrize("network", ["arn", "arn_lite", "dhsnet", "nldf", "srm", "amulet", "ucf", "ksr_approx"])
def test_the_fair_recipe_is_the_same_for_every_network(network):
    config = composed("experiment=fair", f"network={network}")
    assert config.network["_target_"] == composed(f"network={network}", "experiment=none").network["_target_"]
    assert config.network.input_size == config.data.size == 224
    shared = {key: config[key] for key in ("data", "loss", "optimizer", "schedule", "trainer", "backbone_lr")}
    expected = composed("experiment=fair")
    assert shared == {key: expected[key] for key in shared}


SWEEPS = sorted(path.stem for path in sweeps_dir().glob("*.yaml") if path.stem != "wandb")


def of_sweep(name, *overrides):
    register_resolvers()
    with initialize_config_dir(str(sweeps_dir()), version_base=None):
        found = [f"hydra.searchpath=['file://{CONF}']", *overrides]
        return compose(name, found, return_hydra_config=True)


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_composes_and_so_does_every_value_that_it_tries(name):
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    config = of_sweep(name)
    assert config.hydra.mode.name == "MULTIRUN"
    assert config.sweep == name
    assert config.hydra.sweep.dir.startswith(f"outputs/sweeps/{name}")
    params = config.hydra.sweeper.get("params") or {}
    parsed = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()])
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    assert len(jobs) == {
        "ablation": 12,
        "rcl_steps": 12,
        "attention_stages": 6,
        "loss": 6,
        "seeds": 5,
        "rivals": 7,
    }.get(name, 1)
    # One job for each value of each key, others at their first: every combination would take a minute.
    tried = [jobs[0], *(next(job for job in jobs if one in job) for job in jobs for one in job)]
    for job in {tuple(job) for job in tried}:
        assert of_sweep(name, *job).network["_target_"]


def test_the_ablation_is_of_rcl_and_attention_and_the_steps_are_zero_to_five():
    import torch

    params = of_sweep("ablation").hydra.sweeper.params
    assert dict(params) == {
        "network.rcl.enabled": "true,false",
        "network.attention.enabled": "true,false",
        "seed": "0,1,2",
    }
    assert of_sweep("rcl_steps").hydra.sweeper.params["network.rcl.steps"] == "0,1,2,3,4,5"
    with torch.device("meta"):
        for strides in ("[32]", "[16,32]", "[8,16,32]"):  # those of sweeps/attention_stages.yaml, with its network
            instantiate(of_sweep("attention_stages", f"network.attention.strides={strides}").network, "network")
    assert of_sweep("attention_stages").hydra.sweeper.params["network.attention.strides"] == "[32],[16,32],[8,16,32]"


def test_the_search_is_over_keys_that_there_are():
    from arn.multirun.tuning import checked

    config = OmegaConf.to_container(of_sweep("tune"), resolve=False)
    assert checked(config["tune"], config)["trials"] > 0


def test_wandbs_sweep_drives_arn_train_over_keys_that_there_are():
    sweep = OmegaConf.to_container(OmegaConf.load(sweeps_dir() / "wandb.yaml"), resolve=False)
    assert sweep["program"] == "arn"
    assert sweep["command"][:2] == ["${program}", "train"]
    assert sweep["metric"] == {"name": composed().checkpoint.monitor, "goal": "minimize"}
    fixed = [one for one in sweep["command"][2:] if not one.startswith("${")]
    values = {key: (one.get("values") or [one["min"]])[0] for key, one in sweep["parameters"].items()}
    assert composed(*fixed, *(f"{key}={value}" for key, value in values.items()))


def test_callbacks_go_together():
    callbacks = composed("callbacks=[ema,early_stopping,monitor,learning_rate]").callbacks
    assert set(callbacks) == {"averaging", "early_stopping", "monitor", "learning_rate"}
    assert not composed("callbacks=none").callbacks
    assert list(composed("callbacks=swa").callbacks) == ["averaging"]


def test_debugging_has_the_last_word():
    assert composed("experiment=duts_lite", "debug=overfit").schedule.decay == "none"
    assert composed("experiment=duts_lite", "debug=fast").trainer.max_epochs == 2
    assert composed("debug=overfit", "trainer.max_epochs=7").trainer.max_epochs == 7


def test_what_is_shown_or_where_does_not_change_what_a_run_is():
    one = {"seed": 0, "trainer": {"max_epochs": 1, "log_every_n_steps": 10}, "data": {"workers": 1}}
    other = {**one, "trainer": {"max_epochs": 1, "log_every_n_steps": 1}, "data": {"workers": 2}, "tags": ["x"]}
    assert run_hash(one) == run_hash(other)
    assert run_hash(one) != run_hash({**one, "trainer": {"max_epochs": 2}})


def test_tags_are_the_overrides_that_change_something():
    long = f"data.train=[{'x' * 80}]"
    tags = wandb_tags(["mine"], ["network=arn", "logger=wandb", "launcher.jobs=2", "+tags=[a]", long, "network=arn"])
    assert tags == ["mine", "network=arn", "data.train"]


def test_rivals_sweep_trains_every_network_by_the_fair_recipe():
    sweep = OmegaConf.load(CONF.parent / "sweeps" / "rivals.yaml")
    assert sweep.hydra.mode == "MULTIRUN"
    params = sweep.hydra.sweeper.params
    assert params.experiment == "fair"
    assert set(params.network.split(",")) == {"arn", "dhsnet", "nldf", "srm", "amulet", "ucf", "ksr_approx"}


def test_a_target_from_outside_the_list_is_refused():
    with pytest.raises(ArnError, match="not allowed"):
        instantiate({"_target_": "os.system", "command": "true"}, "network")
    with pytest.raises(ArnError, match="not allowed"):  # the standard library by way of our own modules
        instantiate({"_target_": "arn.data.images.os.getcwd"}, "network")
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
