"""The compared networks: stages, sizes and parameters as published, any picture size, gradients, what each adds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from arn.networks import (
    NLDF,
    SRM,
    UCF,
    VGG16,
    Amulet,
    DHSNet,
    RecurrentConv,
    ResNet50,
    count_parameters,
    stage_table,
)
from arn.networks.common import fit, foreground_logit, initialise, resample
from arn.networks.nldf import contrast
from arn.networks.srm import PyramidPooling
from arn.networks.ucf import HybridUpsample, ReformulatedDropout

pytestmark = pytest.mark.slow

RIVALS = {"dhsnet": DHSNet, "nldf": NLDF, "srm": SRM, "amulet": Amulet, "ucf": UCF}
VGG = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}
VGG_PARAMETERS = 14_714_688
VGG_NORM = 2 * (2 * 64 + 2 * 128 + 3 * 256 + 6 * 512)


def built(name, device="meta", **options):
    """A network whose weights are there (cpu), or counted only (meta)."""
    torch.manual_seed(0)
    with torch.device(device):
        return RIVALS[name](**options)


def table(network):
    return {row.name: (row.shape, row.parameters) for row in stage_table(network, network.input_size)}


def conv(before, after, kernel, bias=True):
    return before * after * kernel**2 + after * bias


# ------------------------------------------------------------------------------------- stages, sizes and parameters


def test_stages_of_dhsnet():
    network = built("dhsnet")
    rows = table(network)
    assert network.input_size == 224
    assert rows["backbone"] == ((512, 14, 14), VGG_PARAMETERS)
    assert rows["coarse"] == ((784,), 14 * 14 * 512 * 784 + 784)
    for index, (tap, side) in enumerate([(512, 28), (256, 56), (128, 112), (64, 224)]):
        rcl = conv(65, 64, 3) + conv(64, 64, 3, bias=False)
        assert rows[f"steps.{index}.squeeze"] == ((64, side, side), conv(tap, 64, 1))
        assert rows[f"steps.{index}.rcl"] == ((64, side, side), rcl)
        assert rows[f"steps.{index}.predict"] == ((1, side, side), conv(64, 1, 3))
    outputs = network(torch.zeros(1, 3, 224, 224, device="meta"))
    assert [out.shape[-1] for out in outputs] == [224, 112, 56, 28, 28]
    assert count_parameters(network) == 93_752_916


def test_stages_of_nldf():
    network = built("nldf")
    rows = table(network)
    assert network.input_size == 352
    for index, side in enumerate([176, 88, 44, 22, 11]):
        assert rows[f"local.{index}"] == ((128, side, side), conv(VGG[index + 1], 128, 3))
    for index, (before, after, side) in enumerate([(256, 128, 22), (384, 256, 44), (512, 384, 88), (640, 512, 176)]):
        assert rows[f"enlarge.{index}"] == ((after, side, side), conv(before, after, 5))
    assert rows["join"] == ((640, 176, 176), conv(768, 640, 1))
    assert rows["local_score"] == ((2, 176, 176), conv(640, 2, 1))
    assert rows["whole"] == ((128, 1, 1), conv(512, 128, 5) + conv(128, 128, 5) + conv(128, 128, 3))
    assert rows["global_score"] == ((2, 1, 1), conv(128, 2, 1))
    assert [out.shape for out in network(torch.zeros(1, 3, 352, 352, device="meta"))] == [(1, 1, 176, 176)]
    assert count_parameters(network) == 35_485_892


def test_stages_of_srm():
    network = built("srm")
    rows = table(network)
    assert network.input_size == 353
    features = network.backbone(torch.zeros(1, 3, 353, 353, device="meta"))
    assert [tuple(one.shape[1:]) for one in features] == [(512, 45, 45), (1024, 23, 23), (2048, 12, 12)]
    assert rows["coarse"] == ((2, 12, 12), conv(2048, 256, 3, bias=False) + conv(256, 2, 1))
    for index, (channels, side) in enumerate([(1024, 23), (512, 45)]):
        joined = channels + 4 * 512
        squeeze = conv(joined, 256, 3, bias=False) + conv(256, 64, 3, bias=False)
        assert rows[f"stages.{index}.pyramid"] == ((joined, side, side), 4 * channels * 512)
        assert rows[f"stages.{index}.squeeze"] == ((64, side, side), squeeze)
        assert rows[f"stages.{index}.predict"] == ((2, side, side), (66 * 2 + 2 * 2) * 9)
    outputs = network(torch.zeros(1, 3, 353, 353, device="meta"))
    assert [tuple(out.shape) for out in outputs] == [(1, 1, 353, 353)] * 3
    assert count_parameters(network) == 53_189_650


def test_stages_of_amulet():
    network = built("amulet")
    rows = table(network)
    assert network.input_size == 256
    assert rows["backbone"] == ((512, 16, 16), VGG_PARAMETERS + VGG_NORM)
    for index, level in enumerate([5, 4, 3, 2, 1]):  # coarse to fine
        brought = sum(conv(channels, 64, 2 ** abs(source - level)) for source, channels in VGG.items())
        mix, side = conv(320, 64, 1) + 2 * 64, 256 // 2 ** (level - 1)
        assert rows[f"combinations.{index}.mix"] == ((64, side, side), mix)
        enlarge = conv(64, 64, 2 ** (level - 1))
        assert rows[f"combinations.{index}.enlarge"] == ((64, 256, 256), enlarge)
        assert rows[f"combinations.{index}"] == ((64, 256, 256), brought + mix + enlarge)
        assert rows[f"predict.{index}"] == ((2, 256, 256), conv(64 if level == 5 else 66, 2, 3))
    assert rows["fuse"] == ((2, 256, 256), conv(10, 64, 1) + conv(64, 64, 3) + conv(64, 2, 3) + 4 * 64)
    outputs = network(torch.zeros(1, 3, 256, 256, device="meta"))
    assert [tuple(out.shape) for out in outputs] == [(1, 1, 256, 256)] * 6
    assert count_parameters(network) == 33_157_916


def test_stages_of_ucf():
    network = built("ucf")
    rows = table(network)
    assert network.input_size == 448
    assert rows["backbone"] == ((512, 28, 28), VGG_PARAMETERS + VGG_NORM)
    mirrored = [(512, [512, 512, 512], 28), (512, [512, 512, 256], 56), (256, [256, 256, 128], 112)]
    mirrored += [(128, [128, 64], 224), (64, [64], 448)]
    for index, (before, widths, side) in enumerate(mirrored):
        assert rows[f"decoder.{index}.upsample"] == (
            (before, side, side),
            conv(before, before, 4) + conv(before, before, 1),
        )
        steps = zip([before, *widths], widths, strict=False)
        convs = sum(conv(one, two, 3) + 2 * two for one, two in steps)
        assert rows[f"decoder.{index}.convs"] == ((widths[-1], side, side), convs)
    assert rows["predict"] == ((2, 448, 448), conv(64, 2, 3))
    assert count_parameters(network) == 39_822_274


# ----------------------------------------------------------------------------------------- what all have in common


@pytest.fixture(scope="module", params=RIVALS)
def small(request):
    """A network on the CPU, its own size reduced to 64 px where that spares memory."""
    return built(request.param, "cpu", input_size=64)


def final_size(network, size):
    return tuple(side // 2 for side in size) if isinstance(network, NLDF) else tuple(size)


def test_any_size_from_32_px(small):
    for size in ((32, 32), (33, 47), (97, 129), (64, 63)):
        with torch.no_grad():
            outputs = small.eval()(torch.rand(2, 3, *size))
        assert outputs[0].shape == (2, 1, *final_size(small, size))
        assert all(bool(torch.isfinite(out).all()) for out in outputs)
        assert {out.dtype for out in outputs} == {torch.float32}


def test_smaller_pictures_are_refused(small):
    with pytest.raises(ValueError, match="at least 32"):
        small(torch.rand(1, 3, 31, 64))


@pytest.mark.parametrize("size", [(64, 64), (71, 90)])
def test_every_parameter_gets_gradient(small, size):
    """One without would stall DDP."""
    small.train().zero_grad(set_to_none=True)
    sum(out.square().mean() for out in small(torch.rand(2, 3, *size))).backward()
    assert [name for name, p in small.named_parameters() if p.grad is None] == []
    assert all(bool(torch.isfinite(p.grad).all()) for p in small.parameters())
    small.zero_grad(set_to_none=True)


def test_starts_near_undecided(small):
    """Fresh weights on noise: a map that is neither saturated nor the same everywhere."""
    with torch.no_grad():
        saliency = torch.sigmoid(small.eval()(torch.rand(2, 3, 64, 64))[0])
    assert float(saliency.std()) > 0
    assert float((saliency - 0.5).abs().mean()) < 0.49


def test_maps_do_not_depend_on_the_batch(small):
    pictures = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        together, alone = small.eval()(pictures)[0], torch.cat([small(one[None])[0] for one in pictures])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)


def test_onnx(small, tmp_path):
    """One file for any batch, equal to eager."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path / "network.onnx"
    batch = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(small.eval(), (torch.rand(2, 3, 64, 64),), path, dynamic_shapes=batch, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pictures = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        expected = small(pictures)
    found = session.run(None, {session.get_inputs()[0].name: pictures.numpy()})
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(one), other, rtol=1e-3, atol=1e-3)


