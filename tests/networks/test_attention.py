"""Self-attention against eq. 1-4 written out, and its memory against the matrix it must not hold."""

import subprocess
import sys
import threading

import pytest
import torch
from torch.nn import functional as F

from arn.networks import SelfAttention, attention, attention_blocks
from arn.networks.attention import position_attention


def literal_attention(layer, x):
    """Eq. 1-4 with the whole N x N matrix."""
    batch, channels, height, width = x.shape
    f, g, h = (conv(x).flatten(2) for conv in (layer.f, layer.g, layer.h))
    logits = torch.einsum("bci,bcj->bij", f, g)  # eq. 1: s_ij = f(x_i)^T g(x_j)
    weights = torch.softmax(logits, dim=1)  # eq. 2: over the attended positions i
    o = torch.einsum("bij,bci->bcj", weights, h)  # eq. 3
    return layer.gamma * o.reshape(batch, channels, height, width) + x  # eq. 4


@pytest.mark.parametrize(("channels", "side"), [(16, 5), (64, 14), (24, 28)])
def test_attention_is_equations_1_to_4(channels, side):
    torch.manual_seed(0)
    layer = SelfAttention(channels).double()
    torch.nn.init.constant_(layer.gamma, 0.7)
    x = torch.randn(2, channels, side, side + 1, dtype=torch.float64, requires_grad=True)
    ours, expected = layer(x), literal_attention(layer, x)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-10)
    direction = torch.randn_like(ours)
    wanted = [x, *layer.parameters()]
    for mine, theirs in zip(
        torch.autograd.grad((ours * direction).sum(), wanted),
        torch.autograd.grad((expected * direction).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-8)


def test_starts_as_the_identity():
    x = torch.randn(1, 16, 6, 6)
    layer = SelfAttention(16)
    assert float(layer.gamma) == 0
    assert torch.equal(layer(x), x)


def test_inner_width_is_an_eighth():
    layer = SelfAttention(64)
    assert layer.f.out_channels == layer.g.out_channels == 8
    assert layer.h.out_channels == 64


def test_logits_are_not_scaled():
    query, key = torch.tensor([[[2.0]]]), torch.tensor([[[3.0, 0.0]]])
    value = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    out = position_attention(query, key, value)
    torch.testing.assert_close(out[0, :, 0], torch.softmax(torch.tensor([6.0, 0.0]), 0))


def test_pooled_keys_attend_to_fewer_positions():
    torch.manual_seed(0)
    layer = SelfAttention(16, key_pool=2)
    torch.nn.init.ones_(layer.gamma)
    x = torch.randn(1, 16, 5, 7)
    pooled = F.max_pool2d(x, 2, ceil_mode=True)
    f, h = layer.f(pooled).flatten(2), layer.h(pooled).flatten(2)
    weights = torch.softmax(f.transpose(1, 2) @ layer.g(x).flatten(2), dim=1)
    torch.testing.assert_close(layer(x), (h @ weights).reshape(x.shape) + x, rtol=1e-4, atol=1e-5)


def test_exported_attention_is_the_same_in_blocks(monkeypatch):
    torch.manual_seed(0)
    layer = SelfAttention(16, key_pool=2).eval()
    torch.nn.init.ones_(layer.gamma)
    x = torch.randn(2, 16, 9, 10)
    monkeypatch.setattr(attention, "EXPORTED_BLOCK", 20 * 25)  # 25 attended positions: 20 of the 90 queries at once
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    nodes = [node.name for node in program.graph.nodes]
    assert sum("softmax" in name for name in nodes) == 5
    assert not any("scaled_dot_product" in name for name in nodes)
    for batch in (x, x[:1]):
        torch.testing.assert_close(program.module()(batch), layer(batch), rtol=1e-4, atol=1e-5)


def operands(batch, positions, keys, channels, dtype=torch.float32, spread=1.0):
    """Query, key and value as the 1 x 1 convolutions give them in channels_last."""
    shapes = ((positions, channels // 8), (keys, channels // 8), (keys, channels))
    drawn = [torch.randn(batch, length, width) * spread for length, width in shapes]
    return [one.to(dtype).transpose(1, 2).requires_grad_() for one in drawn]


def matrix_attention(query, key, value):
    return value @ torch.softmax(query.transpose(1, 2) @ key, dim=2).transpose(1, 2)


def with_gradients(function, operands, direction):
    out = function(*operands)
    return [out, *torch.autograd.grad((out * direction).sum(), operands)]


def off(found, exact):
    """The largest difference, relative to the largest value."""
    return float((found.detach().double() - exact.detach()).abs().max() / exact.detach().abs().max())


@pytest.mark.parametrize(("positions", "keys"), [(1500, 1500), (1031, 263), (300, 1999)])
@pytest.mark.parametrize("blocks", [(256, 1600), (64, 100), (7, 2000)])
def test_blocks_are_the_whole_matrix(monkeypatch, positions, keys, blocks):
    """Odd lengths, several blocks a side, logits of every usual size: outputs and gradients to 1e-5, relative."""
    monkeypatch.setattr(attention_blocks, "ROWS", blocks[0])
    monkeypatch.setattr(attention_blocks, "KEYS", blocks[1])
    monkeypatch.setattr(attention, "WHOLE", 0)
    torch.manual_seed(0)
    ours = operands(2, positions, keys, 16, spread=3)
    direction = torch.randn(2, 16, positions)
    doubles = [one.detach().double().requires_grad_() for one in ours]
    exact = with_gradients(matrix_attention, doubles, direction.double())
    plain = with_gradients(matrix_attention, ours, direction)
    for mine, naive, wanted in zip(with_gradients(position_attention, ours, direction), plain, exact, strict=True):
        assert mine.shape == wanted.shape
        assert off(mine, wanted) < max(1e-5, 2 * off(naive, wanted))


def test_bfloat16_loses_no_more_than_its_operands(monkeypatch):
    """Logits up to 60, where bfloat16 itself has steps of a quarter: they are float32 inside."""
    monkeypatch.setattr(attention, "WHOLE", 0)
    torch.manual_seed(0)
    ours = operands(1, 900, 900, 16, torch.bfloat16, spread=3)
    direction = torch.randn(1, 16, 900).bfloat16()
    doubles = [one.detach().double().requires_grad_() for one in ours]
    exact = with_gradients(matrix_attention, doubles, direction.double())
    found = with_gradients(position_attention, ours, direction)
    assert all(one.dtype == torch.bfloat16 for one in found)
    assert max(off(mine, wanted) for mine, wanted in zip(found, exact, strict=True)) < 0.03
    naive = with_gradients(matrix_attention, ours, direction)
    assert off(naive[0], exact[0]) > 3 * off(found[0], exact[0])


def test_float16_cannot_overflow(monkeypatch):
    monkeypatch.setattr(attention, "WHOLE", 0)
    torch.manual_seed(0)
    ours = operands(1, 300, 300, 16, torch.float16, spread=4)
    found = position_attention(*ours)
    assert found.dtype == torch.float16
    assert off(found, matrix_attention(*(one.detach().double() for one in ours))) < 2e-3


@pytest.mark.parametrize("size", [300.0, 3000.0, -3000.0])
def test_a_key_far_above_the_sample(monkeypatch, size):
    """The one key that decides every row is not among those looked at first: 2^logit would be infinite."""
    monkeypatch.setattr(attention, "WHOLE", 0)
    monkeypatch.setattr(attention_blocks, "KEYS", 64)
    torch.manual_seed(0)
    query, key, value = (one.detach() for one in operands(1, 150, 150, 16))
    query[:, 0], key[:, 0] = 1.0, 0.0
    key[:, 0, 100 if size > 0 else 96] = size  # 96 is of the sample
    ours = [one.requires_grad_() for one in (query, key, value)]
    doubles = [one.detach().double().requires_grad_() for one in ours]
    direction = torch.randn(1, 16, 150)
    exact = with_gradients(matrix_attention, doubles, direction.double())
    found = with_gradients(position_attention, ours, direction)
    assert all(bool(one.isfinite().all()) for one in found)
    # Not those of query and key: a weight of 1 has none, and what rounding leaves of it is multiplied by the size.
    assert off(found[0], exact[0]) < 1e-5
    assert off(found[3], exact[3]) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_largest_logits_that_grow_from_block_to_block(monkeypatch, dtype):
    """Each block of keys is far above the one before it in some rows, and far below it in others."""
    monkeypatch.setattr(attention, "WHOLE", 0)
    monkeypatch.setattr(attention_blocks, "ROWS", 50)
    monkeypatch.setattr(attention_blocks, "KEYS", 40)
    monkeypatch.setattr(attention_blocks, "SAMPLE", 1000)  # the first key alone
    torch.manual_seed(0)
    query, key, value = (one.detach() for one in operands(1, 160, 160, 16, dtype, spread=0.1))
    query[:, 0] = torch.linspace(-1, 1, 160)
    key[:, 0] = 8 * (torch.arange(160) // 8)  # up to 152 in steps, times log2 e
    ours = [one.requires_grad_() for one in (query, key, value)]
    doubles = [one.detach().double().requires_grad_() for one in ours]
    direction = torch.randn(1, 16, 160).to(dtype)
    exact = with_gradients(matrix_attention, doubles, direction.double())
    found = with_gradients(position_attention, ours, direction)
    for index, (mine, wanted) in enumerate(zip(found, exact, strict=True)):
        if dtype == torch.float32:
            assert off(mine, wanted) < 1e-4
        elif index in (0, 3):  # in bfloat16 what decides query and key is rounded away, large keys magnify the rest
            assert off(mine, wanted) < 0.03


@pytest.mark.parametrize("whole", [0, 2**20])
def test_autocast_does_not_reach_the_logits(monkeypatch, whole):
    monkeypatch.setattr(attention, "WHOLE", whole)
    torch.manual_seed(0)
    ours = [one.detach() for one in operands(2, 400, 400, 16, torch.bfloat16, spread=3)]
    with torch.autocast("cpu", torch.bfloat16):
        inside = position_attention(*ours)
    assert torch.equal(inside, position_attention(*ours))
    assert off(inside, matrix_attention(*(one.double() for one in ours))) < 0.01


def test_streamed_attention_of_other_devices_is_the_same():
    """What GPUs run, on this machine's kernels."""
    torch.manual_seed(0)
    ours = operands(2, 300, 170, 16)
    direction = torch.randn(2, 16, 300)
    exact = with_gradients(matrix_attention, ours, direction)
    for mine, wanted in zip(with_gradients(attention._streamed_attention, ours, direction), exact, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)


def test_blocks_keep_channels_last():
    layer = SelfAttention(16)
    torch.nn.init.ones_(layer.gamma)
    y = layer(torch.randn(2, 16, 24, 24).to(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)


MEASURE = """
import torch
from arn.networks import SelfAttention, attention, attention_blocks
attention.WHOLE = 0
torch.set_num_threads(1)
def peak():  # of this process alone: ru_maxrss starts from that of the process that started this one
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
layer = SelfAttention(64)
torch.nn.init.ones_(layer.gamma)
small = torch.randn(1, 64, 16, 16, requires_grad=True)
attention_blocks.COMPILED = 0  # so that the compiled kernel, a library, is loaded
layer(small).sum().backward()
before = peak()
x = torch.randn(1, 64, 112, 112, requires_grad=True).to(memory_format=torch.MEMORY_FORMAT)
layer(x).sum().backward()
print((peak() - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux only")
@pytest.mark.parametrize("layout", ["contiguous_format", "channels_last"])
def test_memory_at_112_by_112_is_far_below_the_matrix(layout):
    """N = 12,544: the float32 matrix is 600 MB, its gradient as much again; forward and backward stay below 120."""
    code = MEASURE.replace("MEMORY_FORMAT", layout)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(told.stdout) < 120


def kernel_operands(rows, width, keys, spread):
    torch.manual_seed(0)
    return torch.randn(rows, width) * spread, torch.randn(width, keys)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("width", "keys"), [(8, 800), (16, 401), (24, 7), (8, 1)])
def test_the_compiled_weights_are_powers_of_two(width, keys, dtype):
    from arn.networks.attention_kernel import UNIT

    query, key = kernel_operands(33, width, keys, 2.0)
    shift, sums = torch.linspace(-3, 3, 33), torch.full((33,), 0.25)
    weights, shrink = torch.empty(33, keys, dtype=dtype), torch.empty(33)
    given, before = shift * UNIT, sums.clone()
    assert not attention_blocks._compiled(query * UNIT, key, given, weights, sums, shrink, {})
    exact = torch.exp2(query.double() @ key.double() - shift.double()[:, None])
    precision = 1e-5 if dtype == torch.float32 else 2**-8 * 1.05  # logits up to 40, rounded in float32
    torch.testing.assert_close(weights.double(), exact, rtol=precision, atol=0)
    torch.testing.assert_close(
        sums.double(), exact.sum(1) + before, rtol=1e-4 if dtype == torch.bfloat16 else 1e-5, atol=0
    )
    assert torch.equal(given, shift * UNIT)
    assert torch.equal(shrink, torch.ones(33))


def test_the_compiled_weights_follow_a_logit_far_above_the_shift():
    from arn.networks.attention_kernel import UNIT

    query, key = torch.zeros(3, 8), torch.zeros(8, 5)
    query[:, 0] = torch.tensor([1.0, 2.0, -2.0])
    key[0] = torch.tensor([0.0, 50.0, 40.0, -3.0, 49.5])
    shift, sums, shrink = torch.zeros(3), torch.tensor([8.0, 4.0, 2.0]), torch.empty(3)
    weights = torch.empty(3, 5)
    assert attention_blocks._compiled(query * UNIT, key, shift, weights, sums, shrink, {})
    assert (shift / UNIT).tolist() == [0, 100, 0]  # 64 above is near enough
    torch.testing.assert_close(shrink, torch.tensor([1, 2.0**-100, 1]), rtol=1e-6, atol=0)
    exact = torch.exp2(query.double() @ key.double() - torch.tensor([[0.0], [100], [0]]))
    torch.testing.assert_close(weights.double(), exact.clamp(min=2.0**-100), rtol=3e-6, atol=0)
    torch.testing.assert_close(sums.double(), exact.sum(1) + torch.tensor([8, 4 * 2.0**-100, 2]), rtol=3e-6, atol=0)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_compiled_path_is_the_whole_matrix_on_any_number_of_threads(monkeypatch, threads, dtype):
    """2,100 x 2,000 positions at 80 channels: queries and keys of ten, padded to sixteen."""
    before = torch.get_num_threads()
    torch.manual_seed(0)
    ours = operands(2, 2100, 2000, 80, dtype)
    direction = torch.randn(2, 80, 2100).to(dtype)
    exact = with_gradients(
        matrix_attention, [one.detach().double().requires_grad_() for one in ours], direction.double()
    )
    used = []
    real = attention_blocks._compiled
    monkeypatch.setattr(attention_blocks, "COMPILED", 0)
    monkeypatch.setattr(
        attention_blocks, "_compiled", lambda *given: used.append(threading.get_ident()) or real(*given)
    )
    torch.set_num_threads(threads)
    try:
        found = with_gradients(position_attention, ours, direction)
        again = with_gradients(position_attention, ours, direction)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(set(used)) == threads
    for mine, same, wanted in zip(found, again, exact, strict=True):
        assert torch.equal(mine, same)
        assert off(mine, wanted) < (1e-5 if dtype == torch.float32 else 0.03)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_does_not_pass_for_one(monkeypatch, which, bad):
    monkeypatch.setattr(attention_blocks, "COMPILED", 0)
    ours = [one.detach() for one in operands(1, 2100, 2100, 16)]
    ours[which][0, :, 5] = bad
    found = position_attention(*ours)[0]
    assert not found[:, 5].isfinite().any() if which == 0 else not found.isfinite().any(0).any()
    if which == 0:
        assert found[:, 6:].isfinite().all()
