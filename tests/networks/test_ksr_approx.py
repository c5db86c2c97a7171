"""The approximation of KSR: its parts against their formulas, and that it learns to rank what it is shown."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from arn.networks import KSRApprox
from arn.networks.ksr_approx import (
    COST,
    alternate,
    describe,
    draw_pairs,
    joint_loss,
    kernel_pca,
    overlaps,
    proposal_scores,
    rank,
)

pytestmark = pytest.mark.slow


def rectangles(picture):
    """Proposals for tests: every rectangle of a coarse grid."""
    height, width = picture.shape[:2]
    edges = [0, 1, 2, 3, 4]
    found = []
    for top in edges[:-1]:
        for bottom in edges[top + 1 :]:
            for left in edges[:-1]:
                for right in edges[left + 1 :]:
                    mask = np.zeros((height, width), bool)
                    mask[top * height // 4 : bottom * height // 4, left * width // 4 : right * width // 4] = True
                    found.append(mask)
    return np.array(found)


def pictures(count, seed=0):
    """Striped rectangles on noise of another colour, with their masks: 64 x 64."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        top, left = random.integers(0, 3, 2)
        bottom, right = random.integers(top + 1, 5), random.integers(left + 1, 5)
        mask = np.zeros((64, 64), np.uint8)
        mask[top * 16 : bottom * 16, left * 16 : right * 16] = 255
        if mask.all():
            continue
        picture = random.integers(0, 60, (64, 64, 3)).astype(np.uint8)
        picture[mask > 0, 0] = 220
        picture[::4][mask[::4] > 0] = 255
        yield picture, mask


@pytest.fixture(scope="module")
def learnt():
    torch.manual_seed(0)
    network = KSRApprox(rectangles, input_size=64, components=16, landmarks=60, subspace=12)
    return network, network.learn(pictures(40), seed=3)


def test_scores_of_proposals():
    truth = torch.zeros(4, 4, dtype=torch.bool)
    truth[:2] = True  # 8
    masks = torch.stack([truth, ~truth, torch.ones_like(truth), torch.zeros_like(truth)])
    masks[3, 0] = True  # 4, all inside
    expected = [1.0, 0.0, 1.3 * 8 / (0.3 * 8 + 16), 1.3 * 4 / (0.3 * 8 + 4)]
    assert proposal_scores(masks, truth).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("pixels", "places"), [(8, 4), (7, 3), (5, 5), (224, 14)])
def test_overlaps_are_shares(pixels, places):
    weights = overlaps(pixels, places)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(places))
    torch.testing.assert_close(weights.sum(dim=0), torch.full((pixels,), places / pixels))


def test_descriptions_are_averages_inside_and_outside():
    torch.manual_seed(0)
    feature = torch.randn(3, 4, 4)
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:4, 2:6] = True  # whole places: rows 0-1, columns 1-2
    inside = feature[:, :2, 1:3].sum(dim=(1, 2))
    outside = feature.sum(dim=(1, 2)) - inside
    expected = torch.cat([F.normalize(inside, dim=0), F.normalize(outside, dim=0)])
    torch.testing.assert_close(describe(feature, mask[None])[0], expected)


def test_kernel_pca_keeps_distances():
    torch.manual_seed(0)
    points = torch.randn(20, 3, dtype=torch.float64)
    kernel = torch.exp(-torch.cdist(points, points))
    embedded = kernel @ kernel_pca(kernel, 20).T
    torch.testing.assert_close(embedded @ embedded.T, kernel)


def test_kernel_pca_leaves_what_it_lacks_at_zero():
    kernel = torch.zeros(6, 6)
    kernel[:2, :2] = torch.tensor([[1.0, 0.3], [0.3, 1.0]])
    projection = kernel_pca(kernel, 4)
    assert projection.shape == (4, 6)
    assert not projection[2:].any()
    assert not projection[:, 2:].any()


