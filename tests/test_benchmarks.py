"""What `make perf` measures against: the literal program computes the same, and its memory is another matter."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path

import pytest
import torch
from torch import nn

from arn.networks import ARN, SelfAttention

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _suites_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def suite(name):
    return importlib.import_module(f"benchmarks.{name}")


@pytest.fixture(scope="module")
def network():
    """Attention that matters, biases that are not zero. Random weights make logits of thousands, where float32 itself
    is worth nothing: they are brought to the size of trained ones."""
    torch.manual_seed(0)
    made = ARN()
    for module in made.modules():
        if isinstance(module, SelfAttention):
            nn.init.constant_(module.gamma, 0.5)
            for layer in (module.f, module.g):
                layer.weight.data *= 2e-3
        if getattr(module, "bias", None) is not None:
            nn.init.uniform_(module.bias, -0.1, 0.1)
    return made


def outputs_and_gradients(network, pictures):
    network.zero_grad(set_to_none=True)
    pictures = pictures.clone().requires_grad_()
    (logits,) = network(pictures)
    direction = torch.linspace(-1, 2, logits[0].numel()).view_as(logits[:1]).to(logits.dtype)
    (logits * direction).mean().backward()
    # The bias of f adds the same to every logit of a row: it has no gradient but rounding.
    named = {name: p.grad for name, p in network.named_parameters() if not name.endswith("attention.f.bias")}
    del named["deepest.f.bias"]
    return {"logits": logits.detach(), "pictures": pictures.grad, **named}


def apart(found, exact):
    """Distance between tensors of a name, relative to the exact one's length."""
    assert found.keys() == exact.keys()
    return {name: float((found[name].double() - t.double()).norm() / t.double().norm()) for name, t in exact.items()}


@pytest.mark.parametrize("side", [64, 128])
def test_literal_program_is_the_network(network, side):
    """In float64, outputs and every gradient; attention runs in blocks from 32 x 32 positions on."""
    literal = suite("literal").literal
    pictures = torch.rand(1, 3, side, side, dtype=torch.float64)
    fast = copy.deepcopy(network).double().to(memory_format=torch.channels_last)
    ours = outputs_and_gradients(fast, pictures.contiguous(memory_format=torch.channels_last))
    theirs = outputs_and_gradients(literal(network).double(), pictures)
    assert max(apart(ours, theirs).values()) < 1e-5  # LRN's alpha / N is kept in float32


def test_float32_is_as_exact_as_the_literal_programs(network):
    literal = suite("literal").literal
    pictures = torch.rand(1, 3, 96, 96)
    exact = outputs_and_gradients(literal(network).double(), pictures.double())
    theirs = apart(outputs_and_gradients(literal(network), pictures), exact)
    fast = copy.deepcopy(network).to(memory_format=torch.channels_last)
    ours = apart(outputs_and_gradients(fast, pictures.contiguous(memory_format=torch.channels_last)), exact)
    assert {name: value for name, value in ours.items() if value > max(1e-5, 2 * theirs[name])} == {}
    assert ours["logits"] < 1e-5
