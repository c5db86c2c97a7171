"""Winograd's convolution against torch's own."""

import pytest
import torch
from torch.nn import functional as F

from arn.networks import winograd
from arn.networks.winograd import Conv3x3


def problem(batch, channels, kernels, height, width, layout=torch.channels_last):
    torch.manual_seed(0)
    layer = Conv3x3(channels, kernels)
    x = torch.rand(batch, channels, height, width).to(memory_format=layout)
    return layer.to(memory_format=layout), x


def direct(layer, x):
    return F.conv2d(x.double(), layer.weight.double(), layer.bias.double(), padding=1)


def off(found, exact):
    return float((found.double() - exact).abs().max() / exact.abs().max())


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 13), (4, 33), (1, 1)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_winograd_is_the_convolution(height, width, layout):
    layer, x = problem(2, 5, 7, height, width, layout)
    with torch.inference_mode():
        found = winograd.winograd(x, layer.weight, layer.bias)
        assert found.shape == (2, 7, height, width)
        assert off(found, direct(layer, x)) < 1e-5
        torch.testing.assert_close(
            winograd.winograd(x, layer.weight), found - layer.bias[:, None, None], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(("chunk", "largest"), [(1, 1), (40_000, 30_000), (2**30, 2**30)])
def test_in_whatever_pieces(monkeypatch, chunk, largest):
    layer, x = problem(2, 6, 10, 21, 18)
    monkeypatch.setattr(winograd, "CHUNK", chunk)
    monkeypatch.setattr(winograd, "LARGEST", largest)
    with torch.inference_mode():
        assert off(winograd.winograd(x, layer.weight, layer.bias), direct(layer, x)) < 1e-5


def test_large_layers_keep_the_precision_of_float32():
    layer, x = problem(1, 512, 512, 28, 28)
    with torch.inference_mode():
        exact = direct(layer, x)
        assert off(layer(x), exact) < 1e-5


@pytest.fixture
def calls(monkeypatch):
    made = []
    real = winograd.winograd
    monkeypatch.setattr(winograd, "winograd", lambda *given: made.append(1) or real(*given))
    return made


def test_only_where_it_is_faster_and_nobody_asks_for_gradients(calls):
    layer, x = problem(1, 128, 128, 24, 24)
    few, some = problem(1, 64, 128, 24, 24)
    with torch.inference_mode():
        layer(x)
        assert calls == [1]
        few(some)
        layer(x[..., :20, :])
        layer(torch.cat([x, x], dim=2)[..., :21])  # an eighth of the tiles' outputs would be thrown away
        with torch.autocast("cpu", torch.bfloat16):
            layer(x)
    layer(x).sum().backward()
    with torch.no_grad():
        layer.double()(x.double())
    assert calls == [1]
    assert layer.weight.grad is not None


def test_a_picture_is_the_same_alone_and_among_others(calls):
    layer, x = problem(5, 128, 160, 28, 28)
    with torch.inference_mode():
        together = layer(x)
        for picture, wanted in zip(x, together, strict=True):
            assert torch.equal(layer(picture[None])[0], wanted)
    assert len(calls) == 6
