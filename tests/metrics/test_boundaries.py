"""Boundary IoU and mean boundary accuracy against their definitions, pixel by pixel and one threshold at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from arn.data.images import read_map, read_mask
from arn.metrics.functional import score
from arn.metrics.measures.boundary_accuracy import radii
from arn.metrics.protocols import Protocol, get_protocol

NAMES = ("biou", "mba")


def boundary(binary: np.ndarray) -> np.ndarray:
    """Pixels of the object with background, or the picture's end, within 2 % of the diagonal in both directions."""
    height, width = binary.shape
    reach = max(1, round(0.02 * math.sqrt(height**2 + width**2)))
    found = np.zeros_like(binary)
    for y, x in np.argwhere(binary):
        inside = y >= reach and x >= reach and y + reach < height and x + reach < width
        found[y, x] = not (inside and binary[y - reach : y + reach + 1, x - reach : x + reach + 1].all())
    return found


def biou(binary: np.ndarray, mask: np.ndarray) -> float:
    ours, theirs = boundary(binary), boundary(mask)
    union = np.count_nonzero(ours | theirs)
    return np.count_nonzero(ours & theirs) / union if union else 0.0


def mba(binary: np.ndarray, mask: np.ndarray) -> float:
    height, width = mask.shape
    shares = []
    for step in range(5):
        radius = 1 + int(((width + height) / 300 - 1) / 5 * step)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(bool)
        dy, dx = np.argwhere(disc).T - radius
        near = np.zeros_like(mask)
        for y, x in np.ndindex(mask.shape):
            ys, xs = y + dy, x + dx
            there = (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)
            values = mask[ys[there], xs[there]]
            near[y, x] = values.any() and not values.all()
        shares.append(np.mean((binary == mask)[near]) if near.any() else 0.0)
    return float(np.mean(shares))


def scaled(saliency: np.ndarray, protocol: Protocol) -> np.ndarray:
    values = saliency / 255 if saliency.dtype == np.uint8 else saliency.astype(np.float64)
    low, high = values.min(), values.max()
    if protocol.normalise == "minmax":
        return (values - low) / (high - low) if high > low else values
    return values / high if protocol.normalise == "max" and high > 0 else values


def binary_at(values: np.ndarray, threshold: int, protocol: Protocol) -> np.ndarray:
    if protocol.quantise == "truncate":
        return np.floor(values * 255) >= threshold
    return values > threshold / 255 if protocol.strict else values >= threshold / 255


def cases() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(5)
    y, x = np.mgrid[:26, :64]
    disc = (y - 12) ** 2 + (x - 25) ** 2 < 90
    noisy = np.clip(180 * disc + 40 * generator.random(disc.shape) + 10, 0, 255)
    yield noisy.astype(np.uint8), disc
    yield noisy.astype(np.uint8), (y < 15) & (x < 30)  # an object that the picture cuts off
    yield np.roll(noisy, 4, 1).astype(np.uint8), disc
    for flat in (0, 90, 255):
        yield np.full(disc.shape, flat, np.uint8), disc
    for mask in (np.zeros_like(disc), np.ones_like(disc)):
        yield noisy.astype(np.uint8), mask
    yield np.array([[200]], np.uint8), np.array([[True]])
    yield generator.integers(0, 256, (3, 170)).astype(np.uint8), generator.random((3, 170)) < 0.4


@pytest.mark.parametrize("name", ["arn2018", "pysod", "salmetric"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_every_threshold_is_the_definition(name: str, kind: type) -> None:
    protocol = get_protocol(name)
    literal = {"biou": biou, "mba": mba}
    for saliency, mask in cases():
        given = saliency if kind is np.uint8 else (saliency / 255).astype(np.float32)
        found = score(given, mask, protocol, NAMES)
        values = scaled(given, protocol)
        adaptive = values >= min(2 * values.mean(), 1)
        for measure, define in literal.items():
            for threshold in (255, 129, 128, 31, 0):
                expected = define(binary_at(values, threshold, protocol), mask)
                assert found[f"{measure}_curve"][255 - threshold] == pytest.approx(expected, abs=1e-12), threshold
            assert found[f"adaptive_{measure}"] == pytest.approx(define(adaptive, mask), abs=1e-12)
            assert found[f"best_{measure}"] == found[f"{measure}_curve"].max()


def test_above_level_128_is_what_the_authors_programs_score() -> None:
    """They take the map at > 128; ours need no normalising where they reach from 0 to 255."""
    saliency, mask = next(cases())
    saliency[0, :4] = 0, 255, 128, 129
    for name in ("arn2018", "pysod", "salmetric"):
        found = score(saliency, mask, name, NAMES)
        assert found["biou"] == pytest.approx(biou(saliency > 128, mask), abs=1e-12)
        assert found["mba"] == pytest.approx(mba(saliency > 128, mask), abs=1e-12)


def test_radii_are_the_authors() -> None:
    assert radii(300, 400) == [1, 1, 1, 1, 2]
    assert radii(1200, 1800) == [1, 2, 4, 6, 8]
    assert radii(20, 30) == [1] * 5


@pytest.mark.real
def test_real_maps_at_native_size(data_dir: Path) -> None:
    """The authors' own steps, which OpenCV takes over whole pictures."""
    square = np.ones((3, 3), np.uint8)

    def edge(binary: np.ndarray) -> np.ndarray:
        reach = max(1, round(0.02 * math.hypot(*binary.shape)))
        padded = np.pad(binary.astype(np.uint8), 1)
        return binary & ~cv2.erode(padded, square, iterations=reach)[1:-1, 1:-1].astype(bool)

    for path in sorted((data_dir / "SOD" / "maps" / "PiCANet").iterdir())[::30]:
        saliency, mask = read_map(path), read_mask(data_dir / "SOD" / "masks" / path.name)
        found = score(saliency, mask, "pysod", NAMES)
        values, truth = scaled(saliency, get_protocol("pysod")), mask > 128
        near = [
            cv2.morphologyEx(truth.astype(np.uint8), cv2.MORPH_GRADIENT, disc) > 0
            for radius in radii(*mask.shape)
            for disc in [cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))]
        ]
        for threshold in range(255, -1, -17):
            binary = np.floor(values * 255) >= threshold
            ours, theirs = edge(binary), edge(truth)
            expected = np.count_nonzero(ours & theirs) / np.count_nonzero(ours | theirs)
            assert found["biou_curve"][255 - threshold] == pytest.approx(expected, abs=1e-12)
            expected = np.mean([np.mean((binary == truth)[region]) for region in near])
            assert found["mba_curve"][255 - threshold] == pytest.approx(expected, abs=1e-12)