def test_two_ranks_train_one_network(tmp_path):
    """Ranks end with the same weights, and without BatchNorm with those of one process on the whole batch."""
    worker = Path(__file__).with_name("ddp_worker.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    names = [network.__name__ for network in RIVALS.values()]
    command = [sys.executable, "-W", "ignore", str(worker), str(tmp_path / "store"), *names]
    done = subprocess.run(command, env=environment, timeout=500, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------------------------------- the parts


def test_two_scores_as_one_logit_are_the_softmax():
    scores, masks = torch.randn(2, 2, 5, 4, requires_grad=True), (torch.rand(2, 1, 5, 4) > 0.5).float()
    logit = foreground_logit(scores)
    torch.testing.assert_close(torch.sigmoid(logit), scores.softmax(1)[:, 1:])
    ours = F.binary_cross_entropy_with_logits(logit, masks)
    theirs = F.cross_entropy(scores, masks[:, 0].long())
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss, scores)[0] for loss in (ours, theirs)))


def test_fit_cuts_and_repeats_the_edge():
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert fit(x, (2, 3)).tolist() == x.tolist()
    assert fit(x, (3, 2)).tolist() == [[[[0, 1], [3, 4], [3, 4]]]]
    assert fit(x, (1, 5)).tolist() == [[[[0, 1, 2, 2, 2]]]]


