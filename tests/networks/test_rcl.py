"""RCL and LRN against the equations of the paper, written out here word for word."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from arn.networks import LocalResponseNorm, RecurrentConv, count_parameters


def literal_lrn(x, window, alpha, beta):
    """Eq. 8 by channel: x_k / (1 + alpha / N * sum of x_j^2, j = max(0, k - N/2) .. min(K - 1, k + N/2))^beta."""
    channels = x.shape[1]
    rows = []
    for k in range(channels):
        low, high = max(0, k - window // 2), min(channels - 1, k + window // 2)
        total = sum(x[:, j] ** 2 for j in range(low, high + 1))
        rows.append(x[:, k] / (1 + alpha / window * total) ** beta)
    return torch.stack(rows, dim=1)


def literal_rcl(u, forward_bank, bias, recurrent_bank, steps, window, alpha, beta):
    """Eq. 5-7: the feed-forward term is computed anew at every step, as the paper writes it."""
    x = literal_lrn(F.relu(F.conv2d(u, forward_bank, bias, padding=1)), window, alpha, beta)
    for _ in range(steps):
        z = F.conv2d(u, forward_bank, bias, padding=1) + F.conv2d(x, recurrent_bank, padding=1)
        x = literal_lrn(F.relu(z), window, alpha, beta)
    return x


@pytest.mark.parametrize(
    ("channels", "window", "alpha", "beta"), [(16, 3, 1e-3, 0.75), (7, 7, 0.5, 0.75), (8, 5, 2.0, 0.4)]
)
def test_lrn_is_equation_8(channels, window, alpha, beta):
    torch.manual_seed(0)
    x = (torch.randn(2, channels, 5, 4, dtype=torch.float64) * 20).requires_grad_()
    layer = LocalResponseNorm(channels, window, alpha, beta).double()
    ours, expected = layer(x), literal_lrn(x, window, alpha, beta)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)  # alpha / N is stored in float32
    direction = torch.randn_like(ours)
    grads = [torch.autograd.grad((y * direction).sum(), x)[0] for y in (ours, expected)]
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-9)


def test_lrn_equals_torch_for_odd_windows():
    x = torch.randn(2, 64, 6, 6) * 50
    ours, torchs = LocalResponseNorm(64), nn.LocalResponseNorm(9, alpha=1e-3, beta=0.75, k=1)
    assert ours.window == 9
    torch.testing.assert_close(ours(x), torchs(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [8, 16, 24, 48, 64, 96])
def test_default_window_is_odd(channels):
    assert LocalResponseNorm(channels).window % 2 == 1


@pytest.mark.parametrize("window", [0, 2, 8, -1])
def test_even_window_is_refused(window):
    with pytest.raises(ValueError, match="odd"):
        LocalResponseNorm(16, window)


@pytest.mark.parametrize("steps", [0, 1, 3, 5])
def test_rcl_is_equations_5_to_8(steps):
    torch.manual_seed(steps)
    layer = RecurrentConv(6, 8, steps=steps, lrn_window=3, lrn_alpha=0.3).double()
    u = torch.randn(2, 6, 7, 5, dtype=torch.float64, requires_grad=True)
    banks = (layer.feed_forward.weight, layer.feed_forward.bias, layer.recurrent.weight)
    ours = layer(u)
    expected = literal_rcl(u, *banks, steps, 3, 0.3, 0.75)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)
    direction = torch.randn_like(ours)
    wanted = [u, *banks[:2], *([banks[2]] if steps else [])]
    for mine, theirs in zip(
        torch.autograd.grad((ours * direction).sum(), wanted),
        torch.autograd.grad((expected * direction).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-8)


def test_parameters_do_not_depend_on_steps():
    assert len({count_parameters(RecurrentConv(12, 16, steps=steps)) for steps in range(6)}) == 1


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_recurrent_bank_learns_only_if_it_is_used(steps):
    layer = RecurrentConv(4, 8, steps=steps)
    layer(torch.randn(1, 4, 6, 6)).sum().backward()
    grad = layer.recurrent.weight.grad
    assert (grad is not None and bool(grad.abs().sum() > 0)) == (steps >= 1)


def test_steps_change_the_output():
    torch.manual_seed(0)
    layer, u = RecurrentConv(4, 8, steps=1), torch.randn(1, 4, 6, 6)
    once = layer(u)
    layer.steps = 2
    assert not torch.allclose(once, layer(u))


def test_unknown_norm_and_negative_steps_are_refused():
    with pytest.raises(ValueError, match=r"rcl\.norm"):
        RecurrentConv(4, 8, norm="batch")
    with pytest.raises(ValueError, match=r"rcl\.steps"):
        RecurrentConv(4, 8, steps=-1)
