"""The whole network: stages, switches, sizes, initialisation, and where its weights come from."""

import hashlib
import http.server
import threading
from functools import partial

import pytest
import torch
from torch import nn

from arn.networks import ARN, VGG16, RecurrentConv, SelfAttention, build_backbone, count_parameters, stage_table

LITE = {
    "backbone": "timm:tf_efficientnet_lite0",
    "strides": [4, 8, 16, 32],
    "rcl": {"channels": [48, 48, 32]},
    "attention": {"strides": [8, 16, 32]},
    "decoder": {"channels": [96, 64, 48], "batch_norm": True},
    "side_outputs": True,
}


@pytest.fixture(scope="module")
def arn():
    torch.manual_seed(0)
    return ARN().eval()


@pytest.fixture(scope="module")
def lite():
    torch.manual_seed(0)
    return ARN(**LITE).eval()


def test_vgg_taps_are_the_papers():
    features = VGG16()(torch.rand(1, 3, 224, 224))
    assert [tuple(f.shape[1:]) for f in features] == [(128, 112, 112), (256, 56, 56), (512, 28, 28), (512, 14, 14)]
    assert all(bool((f >= 0).all()) for f in features), "taps are after ReLU"


def test_vgg_layers_are_torchvisions():
    from torchvision.models import vgg16

    ours, theirs = VGG16(), vgg16(weights=None).features[:30]
    ours.features.load_state_dict(theirs.state_dict())
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(ours(x)[-1], theirs(ours.normalise(x)))


def test_vgg_subtracts_the_mean_pixel_in_units_of_255():
    gray = torch.tensor([123.68, 116.779, 103.939]).reshape(1, 3, 1, 1) / 255
    x = VGG16().normalise(gray + 10 / 255)
    torch.testing.assert_close(x, torch.full((1, 3, 1, 1), 10.0), rtol=1e-4, atol=1e-3)


def test_stage_table_of_arn(arn):
    rows = {row.name: (row.shape, row.parameters) for row in stage_table(arn)}
    assert rows["backbone"] == ((512, 14, 14), 14_714_688)
    assert rows["deepest"] == ((512, 14, 14), 2 * (512 * 64 + 64) + 512 * 512 + 512 + 1)
    for index, (tap, deep, width, side) in enumerate([(512, 512, 256, 28), (256, 256, 128, 56), (128, 128, 64, 112)]):
        local = 9 * tap * 64 + 64 + 9 * 64 * 64
        up = 16 * deep * width + width
        convs = 9 * (width + 64) * width + width + 9 * width * width + width
        attention = 2 * (width * width // 8 + width // 8) + width * width + width + 1
        assert rows[f"stages.{index}.local"] == ((64, side, side), local)
        assert rows[f"stages.{index}.upsample"] == ((width, side, side), up)
        assert rows[f"stages.{index}.convs"] == ((width, side, side), convs)
        assert rows[f"stages.{index}.attention"] == ((width, side, side), attention)
        assert rows[f"stages.{index}"] == ((width, side, side), local + up + convs + attention)
    assert rows["predict"] == ((1, 112, 112), 9 * 64 + 1)
    assert sum(rows[n][1] for n in ("backbone", "deepest", "stages.0", "stages.1", "stages.2", "predict")) == (
        count_parameters(arn)
    )


def test_stage_table_of_lite(lite):
    rows = {row.name: row.shape for row in stage_table(lite)}
    assert [rows[f"stages.{i}"] for i in range(3)] == [(96, 14, 14), (64, 28, 28), (48, 56, 56)]
    assert [rows[f"side_predict.{i}"] for i in range(3)] == [(1, 28, 28), (1, 14, 14), (1, 7, 7)]
    assert count_parameters(lite) == 4_236_495


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (97, 129), (64, 63)])
@pytest.mark.parametrize("which", ["arn", "lite"])
def test_any_size_from_32_px(which, size, request):
    network = request.getfixturevalue(which)
    with torch.no_grad():
        outputs = network(torch.rand(2, 3, *size))
    assert outputs[0].shape == (2, 1, *size)
    assert all(bool(torch.isfinite(out).all()) for out in outputs)