@pytest.mark.parametrize(("kind", "gain"), [("xavier", 1.0), ("msra", 2.0)])
def test_caffes_fillers(kind, gain):
    torch.manual_seed(0)
    layers = [nn.Conv2d(64, 96, 3), nn.ConvTranspose2d(64, 96, 4)]
    initialise(layers, kind)
    for layer, fan_in in zip(layers, (64 * 9, 96 * 16), strict=True):
        weights = layer.weight.detach()
        assert float(weights.std()) == pytest.approx((gain / fan_in) ** 0.5, rel=0.05)
        uniform = float(weights.abs().max()) <= (3 / fan_in) ** 0.5 * 1.001
        assert uniform == (kind == "xavier")
        assert not layer.bias.any()


def test_vgg_with_batch_norm_takes_the_plain_weights():
    torch.manual_seed(0)
    plain, normed = VGG16(), VGG16(batch_norm=True)
    state = {f"features.{name}": tensor for name, tensor in plain.features.state_dict().items()}
    normed.load_features(state)
    for one, other in zip(plain.convolutions(), normed.convolutions(), strict=True):
        assert torch.equal(one.weight, other.weight)
        assert torch.equal(one.bias, other.bias)
    # A BatchNorm that does nothing: the features are the plain ones.
    for layer in normed.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 0.0
    x = torch.rand(1, 3, 48, 48)
    for one, other in zip(plain.eval()(x), normed.eval()(x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_vgg_taps_by_level():
    features = VGG16(strides=(1, 4))(torch.zeros(1, 3, 64, 64))
    assert [tuple(one.shape[1:]) for one in features] == [(64, 64, 64), (256, 16, 16)]


def test_resnet_is_torchvisions():
    from torchvision.models import resnet50

    torch.manual_seed(0)
    theirs, ours = resnet50(weights=None).eval(), ResNet50().eval()
    ours.load_features(theirs.state_dict())
    picture = torch.rand(1, 3, 64, 64)
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(ours.normalise(picture)))))
    expected = []
    for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
        x = stage(x)
        expected.append(x)
    for one, other in zip(ours(picture), expected, strict=True):
        torch.testing.assert_close(one, other)
    assert [one.shape[1] for one in expected] == list(ours.channels)
    assert [64 // one.shape[-1] for one in expected] == list(ours.strides)


def test_srm_loads_both_backbones(tmp_path):
    from safetensors.torch import save_file
    from torchvision.models import resnet50

    torch.manual_seed(0)
    state = {name: tensor.half() for name, tensor in resnet50(weights=None).state_dict().items()}
    save_file(state, tmp_path / "resnet50_fp16.safetensors")
    backbones = SRM().backbone
    assert backbones.load_imagenet(tmp_path) == "resnet50_fp16.safetensors"
    for backbone in (backbones.first, backbones.second):
        for name, tensor in backbone.features.state_dict().items():
            assert torch.equal(tensor, state[name].to(tensor.dtype)), name
    assert backbones.first.features["conv1"].weight is not backbones.second.features["conv1"].weight
    assert "layer4" not in backbones.second.features


@pytest.mark.parametrize(("side", "kernels"), [(23, [4, 8, 12, 23]), (45, [8, 15, 23, 45])])
def test_srm_pools_in_the_published_bins(side, kernels):
    """Each bin is the mean of its own pixels, the cut ones at the end too; enlarged with corners aligned."""
    torch.manual_seed(0)
    pyramid, x = PyramidPooling(4), torch.rand(1, 4, side, side)
    pooled = pyramid(x)
    assert torch.equal(pooled[:, :4], x)
    for index, (kernel, layer) in enumerate(zip(kernels, pyramid.convs, strict=True)):
        starts = range(0, side, kernel)
        means = torch.stack(
            [
                torch.stack([x[0, :, i : i + kernel, j : j + kernel].mean((1, 2)) for j in starts], dim=-1)
                for i in starts
            ],
            dim=1,
        )
        assert means.shape[-1] == (6, 3, 2, 1)[index]
        expected = resample(layer(means[None]), x.shape, align_corners=True)
        torch.testing.assert_close(pooled[:, 4 + 512 * index :][:, :512], expected, rtol=1e-4, atol=1e-5)


def test_nldf_contrast_is_against_the_neighbourhood():
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 0, 0] = 9.0
    # The corner is repeated outwards (symmetric padding), so four of its nine neighbours are itself.
    assert contrast(x)[0, 0].tolist() == [[5, -2, 0], [-2, -1, 0], [0, 0, 0]]


