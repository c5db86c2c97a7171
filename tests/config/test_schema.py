"""From a config to a request: types, limits, unknown keys."""

from dataclasses import dataclass, field
from typing import Annotated

import pytest

from arn.config.requests import TrainRequest, check_trainer
from arn.config.schema import Above, AtLeast, Between, OneOf, read
from arn.errors import ArnError


@dataclass
class Part:
    share: Annotated[float, Between(0, 1)] = 0.5
    closed: Annotated[float, Between(0, 1, closed=True)] = 1.0


@dataclass
class Request:
    count: Annotated[int, AtLeast(1)]
    rate: Annotated[float, Above(0)] | None = None
    kind: Annotated[str, OneOf("a", "b")] = "a"
    many: list[Annotated[int, AtLeast(0)]] = field(default_factory=list)
    as_: str = "map"
    part: Part = field(default_factory=Part)


def test_a_config_becomes_a_request_with_its_defaults():
    request = read(Request, {"count": "3", "as": "overlay", "part": {"share": 0.25}}, {"as": "as_"}, place="x.")
    assert request == Request(count=3, as_="overlay", part=Part(share=0.25))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"count": "x"}, r"^count: .*'x'"),
        ({"count": 0}, r"^count=0: must be at least 1$"),
        ({"count": 1, "rate": 0}, r"^rate=0.0: must be above 0$"),
        ({"count": 1, "kind": "c"}, r"^kind=c: must be one of a, b$"),
        ({"count": 1, "many": [1, -1]}, r"^many=-1: must be at least 0$"),
        ({"count": 1, "part": {"share": 1}}, r"^part\.share=1\.0: must be between 0 and 1$"),
        ({"count": 1, "part": {"closed": 1.5}}, r"^part\.closed=1\.5: must be between 0 and 1$"),
        ({"count": 1, "part": {"shar": 1}}, r"^part\.shar: there is no such key; did you mean part\.share\?$"),
        ({"count": 1, "counts": 1}, r"^counts: there is no such key; did you mean count\?$"),
        ({"count": 1, "as": [1]}, r"^as: "),
    ],
)
def test_what_does_not_fit_names_its_key(config, message):
    with pytest.raises(ArnError, match=message):
        read(Request, config, {"as": "as_"})


def test_a_key_in_a_larger_config_is_named_whole():
    with pytest.raises(ArnError, match=r"^data\.part\.share=2"):
        read(Request, {"count": 1, "part": {"share": 2}}, place="data.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_epochs": "abc"}, "trainer.max_epochs=abc: must be a whole number or null"),
        ({"limit_val_batches": 0}, "trainer.limit_val_batches=0"),
        ({"limit_train_batches": 1.5}, "trainer.limit_train_batches=1.5"),
        ({"accumulate_grad_batches": 0}, "trainer.accumulate_grad_batches=0: must be at least 1"),
        ({"foo": 1}, "trainer.foo: there is no such key"),
        ({"max_epoch": 1}, "did you mean trainer.max_epochs"),
        ({"logger": False}, "trainer.logger: arn train sets it"),
        ({"precision": "half"}, "trainer.precision=half"),
    ],
)
def test_what_lightning_would_not_take(options, message):
    with pytest.raises(ArnError, match=message):
        check_trainer(options)


def test_trainer_options_that_lightning_takes():
    check_trainer({"precision": "auto", "max_time": "00:01:00:00", "limit_val_batches": 3, "devices": [0, 1]})


def test_the_schedule_of_a_request_is_checked():
    groups = {key: {} for key in ("data", "network", "loss", "optimizer", "trainer")}
    for schedule, message in (({"warmup": "abc"}, "schedule.warmup"), ({"warmup": 2}, "schedule.warmup=2")):
        with pytest.raises(ArnError, match=message):
            TrainRequest.of({"name": "x", **groups, "schedule": schedule})
