"""HC, RC and Itti-Koch against their definitions, as loops over colours, regions and pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from arn.classical import centre_surround as itti_koch
from arn.classical import histogram_contrast as hc
from arn.classical import region_contrast as rc
from arn.classical.common import lab, min_max


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(0, 256, (4, 5, 3)), np.ones((6, 6, 1))) + rng.integers(-25, 25, (24, 30, 3))
    return np.clip(blocks, 0, 255).astype(np.uint8)


def test_quantise_keeps_the_frequent_colours_and_moves_the_rare_to_the_nearest(picture: np.ndarray) -> None:
    palette = hc.quantise(picture, levels=6, cover=0.8)
    colours, pixels = lab(picture).reshape(-1, 3), {}
    for place, rgb in enumerate(picture.reshape(-1, 3)):
        pixels.setdefault(tuple(int(v) * 6 // 256 for v in rgb), []).append(place)
    ranked = sorted(pixels, key=lambda key: (-len(pixels[key]), key))
    kept, covered = [], 0
    while covered < 0.8 * len(colours):
        kept.append(ranked[len(kept)])
        covered += len(pixels[kept[-1]])
    means = {key: colours[places].mean(axis=0) for key, places in pixels.items()}
    expected = np.empty(len(colours), int)
    for key, places in pixels.items():
        away = [np.linalg.norm(means[key] - means[k]) for k in kept]
        expected[places] = int(np.argmin(away))
    assert len(kept) < len(pixels)  # something was rare
    assert len(palette.frequency) == len(kept)
    np.testing.assert_array_equal(palette.codes.ravel(), expected)
    np.testing.assert_allclose(palette.frequency, np.bincount(expected) / len(expected))
    np.testing.assert_allclose(palette.distance[0, 1], np.linalg.norm(means[kept[0]] - means[kept[1]]), rtol=1e-5)


def test_hc_without_smoothing_is_the_mean_distance_to_every_pixel(picture: np.ndarray) -> None:
    palette = hc.quantise(picture)
    flat = palette.codes.ravel()
    per_pixel = np.array([palette.distance[code, flat].mean() for code in flat]).reshape(picture.shape[:2])
    np.testing.assert_allclose(hc.hc(picture, neighbours=None), min_max(per_pixel), atol=1e-6)


def test_smoothing_over_colours_is_its_sum() -> None:
    rng = np.random.default_rng(1)
    points, saliency = rng.random((12, 3)), rng.random(12)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    smoothed = hc.smooth_over_colours(saliency, distance, 0.25)
    for i in range(12):
        nearest = sorted(range(12), key=lambda j, i=i: distance[i, j])[:3]
        total = sum(distance[i, j] for j in nearest)
        expected = sum((total - distance[i, j]) * saliency[j] for j in nearest) / ((3 - 1) * total)
        assert smoothed[i] == pytest.approx(expected)


def test_region_contrast_is_its_sum(picture: np.ndarray) -> None:
    labels = np.kron(np.arange(6).reshape(2, 3), np.ones((12, 10), int))
    palette = hc.quantise(picture)
    height, width = labels.shape
    where = [np.argwhere(labels == k) for k in range(6)]
    share = [(w + 0.5) / (height, width) for w in where]
    expected = []
    for k in range(6):
        total = 0.0
        for i in range(6):
            if i == k:
                continue
            codes_k, codes_i = palette.codes[labels == k], palette.codes[labels == i]
            colour = np.mean([[palette.distance[a, b] for b in codes_i] for a in codes_k])
            apart = math.dist(share[k].mean(axis=0), share[i].mean(axis=0))
            total += math.exp(-apart / 0.4) * len(codes_i) * colour
        d = np.mean([math.dist(p, (0.5, 0.5)) for p in share[k]])
        expected.append(math.exp(-9 * d**2) * total)
    np.testing.assert_allclose(rc.region_contrast(picture, labels), expected)


def test_normalise_prefers_one_peak_to_many() -> None:
    one, many = np.zeros((30, 30), np.float32), np.zeros((30, 30), np.float32)
    one[15, 15] = 3
    many[5::10, 5::10] = 3
    assert itti_koch.normalise(one).max() == pytest.approx(1)
    assert itti_koch.normalise(many).max() == pytest.approx(0)
    two = one.copy()
    two[5, 5] = 1.5
    assert itti_koch.normalise(two).max() == pytest.approx((1 - 0.5) ** 2)


@pytest.mark.parametrize("angle", itti_koch.ORIENTATIONS)
def test_orientation_answers_to_its_own_lines_and_not_to_even_gray(angle: float) -> None:
    y, x = np.mgrid[:64, :64].astype(np.float32)
    along = np.deg2rad(angle)
    grating = np.sin(2 * np.pi / itti_koch.WAVELENGTH * (x * np.cos(along) + y * np.sin(along))).astype(np.float32)
    answers = {a: itti_koch.oriented(grating, a)[20:-20, 20:-20].mean() for a in itti_koch.ORIENTATIONS}
    assert max(answers, key=lambda a: answers[a]) == angle
    assert itti_koch.oriented(np.full((20, 20), 0.7, np.float32), angle).max() < 1e-6


def test_the_odd_one_out_is_the_brightest_place_of_itti_kochs_map() -> None:
    canvas = np.full((240, 320, 3), 90, np.uint8)
    for y in range(30, 240, 60):
        for x in range(30, 320, 65):
            canvas[y - 8 : y + 8, x - 8 : x + 8] = (60, 130, 60)
    canvas[90 - 8 : 90 + 8, 160 - 8 : 160 + 8] = (60, 130, 60)
    canvas[82:98, 152:168] = (230, 40, 40)
    saliency = itti_koch.itti_koch(canvas)
    y, x = np.unravel_index(saliency.argmax(), saliency.shape)
    assert math.dist((y, x), (90, 160)) < 20
