"""Random overrides of every verb, generated from its config: one line of ours or a request, never a traceback."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from arn.config.arguments import parse
from arn.config.compose import run_hydra
from arn.config.instantiate import check_groups, instantiate, instantiate_optimizer
from arn.config.requests import BenchRequest, ExportRequest, PredictRequest, ReportRequest, ServeRequest, TrainRequest
from arn.config.schema import to_plain
from arn.errors import ArnError
from arn.training.task import Schedule

from .damage import examples, values

pytestmark = pytest.mark.filterwarnings("ignore")
VERBS = {
    "train": (TrainRequest, []),
    "bench": (BenchRequest, []),
    "predict": (PredictRequest, []),
    "serve": (ServeRequest, []),
    "report": (ReportRequest, ["runs=x"]),
    "export": (ExportRequest, ["checkpoint=x", "output=y"]),
}


def leaves(node, place=""):
    for key, value in node.items_ex(resolve=False):
        yield f"{place}{key}"
        if isinstance(value, DictConfig):
            yield from leaves(value, f"{place}{key}.")


@pytest.mark.parametrize("verb", VERBS)
def test_overrides(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request, needed = VERBS[verb]
    keys: list[str] = []
    here = [f"hydra.run.dir={tmp_path}"]
    run_hydra(verb, lambda config: keys.extend(leaves(config)), [*needed, *here])
    # A package that is named is imported: that is for a person to say, and for other tests.
    keys = [key for key in keys if not key.startswith("plugins")]

    def recipe(config):
        plain = to_plain(config)
        made = request.of(OmegaConf.create(plain))
        if verb == "train":
            check_groups(plain)
            instantiate_optimizer(plain["optimizer"])
            instantiate(plain["loss"], "loss")
            Schedule(100, **vars(made.schedule))

    @examples(40 if verb == "train" else 15)
    @given(st.lists(st.tuples(st.sampled_from(["", "", "+", "~", "++"]), st.sampled_from(keys), values), max_size=3))
    def check(drawn):
        overrides = [f"~{key}" if sign == "~" else f"{sign}{key}={value}" for sign, key, value in drawn]
        with contextlib.suppress(ArnError):
            if verb == "predict":
                overrides = parse(overrides).overrides
            run_hydra(verb, recipe, [*needed, *overrides, *here])

    check()