def test_nldf_global_score_is_added_everywhere():
    network = built("nldf", "cpu").eval()
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = network(picture)[0]
        network.global_score.bias += torch.tensor([0.0, 1.5])
        torch.testing.assert_close(network(picture)[0], before + 1.5)


def test_amulet_predicts_from_the_coarser_prediction():
    network = built("amulet", "cpu").eval()
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = network(picture)
        network.predict[1].bias += 1.0  # of the second coarsest, both scores
        network.predict[1].bias[1] += 1.0
        after = network(picture)
    same = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert same == [False, False, False, False, False, True]  # fusion, fine .. coarse


def test_ucf_drops_before_the_activation_in_training_only():
    torch.manual_seed(0)
    layer, x = ReformulatedDropout(0.5), torch.randn(1, 8, 64, 64)
    trained = layer.train()(x)
    positive = x > 0
    assert not trained[~positive].any()
    kept = trained[positive] > 0
    assert float(kept.float().mean()) == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(trained[positive][kept], 2 * x[positive][kept])
    assert torch.equal(layer.eval()(x), F.relu(x))


def test_ucf_masks_the_last_activation_of_the_chosen_blocks():
    network = built("ucf", "cpu", dropout={"rate": 0.3, "levels": [2, 5]})
    masked = [index for index, layer in enumerate(network.backbone.features) if isinstance(layer, ReformulatedDropout)]
    assert masked == [network.backbone.taps[1] - 1, network.backbone.taps[4] - 1]
    assert {network.backbone.features[index].rate for index in masked} == {0.3}
    picture = torch.rand(2, 3, 64, 64)
    one, other = (network.train()(picture)[0] for _ in range(2))
    assert not torch.equal(one, other)
    network.eval()
    assert torch.equal(network(picture)[0], network(picture)[0])