def test_smaller_pictures_are_refused(lite):
    with pytest.raises(ValueError, match="at least 32"):
        lite(torch.rand(1, 3, 31, 64))


def test_new_layers_start_with_he_and_zero_biases(arn):
    for name, module in arn.named_modules():
        if isinstance(module, nn.Conv2d) and not name.startswith("backbone"):
            if module.bias is not None:
                assert not module.bias.any()
            if module.weight.numel() > 20_000:
                fan_in = module.weight[0].numel()
                assert float(module.weight.detach().std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.05), name
        if isinstance(module, nn.ConvTranspose2d):
            assert not module.bias.any()
            expected = (2 / (module.in_channels * 4)) ** 0.5
            assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.05), name
    assert all(m.gamma.item() == 0 for m in arn.modules() if isinstance(m, SelfAttention))


def kinds(network, kind):
    return [name for name, module in network.named_modules() if isinstance(module, kind)]


@pytest.mark.parametrize(
    ("switches", "rcls", "attentions"),
    [
        ({}, 3, 4),
        ({"rcl": {"enabled": False}}, 0, 4),
        ({"attention": {"enabled": False}}, 3, 0),
        ({"rcl": {"enabled": False}, "attention": {"enabled": False}}, 0, 0),
        ({"attention": {"strides": [16, 8]}}, 3, 2),
    ],
)
def test_switches(switches, rcls, attentions):
    network = ARN(**switches)
    assert len(kinds(network, RecurrentConv)) == rcls
    assert len(kinds(network, SelfAttention)) == attentions
    assert network(torch.rand(1, 3, 32, 32))[0].shape == (1, 1, 32, 32)


def test_no_rcl_keeps_the_width():
    plain, full = ARN(rcl={"enabled": False}), ARN()
    for index in range(3):
        assert plain.stages[index].local[0].weight.shape == full.stages[index].local.feed_forward.weight.shape


def test_steps_reach_every_stage_and_add_no_parameters():
    one, five = ARN(rcl={"steps": 1}), ARN(rcl={"steps": 5})
    assert [m.steps for m in five.modules() if isinstance(m, RecurrentConv)] == [5, 5, 5]
    assert count_parameters(one) == count_parameters(five)


def test_key_pool_reaches_attention():
    assert {m.key_pool for m in ARN(attention={"key_pool": 2}).modules() if isinstance(m, SelfAttention)} == {2}


@pytest.mark.parametrize("options", [{"attention": {"stages": [5]}}, {"rcl": {"step": 2}}, {"decoder": {"conv": 1}}])
def test_an_option_that_does_not_exist(options):
    (group,) = options
    with pytest.raises(ValueError, match=rf"network\.{group} has no option {next(iter(options[group]))}"):
        ARN(**options)


def test_all_strides_of_a_backbone_are_those_that_it_has():
    assert build_backbone("timm:tf_efficientnet_lite0").strides == (2, 4, 8, 16, 32)
    assert build_backbone("timm:test_convnext").strides == (4, 8, 16, 32)


def test_side_outputs_are_shallow_to_deep():
    outputs = ARN(side_outputs=True)(torch.rand(1, 3, 64, 64))
    assert [out.shape[-1] for out in outputs] == [64, 16, 8, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet"}, "network.backbone"),
        ({"backbone": "timm:no_such_net"}, "no_such_net"),
        ({"backbone": "timm:tf_efficientnet_lite0", "strides": [4, 128]}, r"stride\(s\) \[128\]"),
        ({"attention": {"strides": [1]}}, "network.attention.strides"),
        ({"decoder": {"channels": [8, 8]}}, "network.decoder.channels"),
        ({"rcl": {"lrn_window": 4}}, "odd"),
        ({"strides": [1, 2]}, "network.strides"),
    ],
)
def test_wrong_options_name_their_key(options, message):
    with pytest.raises(ValueError, match=message):
        ARN(**options)


def test_every_parameter_gets_gradient(lite):
    network = ARN(**LITE)
    for module in network.modules():
        if isinstance(module, SelfAttention):
            nn.init.ones_(module.gamma)
    sum(out.square().mean() for out in network(torch.rand(2, 3, 64, 64))).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


