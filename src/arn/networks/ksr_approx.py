"""An approximation of KSR, kernelised subspace ranking (T. Wang et al., ECCV 2016), with freely available parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from arn.networks.backbones import VGG16
from arn.networks.base import GradientFreeNetwork
from arn.networks.common import check_side

BETA = 0.3
GOOD, BAD = 0.9, 0.6  # scores of proposals that are positive from, and negative up to
CLOSEST = 1e-4  # of 0 and 1 that a map keeps as it becomes logits; a fortieth of a gray level
MOST_PAIRS = 20_000  # of each kind, drawn by seed
COST = 1e-4  # C of the ranking SVM


class Learned(NamedTuple):
    """What :meth:`KSRApprox.learn` saw."""

    pictures: int
    used: int  # those with positives enough
    proposals: int
    rounds: int


class KSRApprox(GradientFreeNetwork):
    """Proposals ranked in a learnt subspace of a kernel; the map is the sum of the best.

    Every proposal is described by what VGG16's conv5_3 holds on average inside it and outside, brought to its main
    components and, by ``exp(-|x - y| / s)``, compared to landmarks from training, s the 25th percentile of their
    distances. A projection to a subspace and a linear ranker are learnt in turns. The highest-ranked masks are summed
    with weights ``exp(2 score)`` and stretched to 0..1.

    An approximation, never to be called KSR: docs/rivals.md has the differences. It draws proposals outside torch,
    picture by picture, so that it has no ONNX form and no gradient.

    Args:
        proposals: uint8 RGB, H x W x 3 -> bool masks, N x H x W.
        components: dimensions kept by PCA, at most: those of 85 % of the variance.
        landmarks: training proposals that the kernel is taken against.
        subspace: its dimensions.
        most: positives of a picture that are learnt from; as many negatives.
        top: proposals that make the map.

    Returns one logit map, B x 1 x H x W, float32: flat at 0 before anything is learnt.
    """

    centre: Tensor
    basis: Tensor
    anchors: Tensor
    scale: Tensor
    projection: Tensor
    ranker: Tensor

    def __init__(
        self,
        proposals: Callable[[NDArray[np.uint8]], NDArray[np.bool_]],
        input_size: int = 224,
        components: int = 256,
        landmarks: int = 1000,
        subspace: int = 120,
        most: int = 8,
        top: int = 16,
    ) -> None:
        super().__init__()
        self.input_size, self.proposals = input_size, proposals
        self.most, self.top = most, top
        self.backbone = VGG16(strides=(16,))
        self.backbone.initialise()
        self.backbone.requires_grad_(False)
        width = 2 * self.backbone.channels[-1]
        for name, shape in {
            "centre": (width,),
            "basis": (width, components),
            "anchors": (landmarks, components),
            "scale": (1,),
            "projection": (subspace, landmarks),
            "ranker": (subspace,),
        }.items():
            self.register_buffer(name, torch.zeros(shape))

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        check_side(pictures)
        with torch.no_grad():
            features = self.backbone(pictures)[-1].float()
            with torch.autocast(pictures.device.type, enabled=False):
                maps = [self._map(one, feature) for one, feature in zip(pictures, features, strict=True)]
        return (torch.logit(torch.stack(maps).unsqueeze(1), eps=CLOSEST),)

    def _map(self, picture: Tensor, feature: Tensor) -> Tensor:
        """3 x H x W in 0..1 and C x h x w -> H x W in 0..1."""
        if not self.scale.any():
            return picture.new_full(picture.shape[1:], 0.5, dtype=torch.float32)
        masks = self._propose(picture)
        if not len(masks):
            return picture.new_zeros(picture.shape[1:], dtype=torch.float32)
        scores = self._kernel(describe(feature, masks)) @ self.projection.T @ self.ranker
        best = scores.topk(min(self.top, len(masks))).indices
        weights = torch.exp(2 * (scores[best] - scores[best].max()))  # the greatest first: no overflow, the same map
        total = torch.einsum("n,nhw->hw", weights, masks[best].float())
        covered = total > 0
        low, high = total[covered].min(), total.max()
        return torch.where(covered & (high > low), (total - low) / (high - low).clamp_min(1e-12), covered.float())

    def _propose(self, picture: Tensor) -> Tensor:
        """3 x H x W in 0..1 -> bool masks N x H x W on the picture's device."""
        eight_bit = (picture.float() * 255).round().clamp(0, 255).to(torch.uint8)
        masks = self.proposals(np.ascontiguousarray(eight_bit.permute(1, 2, 0).cpu().numpy()))
        return torch.from_numpy(masks).to(picture.device)

    def _kernel(self, described: Tensor) -> Tensor:
        """Descriptions N x D -> kernel against the landmarks, N x L; zero for the places that no landmark fills."""
        return self._compare((described - self.centre) @ self.basis)

    def _compare(self, points: Tensor) -> Tensor:
        filled = self.anchors.any(dim=1)
        return torch.exp(-torch.cdist(points, self.anchors) / self.scale) * filled

    def learn(self, pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]], seed: int = 0) -> Learned:
        """Learn all but the backbone from pictures and gray masks (salient from 128) of one size, each seen once.

        Raises ValueError if no picture has two proposals that match its mask.
        """
        generator = torch.Generator().manual_seed(seed)
        self.eval()
        with torch.inference_mode():
            drawn = list(self._draw(pairs, generator))
        used = [one for one in drawn if one is not None]
        if not used:
            raise ValueError(f"none of {len(drawn)} pictures has two proposals that match its mask: nothing to learn")
        described = torch.cat([one for pair in used for one in pair]).clone()
        positive = torch.cat([torch.arange(2 * len(good)) < len(good) for good, _ in used])
        picture = torch.cat([torch.full((2 * len(good),), index) for index, (good, _) in enumerate(used)])

        self._fit_kernel(described, generator)
        kernel = self._kernel(described)
        pairs_drawn = draw_pairs(positive, picture, generator)
        landmarks = self._compare(self.anchors) * self.anchors.any(dim=1)[:, None]
        found = alternate(kernel, landmarks, kernel_pca(landmarks, len(self.ranker)), pairs_drawn)
        self.projection.copy_(found.projection)
        self.ranker.copy_(found.ranker)
        return Learned(len(drawn), len(used), len(described), found.rounds)

    def _draw(
        self, pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]], generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor] | None]:
        """Of each picture the descriptions of positives and of as many negatives, or None where it has too few."""
        device = self.centre.device
        for array, mask in pairs:
            picture = torch.from_numpy(np.array(array)).to(device).permute(2, 0, 1).float() / 255
            check_side(picture[None])
            masks = self._propose(picture)
            scores = proposal_scores(masks, torch.from_numpy(mask >= 128).to(device)).cpu()
            good = scores.argsort(descending=True)[: int((scores >= GOOD).sum())]
            bad = (scores <= BAD).nonzero()[:, 0]
            bad = bad[torch.randperm(len(bad), generator=generator)]
            count = min(len(good), len(bad), self.most)
            if len(good) < 2 or count < 2:
                yield None
                continue
            good = good[torch.randperm(len(good), generator=generator)[:count]]
            feature = self.backbone(picture[None])[-1][0].float()
            yield describe(feature, masks[good]), describe(feature, masks[bad[:count]])

    def _fit_kernel(self, described: Tensor, generator: torch.Generator) -> None:
        """PCA, landmarks and scale; what this set does not fill of the buffers stays zero."""
        self.centre.copy_(described.mean(dim=0))
        _, lengths, axes = torch.linalg.svd(described - self.centre, full_matrices=False)
        share = lengths.square().cumsum(0) / lengths.square().sum()
        kept = min(int((share < 0.85).sum()) + 1, self.basis.shape[1])
        self.basis.zero_()[:, :kept] = axes[:kept].T
        chosen = torch.randperm(len(described), generator=generator)[: len(self.anchors)]
        anchors = ((described - self.centre) @ self.basis)[chosen.to(described.device)]
        self.anchors.zero_()[: len(anchors)] = anchors
        self.scale.fill_(max(float(torch.quantile(torch.pdist(anchors)[:1_000_000], 0.25)), 1e-6))