def test_ucf_averages_its_maps_over_fixed_masks():
    network = built("ucf", "cpu", dropout={"rate": 0.5, "levels": [2, 5], "samples": 2}).eval()
    layers = [layer for layer in network.backbone.features if isinstance(layer, ReformulatedDropout)]
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        (found,) = network(pictures)
        assert {layer.sample for layer in layers} == {None}
        maps = []
        for sample in range(2):
            for place, layer in enumerate(layers):
                layer.sample = 2 * sample + place
            maps.append(torch.sigmoid(network._logits(pictures)))
        for layer in layers:
            layer.sample = None
        assert not torch.equal(*maps)
        torch.testing.assert_close(torch.sigmoid(found), (maps[0] + maps[1]) / 2, rtol=1e-4, atol=2e-6)
        alone = torch.sigmoid(network(pictures[1:])[0])  # and not among others
        torch.testing.assert_close(alone, torch.sigmoid(found)[1:], rtol=1e-4, atol=2e-6)
    kept = ReformulatedDropout(0.25).eval()
    kept.sample = 3
    ones = kept(torch.ones(2, 8, 64, 64))
    assert torch.equal(ones[0], ones[1])
    assert float((ones > 0).float().mean()) == pytest.approx(0.75, abs=0.02)
    torch.testing.assert_close(ones.max(), torch.tensor(4 / 3))


@pytest.mark.parametrize("kernel", [2, 4])
def test_ucf_upsampling_is_the_sum_of_both_and_even(kernel):
    torch.manual_seed(0)
    layer, x = HybridUpsample(3, kernel), torch.rand(1, 3, 5, 6)
    learned, smooth = layer.learned(x), resample(layer.smooth(x), (10, 12))
    torch.testing.assert_close(layer(x, torch.Size((10, 12))), learned + smooth)
    # No checkerboard: equal weights and a flat input give a flat interior.
    nn.init.ones_(layer.learned.weight)
    nn.init.zeros_(layer.learned.bias)
    interior = layer.learned(torch.ones(1, 3, 5, 6)).detach()[..., 2:-2, 2:-2]
    assert float(interior.max() - interior.min()) == pytest.approx(0, abs=1e-5)


def test_dhsnet_is_recurrent():
    one, four = built("dhsnet", input_size=64, rcl={"steps": 1}), built("dhsnet", input_size=64, rcl={"steps": 4})
    assert count_parameters(one) == count_parameters(four)
    assert [layer.steps for layer in four.modules() if isinstance(layer, RecurrentConv)] == [4, 4, 4, 4]


def test_dhsnet_sees_the_whole_picture_at_once():
    network = built("dhsnet", "cpu", input_size=64).eval()
    picture = torch.rand(1, 3, 64, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(picture)[-1][0, 0, 0, 0], picture)
    assert bool((gradient.abs().sum((0, 1)) > 0).float().mean() > 0.99)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DHSNet(predict_kernel=2), "network.predict_kernel"),
        (lambda: DHSNet(rcl={"norm": "batch"}), "rcl.norm"),
        (lambda: UCF(dropout={"rate": 1.0}), "network.dropout.rate"),
        (lambda: UCF(dropout={"levels": [6]}), "network.dropout.levels"),
        (lambda: UCF(dropout={"samples": -1}), "network.dropout.samples"),
        (lambda: UCF(upsample_kernel=3), "network.upsample_kernel"),
    ],
)
def test_wrong_options_name_their_key(build, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build()