class Kept(torch.autograd.graph.saved_tensors_hooks):
    """Counts what is kept for the backward pass, each storage once."""

    def __init__(self):
        self.storages = {}
        super().__init__(self.pack, lambda tensor: tensor)

    def pack(self, tensor):
        self.storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor


@pytest.mark.parametrize("options", [{}, LITE])
def test_recomputing_keeps_less_and_changes_nothing(options):
    def gradients(recompute):
        torch.manual_seed(0)
        network = ARN(**options, recompute=recompute)
        kept = Kept()
        with kept:
            loss = sum(out.square().mean() for out in network(torch.rand(2, 3, 64, 64)))
        loss.backward()
        statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
        return {name: p.grad for name, p in network.named_parameters()}, statistics, sum(kept.storages.values())

    (plain, counted, much), (again, recounted, little) = gradients(False), gradients(True)
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, rtol=1e-4, atol=1e-7 + 1e-5 * float(gradient.abs().max()))
    assert all(torch.equal(recounted[name], buffer) for name, buffer in counted.items())
    assert little < (0.7 if options == {} else 0.95) * much


def test_decoder_stands_on_another_timm_backbone():
    network = ARN(backbone="timm:resnet18", strides=[4, 8, 16, 32]).eval()
    assert network(torch.rand(1, 3, 65, 96))[0].shape == (1, 1, 65, 96)


def test_missing_weights_warn_loudly(tmp_path, monkeypatch):
    backbone = build_backbone("vgg16")

    def offline():
        raise OSError("no route")

    monkeypatch.setattr(backbone, "download_imagenet", offline)
    with pytest.warns(UserWarning, match="NO IMAGENET WEIGHTS"):
        assert backbone.load_imagenet(tmp_path) == "random"


@pytest.fixture
def served(tmp_path, monkeypatch):
    """VGG16 weights as torchvision's server would give them, from this machine, behind torchvision's own loader."""
    from torchvision.models import VGG16_Weights

    torch.manual_seed(1)
    state = {f"features.{name}": tensor for name, tensor in VGG16().features.state_dict().items()}
    state["classifier.0.weight"] = torch.zeros(1)  # the released file holds more than features
    unnamed = tmp_path / "weights.pth"
    torch.save(state, unnamed)
    named = tmp_path / f"vgg16-{hashlib.sha256(unnamed.read_bytes()).hexdigest()[:8]}.pth"
    unnamed.rename(named)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    weights = VGG16_Weights.IMAGENET1K_FEATURES.value
    url = weights.url
    object.__setattr__(weights, "url", f"http://127.0.0.1:{server.server_port}/{named.name}")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    yield named, state
    object.__setattr__(weights, "url", url)
    server.shutdown()


def test_download_through_torchvision(served, tmp_path):
    _, state = served
    backbone = VGG16()
    assert backbone.load_imagenet(tmp_path / "no such folder") == "torchvision"
    for name, tensor in backbone.features.state_dict().items():
        assert torch.equal(tensor, state[f"features.{name}"])


def test_damaged_download_is_not_used(served):
    named, _ = served
    named.write_bytes(named.read_bytes()[:-1000] + bytes(1000))
    backbone = VGG16()
    before = backbone.features[0].weight.clone()
    with pytest.warns(UserWarning, match="NO IMAGENET WEIGHTS"):
        assert backbone.load_imagenet(None) == "random"
    assert torch.equal(before, backbone.features[0].weight)


@pytest.mark.real
@pytest.mark.parametrize("name", ["vgg16", "timm:tf_efficientnet_lite0"])
def test_weights_from_the_data_root(name, data_dir):
    backbone = build_backbone(name)
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    assert backbone.load_imagenet(data_dir / "weights") == backbone.weights_file
    after = backbone.state_dict()
    changed = [key for key in after if key.endswith("weight") and not torch.equal(before[key], after[key])]
    assert len(changed) > 10
    assert torch.equal(before["mean"], after["mean"])
