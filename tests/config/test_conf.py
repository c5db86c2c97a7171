"""Every config composes, and everything it names exists and takes the keywords it is given."""

import inspect
from itertools import chain

import hydra.utils
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from arn.config import config_dir, sweeps_dir
from arn.config.compose import without_null
from arn.config.identity import register_resolvers
from arn.config.instantiate import instantiate
from arn.config.targets import PARTS, TARGETS

CONF = config_dir()
GROUPS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir())
CHOICES = sorted(f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml"))


NONE = without_null("experiment=null")


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


@pytest.mark.parametrize("verb", ["train", "bench", "predict", "serve", "export", "report"])
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


@pytest.mark.parametrize("choice", CHOICES)
def test_every_target_of_a_choice_is_on_the_list_of_its_group(choice):
    plain = OmegaConf.to_container(composed(choice), resolve=False)
    for place, node in targets({key: value for key, value in plain.items() if key in TARGETS}):
        group = place.split(".")[1]
        parts = [name for names in PARTS.values() for name in names]
        assert node["_target_"] in (*TARGETS[group], *parts), place


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
        network = instantiate(composed(f"network={name}", *NONE).network, "network")
    assert network.input_size == INPUT_SIZES.get(name, 224)


@pytest.mark.parametrize("name", ["dhsnet", "nldf", "srm", "amulet", "ucf"])
def test_a_rival_is_its_class_without_arguments(name):
    import torch

    config = composed(f"network={name}", *NONE).network
    with torch.device("meta"):
        published, ours = hydra.utils.get_object(config["_target_"])(), instantiate(config, "network")
    assert str(ours) == str(published)
    assert ours.input_size == published.input_size


@pytest.mark.parametrize("network", ["arn", "arn_lite", "dhsnet", "nldf", "srm", "amulet", "ucf", "ksr_approx"])
def test_the_fair_recipe_is_the_same_for_every_network(network):
    config = composed("experiment=fair", f"network={network}")
    assert config.network["_target_"] == composed(f"network={network}", *NONE).network["_target_"]
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
    assert "callbacks" not in composed("callbacks=[]")
    assert list(composed("callbacks=swa").callbacks) == ["averaging"]


def test_by_default_the_light_network_is_trained_small_and_every_other_at_its_own_size():
    assert composed().network.input_size == composed("network=arn_lite").data.size == 112
    assert composed("network=nldf").network.input_size == composed("network=nldf").data.size == 352
    assert composed(*NONE).network.input_size == composed("experiment=lite").network.input_size == 224


def test_no_data_is_chosen_for_a_folder():
    with pytest.raises(MissingMandatoryValue):
        _ = composed("experiment=folder").data.train


def test_debugging_has_the_last_word():
    assert composed("experiment=duts_lite", "debug=overfit").schedule.decay == "none"
    assert composed("experiment=duts_lite", "debug=fast").trainer.max_epochs == 2
    assert composed("debug=overfit", "trainer.max_epochs=7").trainer.max_epochs == 7


def test_rivals_sweep_trains_every_network_by_the_fair_recipe():
    sweep = OmegaConf.load(CONF.parent / "sweeps" / "rivals.yaml")
    assert sweep.hydra.mode == "MULTIRUN"
    params = sweep.hydra.sweeper.params
    assert params.experiment == "fair"
    assert set(params.network.split(",")) == {"arn", "dhsnet", "nldf", "srm", "amulet", "ucf", "ksr_approx"}
