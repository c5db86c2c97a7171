"""What a run is known by: its name, its hash, its tags."""

import pytest

from arn.config.identity import config_hash, run_hash, run_name, wandb_tags


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
    assert run_name(network, {"_target_": "arn.networks.ARN", **config}) == name


def test_hash_tells_configs_apart():
    one, two = {"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}
    assert config_hash(one) == config_hash(two) != config_hash({"a": 1, "b": [2, 1]})


def test_what_is_shown_or_where_does_not_change_what_a_run_is():
    one = {"seed": 0, "trainer": {"max_epochs": 1, "log_every_n_steps": 10}, "data": {"workers": 1}}
    other = {**one, "trainer": {"max_epochs": 1, "log_every_n_steps": 1}, "data": {"workers": 2}, "tags": ["x"]}
    assert run_hash(one) == run_hash(other)
    assert run_hash(one) != run_hash({**one, "trainer": {"max_epochs": 2}})


def test_tags_are_the_overrides_that_change_something():
    long = f"data.train=[{'x' * 80}]"
    tags = wandb_tags(["mine"], ["network=arn", "logger=wandb", "launcher.jobs=2", "+tags=[a]", long, "network=arn"])
    assert tags == ["mine", "network=arn", "data.train"]