def describe(feature: Tensor, masks: Tensor) -> Tensor:
    """Averages of a feature C x h x w inside and outside of each mask, bool N x H x W, each of length 1: N x 2C."""
    rows = overlaps(masks.shape[1], feature.shape[1]).to(feature)
    columns = overlaps(masks.shape[2], feature.shape[2]).to(feature)
    inside = (rows @ masks.to(feature.dtype) @ columns.T).flatten(1)  # N x places: the share of each that is covered
    flat = feature.flatten(1).T  # places x C
    return torch.cat([F.normalize(weights @ flat, dim=1) for weights in (inside, 1 - inside)], dim=1)


def overlaps(pixels: int, places: int) -> Tensor:
    """The share of each place of a line of ``places`` that each of its ``pixels`` fills, places x pixels."""
    edges = torch.arange(places + 1, dtype=torch.float64) * pixels / places
    pixel = torch.arange(pixels, dtype=torch.float64)
    filled = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
    return (filled.clamp(min=0) * places / pixels).float()


def proposal_scores(masks: Tensor, truth: Tensor) -> Tensor:
    """``(1 + b) |P and G| / (b |G| + |P|)``, b = .3, in 0..1: proposals N x H x W against the mask H x W, bool -> N."""
    areas = masks.flatten(1).sum(dim=1).float()
    shared = (masks & truth).flatten(1).sum(dim=1).float()
    return (1 + BETA) * shared / (BETA * truth.sum() + areas)


