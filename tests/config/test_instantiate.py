"""What may be built from a config, and that arguments are checked before it is."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, TypedDict

import pytest
from hydra import compose, initialize_config_dir

from arn.config import config_dir
from arn.config.identity import register_resolvers
from arn.config.instantiate import instantiate, instantiate_optimizer
from arn.config.schema import check_arguments
from arn.errors import ArnError


def test_a_target_from_outside_the_list_is_refused():
    with pytest.raises(ArnError, match="not allowed"):
        instantiate({"_target_": "os.system", "command": "true"}, "network")
    with pytest.raises(ArnError, match="not allowed"):  # the standard library by way of our own modules
        instantiate({"_target_": "arn.files.os.getcwd"}, "network")
    with pytest.raises(ArnError, match="not allowed"):
        instantiate({"_target_": "arn.networks.ARN", "rcl": {"_target_": "builtins.eval"}}, "network")


def test_a_failure_inside_an_object_names_the_key():
    with pytest.raises(ArnError, match=r"network: .*vgg17"):
        instantiate({"_target_": "arn.networks.ARN", "backbone": "vgg17"}, "network")


def test_partial_optimizer_takes_parameters():
    import torch

    register_resolvers()
    with initialize_config_dir(str(config_dir()), version_base=None):
        optimizer = instantiate_optimizer(compose("train", ["experiment=duts"]).optimizer)
    assert isinstance(optimizer, functools.partial)
    made = optimizer([torch.nn.Parameter(torch.zeros(1))])
    assert made.param_groups[0]["lr"] == 1e-4
    assert made.param_groups[0]["betas"] == (0.9, 0.999) or made.param_groups[0]["betas"] == [0.9, 0.999]


class Inner(TypedDict, total=False):
    steps: int
    kind: Literal["a", "b"]


class Own:
    """As a user's own class may be."""

    def __init__(
        self,
        lr: float = 0.1,
        steps: int = 1,
        on: bool = False,
        name: str | None = None,
        folder: Path = Path(),
        sizes: Mapping[int, int] | None = None,
        names: Sequence[str] = (),
        pair: tuple[float, float] = (0.0, 1.0),
        workers: int | Literal["auto"] = "auto",
        inner: Annotated[Mapping[str, Any] | None, Inner] = None,
        unknown: Optional["NoSuchName"] = None,  # noqa: F821
    ) -> None: ...


class Known(Own):
    def __init__(
        self,
        lr: float = 0.1,
        steps: int = 1,
        on: bool = False,
        name: str | None = None,
        folder: Path = Path(),
        sizes: Mapping[int, int] | None = None,
        names: Sequence[str] = (),
        pair: tuple[float, float] = (0.0, 1.0),
        workers: int | Literal["auto"] = "auto",
        inner: Annotated[Mapping[str, Any] | None, Inner] = None,
        made: "Own | None" = None,
        anything: Any = None,
    ) -> None: ...


@pytest.mark.parametrize(
    "given",
    [
        {"lr": 1},
        {"lr": 1e-3, "steps": 2, "on": True, "name": None, "folder": "a/b"},
        {"sizes": {0: 1}, "names": ["a"], "pair": [0, 0.5]},
        {"sizes": None, "workers": 3, "inner": {"steps": 2, "kind": "b"}},
        {"workers": "auto", "inner": None, "made": {"_target_": "arn.x.Own"}},
        {"made": "what a class of its own makes of it"},
        {"anything": "abc", "lr": {"_target_": "arn.x.lr"}},
    ],
)
def test_arguments_that_fit(given):
    check_arguments(Known, given, "place")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lr": "abc"}, r"place\.lr=abc: must be a number"),
        ({"lr": True}, r"place\.lr=true: must be a number"),
        ({"lr": None}, r"place\.lr=null: must be a number"),
        ({"steps": 1.5}, r"place\.steps=1\.5: must be a whole number"),
        ({"on": "yes"}, r"place\.on=yes: must be true or false"),
        ({"name": 3}, r"place\.name=3: must be text or null"),
        ({"folder": 3}, r"place\.folder=3: must be a path"),
        ({"sizes": {0: "x"}}, r"place\.sizes="),
        ({"names": "a"}, r"place\.names=a: must be a list of text"),
        ({"pair": ["a", 1]}, r"place\.pair="),
        ({"workers": "x"}, r"place\.workers=x: must be a whole number or auto"),
        ({"inner": {"steps": "x"}}, r"place\.inner\.steps=x: must be a whole number"),
        ({"inner": {"kind": "c"}}, r"place\.inner\.kind=c: must be a or b"),
        ({"inner": {"stepz": 1}}, r"place\.inner\.stepz: there is no such key; did you mean place\.inner\.steps\?"),
        ({"step": 1}, r"place\.step: there is no such key; did you mean place\.steps\?"),
    ],
)
def test_arguments_that_do_not_fit_name_their_key(given, message):
    with pytest.raises(ArnError, match=message):
        check_arguments(Known, given, "place")


def test_hints_that_cannot_be_resolved_check_names_alone():
    check_arguments(Own, {"lr": "abc"}, "place")
    with pytest.raises(ArnError, match=r"did you mean place\.lr"):
        check_arguments(Own, {"lrr": 1}, "place")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -1}, "optimizer.lr=-1: Invalid learning rate"),
        ({"lr": "abc"}, "optimizer.lr=abc: must be a number"),
        ({"lr": 0.1, "betas": [0.9, 2.0]}, "optimizer.betas="),
        ({"lr": 0.1, "momentun": 0.9}, "optimizer.momentun: there is no such key"),
        ({"lr": 0.1, "_partial_": 0}, "optimizer._partial_: must be true"),
        ({"lr": 0.1, "_partial_": False}, "optimizer._partial_: must be true"),
    ],
)
def test_an_optimiser_is_tried_before_training(arguments, message):
    with pytest.raises(ArnError, match=message):
        instantiate_optimizer({"_target_": "torch.optim.Adam", "_partial_": True, **arguments})