def test_the_ranker_is_at_its_optimum():
    """The slope of its loss is zero, and a step in any direction costs."""
    torch.manual_seed(0)
    subspace = torch.randn(60, 5, dtype=torch.float64) * 30
    subspace[:30, 0] += 40
    ranked = torch.stack([torch.arange(30), torch.arange(30, 60)], dim=1)
    weights = rank(subspace, ranked).requires_grad_()
    margins = (subspace[ranked[:, 0]] - subspace[ranked[:, 1]]) @ weights
    loss = weights.square().sum() / 2 + COST * F.relu(1 - margins).square().sum()
    (slope,) = torch.autograd.grad(loss, weights)
    assert float(slope.abs().max()) < 1e-9
    assert 0 < int((margins < 1).sum()) < 30  # some pairs are beyond the margin, some are not


def test_turns_lower_the_loss_and_end():
    torch.manual_seed(0)
    points = torch.cat([torch.randn(20, 4), torch.randn(20, 4) + 1.5])
    kernel = torch.exp(-torch.cdist(points, points) / 2)
    positive = torch.arange(40) < 20
    pairs = draw_pairs(positive, torch.arange(40) % 4, torch.Generator().manual_seed(0))
    assert all(bool(positive[one]) and not bool(positive[other]) for one, other in pairs.ranked)
    assert all(int(one) % 4 == int(other) % 4 for one, other in pairs.ranked)
    start = kernel_pca(kernel, 8)
    begun = joint_loss(start, rank(kernel @ start.T, pairs.ranked), kernel, kernel, pairs)
    found = alternate(kernel, kernel, start, pairs)
    ended = joint_loss(found.projection, found.ranker, kernel, kernel, pairs)
    assert float(ended) < 0.98 * float(begun)
    assert 1 < found.rounds < 200


def test_it_ranks_what_it_was_not_shown(learnt):
    network, told = learnt
    assert told.used > 5
    hits = []
    for picture, mask in pictures(12, seed=9):
        tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        saliency = torch.sigmoid(network(tensor)[0])[0, 0].numpy()
        hits.append(saliency[mask > 0].mean() - saliency[mask == 0].mean())
    assert np.mean(hits) > 0.3


def test_it_learns_the_same_from_the_same(learnt):
    network, _ = learnt
    torch.manual_seed(0)
    again = KSRApprox(rectangles, input_size=64, components=16, landmarks=60, subspace=12)
    again.learn(pictures(40), seed=3)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_unfilled_landmarks_do_not_count():
    """Room for more landmarks than there are proposals changes no map."""
    maps = []
    for room in (60, 400):
        torch.manual_seed(0)
        network = KSRApprox(rectangles, input_size=64, components=16, landmarks=room, subspace=12)
        assert 0 < network.learn(pictures(12), seed=1).proposals < 60
        maps.append(network(torch.from_numpy(next(pictures(1, seed=9))[0]).permute(2, 0, 1)[None].float() / 255)[0])
    torch.testing.assert_close(maps[0], maps[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [(64, 64), (71, 90), (32, 33)])
def test_any_size_one_map(learnt, size):
    (logits,) = learnt[0](torch.rand(2, 3, *size))
    assert logits.shape == (2, 1, *size)
    assert logits.dtype == torch.float32
    assert bool(torch.isfinite(logits).all())


def test_before_learning_the_map_is_flat():
    network = KSRApprox(rectangles)
    assert not network(torch.rand(1, 3, 64, 64))[0].any()


def test_smaller_pictures_are_refused(learnt):
    with pytest.raises(ValueError, match="at least 32"):
        learnt[0](torch.rand(1, 3, 31, 64))


def test_nothing_to_learn_from_is_said():
    network = KSRApprox(lambda picture: np.zeros((0, *picture.shape[:2]), bool), input_size=64)
    with pytest.raises(ValueError, match="nothing to learn"):
        network.learn(pictures(2))