class Pairs(NamedTuple):
    """Rows of a kernel, two by two: of one class, of two classes, and positive before negative of one picture."""

    alike: Tensor
    unlike: Tensor
    ranked: Tensor


def draw_pairs(positive: Tensor, picture: Tensor, generator: torch.Generator) -> Pairs:
    """Which proposals to compare, P x 2 of each kind: all that are ranked, the others drawn."""
    good, bad = positive.nonzero()[:, 0], (~positive).nonzero()[:, 0]

    def some(ones: Tensor, others: Tensor) -> Tensor:
        picks = [one[torch.randint(len(one), (MOST_PAIRS,), generator=generator)] for one in (ones, others)]
        return torch.stack(picks, dim=1)

    half = [some(group, group)[: MOST_PAIRS // 2] for group in (good, bad)]
    same = picture[good][:, None] == picture[bad]
    first, second = same.nonzero(as_tuple=True)
    return Pairs(torch.cat(half), some(good, bad), torch.stack([good[first], bad[second]], dim=1))


def kernel_pca(kernel: Tensor, dimensions: int) -> Tensor:
    """Projections onto the kernel's main axes, lengths and distances as in the kernel's own space: dimensions x L."""
    values, axes = torch.linalg.eigh(kernel.double())
    values, axes = values.flip(0)[:dimensions], axes.flip(1)[:, :dimensions]
    there = values > 1e-6 * values[0]  # fewer landmarks than dimensions: what is left stays zero
    found = kernel.new_zeros(dimensions, len(kernel))
    found[: len(values)][there] = (axes[:, there] / values[there].sqrt()).T.to(kernel)
    return found


class Alternation(NamedTuple):
    projection: Tensor
    ranker: Tensor
    rounds: int


def alternate(
    kernel: Tensor, landmarks: Tensor, projection: Tensor, pairs: Pairs, most: int = 200, close: float = 1e-4
) -> Alternation:
    """Projection and ranker in turns until the loss changes by less than ``close`` of itself, or ``most`` rounds.

    Args:
        kernel: of the training proposals against the landmarks, N x L.
        landmarks: the landmarks' own kernel, L x L.
        projection: where to start, D x L.
    """
    ranker = rank(kernel @ projection.T, pairs.ranked)
    step, before = 0.1, float("inf")
    for turn in range(1, most + 1):
        with torch.enable_grad():
            leaf = projection.clone().requires_grad_()
            loss = joint_loss(leaf, ranker, kernel, landmarks, pairs)
            (slope,) = torch.autograd.grad(loss, leaf)
        while step > 1e-6:
            moved = projection - step * slope
            if joint_loss(moved, ranker, kernel, landmarks, pairs) < loss:
                projection, step = moved, step * 1.1
                break
            step *= 0.9
        ranker = rank(kernel @ projection.T, pairs.ranked)
        now = float(joint_loss(projection, ranker, kernel, landmarks, pairs))
        if abs(before - now) < close * abs(now) or step <= 1e-6:
            return Alternation(projection, ranker, turn)
        before = now
    return Alternation(projection, ranker, most)


def joint_loss(projection: Tensor, ranker: Tensor, kernel: Tensor, landmarks: Tensor, pairs: Pairs) -> Tensor:
    """Distances below 1 within a class and above 1 between classes, softly; the regulariser; the ranking loss."""
    subspace = kernel @ projection.T

    def apart(chosen: Tensor) -> Tensor:  # by index_select, whose gradient on the CPU is summed in one order
        return subspace.index_select(0, chosen[:, 0]) - subspace.index_select(0, chosen[:, 1])

    total = 0.01 * (projection @ landmarks * projection).sum()
    for chosen, sign in ((pairs.alike, 1.0), (pairs.unlike, -1.0)):
        distance = apart(chosen).square().sum(dim=1)
        total = total + F.softplus(3 * sign * (distance - 1)).mean() / 3
    return total + COST * F.relu(1 - apart(pairs.ranked) @ ranker).square().sum()


def rank(subspace: Tensor, ranked: Tensor, most: int = 50) -> Tensor:
    """The primal ranking SVM, ``|w|^2 / 2 + C sum max(0, 1 - w . (p - n))^2``, by Newton's method: N x D -> w, D."""
    differences = (subspace[ranked[:, 0]] - subspace[ranked[:, 1]]).double()
    weights = differences.new_zeros(differences.shape[1])
    identity = torch.eye(len(weights), dtype=torch.float64, device=differences.device)
    active = torch.ones(len(differences), dtype=torch.bool, device=differences.device)
    for _ in range(most):
        within = differences[active]
        weights = torch.linalg.solve(identity + 2 * COST * within.T @ within, 2 * COST * within.sum(dim=0))
        now = differences @ weights < 1
        if torch.equal(now, active):
            break
        active = now
    return weights.to(subspace)
