"""Scenes: a drawn data set that needs nothing from outside, with exact masks.

One to three objects stand anywhere on a textured, lit and cluttered ground. What makes an object salient is what makes
one in a photograph: it is compact, it closes, and its colour and texture differ from what surrounds it. Nothing simpler
gives it away: grounds hold the brighter and the darker parts, thin lines and small specks as strong in contrast as any
object, weak blobs as large as one, and shadows beside it; objects stand off the centre and may leave the picture.

A scene depends on its seed and index alone. To give the same pixels on every machine, random numbers come from
`RandomState`, whose stream is frozen, and whole arrays are treated only with operations that IEEE arithmetic defines
exactly (+ - * / and comparisons, one at a time), or drawn by OpenCV in integers. No sin, exp or matrix product of whole
arrays: these differ in the last bit between processors.

The module is long because it is one drawing from ground to grain: every draw of random numbers comes in an order of its
own, which parts in several files would hide; and what is kept of scenes is known by the hash of this one file.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray

Part = Literal["train", "val", "test"]
Plane = NDArray[np.float32]  # H x W
Colour = NDArray[np.float32]  # red, green, blue in 0..255
Canvas = NDArray[np.float32]  # 3 x H x W in 0..255: planes keep whole-array arithmetic fast

COUNTS: dict[str, int] = {"train": 4_000, "val": 200, "test": 200}
SIDES = (200, 320)  # pixels, shortest and longest side drawn
_SEEDS: dict[str, int] = {"train": 1, "val": 2, "test": 3}

# Hue, saturation and value, each a range, of what grounds are made of.
_GROUNDS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "foliage": ((0.20, 0.40), (0.30, 0.75), (0.15, 0.65)),
    "earth": ((0.04, 0.11), (0.25, 0.60), (0.20, 0.65)),
    "sand": ((0.08, 0.14), (0.15, 0.40), (0.55, 0.90)),
    "sky": ((0.53, 0.62), (0.15, 0.60), (0.60, 0.98)),
    "sea": ((0.47, 0.60), (0.35, 0.80), (0.20, 0.60)),
    "stone": ((0.00, 1.00), (0.02, 0.12), (0.25, 0.75)),
    "snow": ((0.55, 0.65), (0.02, 0.10), (0.75, 0.97)),
    "dusk": ((0.72, 0.95), (0.15, 0.50), (0.20, 0.60)),
    "cloth": ((0.00, 1.00), (0.35, 0.85), (0.30, 0.85)),
    "night": ((0.58, 0.72), (0.20, 0.60), (0.06, 0.30)),
}


def scene(part: Part, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Scene `index` (0 to `COUNTS[part]` - 1) of a part: picture and mask as `draw_scene`; parts share no scene."""
    if not 0 <= index < COUNTS[part]:
        raise IndexError(f"scene {index} of {COUNTS[part]} in {part}")
    return draw_scene(_SEEDS[part], index)


def draw_scene(
    seed: int, index: int, size: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Scene number `index` of the endless series `seed`, both at least 0.

    Returns the picture, uint8 RGB H x W x 3, and its mask, uint8 H x W of 0 and 255.
    `size` is (height, width), each at least 32; without it both are drawn from `SIDES`.
    """
    random = RandomState([seed, index])
    height, width = (int(random.randint(SIDES[0], SIDES[1] + 1)) for _ in range(2)) if size is None else size
    light = random.uniform(-1, 1)  # from the left (-1) to the right (1), always from above
    picture = _ground(random, height, width)
    _clutter(random, picture)
    mask = _objects(random, picture, light)
    _finish(random, picture, light)
    np.clip(picture, 0, 255, out=picture)
    return cv2.merge(list(np.rint(picture, out=picture).astype(np.uint8))), mask


# ------------------------------------------------------------------------------------------------- noise and colour


def _spread(grid: Plane, height: int, width: int, cell: float) -> Plane:
    """A coarse grid of values in 0..1 as a smooth H x W plane: uniform cubic B-spline, one knot every `cell` pixels."""
    # What is smooth loses nothing between every second or fourth pixel; OpenCV's exact resize, in integers, is faster.
    step = 4 if cell >= 12 else 2 if cell >= 5 else 1
    rows, by_row = _knots(height, cell, step)
    columns, by_column = _knots(width, cell, step)
    wide = grid[:, columns] * by_column[0]
    for k in range(1, 4):
        wide += grid[:, columns + k] * by_column[k]
    plane: Plane = wide.take(rows, 0) * by_row[0][:, None]
    for k in range(1, 4):
        plane += wide.take(rows + k, 0) * by_row[k][:, None]
    if step > 1:
        plane *= np.float32(65535)
        size = len(columns) * step, len(rows) * step
        fine = cv2.resize(plane.astype(np.uint16), size, interpolation=cv2.INTER_LINEAR_EXACT)
        plane = fine[:height, :width].astype(np.float32)
        plane *= np.float32(1 / 65535)
    return plane


def _knots(length: int, cell: float, step: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For the centre of every `step` pixels: the first of its four knots, and their weights (4 x N)."""
    at = (np.arange(0, length, step, dtype=np.float32) + np.float32((step - 1) / 2)) * np.float32(1 / cell)
    knot = at.astype(np.intp)
    t = at - knot
    u = np.float32(1) - t
    weights = np.empty((4, len(t)), np.float32)
    weights[0], weights[3] = u * u * u, t * t * t
    weights[1] = np.float32(4) - np.float32(3) * t * t * (u + np.float32(1))
    weights[2] = np.float32(4) - np.float32(3) * u * u * (t + np.float32(1))
    weights *= np.float32(1 / 6)
    return knot, weights


def _noise(random: RandomState, height: int, width: int, cell: float, stretch: float = 1.0) -> Plane:
    """Smooth noise in 0..1, with blobs of about `cell` pixels in height and `cell * stretch` in width."""
    wide = max(int(width / stretch), 1)
    grid = random.random_sample((int(height / cell) + 5, int(wide / cell) + 5)).astype(np.float32)
    plane = _spread(grid, height, wide, cell)
    if stretch != 1.0:
        plane = plane[:, np.minimum((np.arange(width) / stretch).astype(np.intp), wide - 1)]
    return _stretched(plane)


def _stretched(plane: Plane) -> Plane:
    """The plane, in place, moved and scaled to 0..1."""
    low, high = plane.min(), plane.max()
    plane -= low
    plane *= np.float32(1) / max(high - low, np.float32(1e-6))
    return plane


def _fractal(random: RandomState, height: int, width: int, cell: float, rough: float) -> Plane:
    """Three octaves of noise in about 0..1, each `rough` times as strong as the coarser one."""
    plane = _noise(random, height, width, cell)
    total, strength = 1.0, 1.0
    for _ in range(2):
        cell, strength = max(cell / 2.7, 2.5), strength * rough
        plane += _noise(random, height, width, cell) * np.float32(strength)
        total += strength
    plane *= np.float32(1 / total)
    return plane


def _wave(plane: Plane) -> Plane:
    """A triangle wave of period 1, in 0..1: what a sine would be, in exact arithmetic."""
    return np.abs((plane - np.floor(plane)) * np.float32(2) - np.float32(1))


def _ramp(height: int, width: int, angle: float) -> Plane:
    """Distance in pixels along a direction."""
    across = np.arange(width, dtype=np.float32) * np.float32(math.cos(angle))
    down = np.arange(height, dtype=np.float32) * np.float32(math.sin(angle))
    return across[None, :] + down[:, None]


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32) * np.float32(255)


def _colours(random: RandomState, kind: str, count: int = 4) -> NDArray[np.float32]:
    """A table of 256 colours that runs through `count` neighbours in hue, from dark to light."""
    hues, saturations, values = _GROUNDS[kind]
    hue, spread = random.uniform(*hues), random.uniform(0.01, 0.06)
    low, high = sorted(random.uniform(*values, size=2))
    low = max(low - random.uniform(0.1, 0.3), 0.02)
    keys = np.stack(
        [
            _hsv(hue + random.uniform(-spread, spread), random.uniform(*saturations), low + (high - low) * step)
            for step in np.linspace(0, 1, count)
        ]
    )
    at = np.linspace(0, count - 1, 256)
    return np.stack([np.interp(at, np.arange(count), keys[:, channel]) for channel in range(3)], 1).astype(np.float32)


def _levels(plane: Plane) -> NDArray[np.uint8]:
    """A plane in 0..1 as 256 levels; what lies outside is cut off."""
    return np.clip(plane * np.float32(255), 0, 255).astype(np.uint8)


def _paint(levels: NDArray[np.uint8], table: NDArray[np.float32]) -> Canvas:
    """Levels as the colours of a table of 256."""
    return np.stack([cv2.LUT(levels, np.ascontiguousarray(channel)) for channel in table.T])


def _contrast(one: NDArray[np.float32], other: NDArray[np.float32]) -> Any:
    """How far apart colours look, about 0..255: lightness, and half of it each red-green and yellow-blue."""
    difference = one - other
    red, green, blue = difference[..., 0], difference[..., 1], difference[..., 2]
    light = 0.3 * red + 0.59 * green + 0.11 * blue
    return np.sqrt(light**2 + 0.25 * (red - green) ** 2 + 0.25 * (0.5 * (red + green) - blue) ** 2)


def _blend(picture: Canvas, colour: NDArray[np.float32], alpha: Plane) -> None:
    """Lays one colour (of 3) or a canvas of colours over the picture in place, with opacity `alpha` in 0..1."""
    for channel, over in zip(picture, colour, strict=True):
        channel += (over - channel) * alpha


def _window(mask: NDArray[np.uint8], margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold all that is drawn, and `margin` pixels more where the picture has them."""
    left, top, width, high = cv2.boundingRect(mask)
    return (
        slice(max(top - margin, 0), min(top + high + margin, mask.shape[0])),
        slice(max(left - margin, 0), min(left + width + margin, mask.shape[1])),
    )


def _softened(mask: NDArray[np.uint8]) -> Plane:
    """A hard mask (0 or 255) as opacity with an edge about a pixel wide: binomial filter of 3 x 3."""
    padded = np.pad(mask, 1, mode="edge").astype(np.uint16)
    rows = padded[:-2] + padded[1:-1] * 2 + padded[2:]
    return (rows[:, :-2] + rows[:, 1:-1] * 2 + rows[:, 2:]).astype(np.float32) / np.float32(16 * 255)


def _blurred(mask: NDArray[np.uint8], reach: float) -> Plane:
    """A mask as a plane in 0..1, blurred over about `reach` pixels."""
    height, width = mask.shape
    cell = max(int(reach), 1)
    rows = np.minimum((np.arange(height // cell + 5) - 1) * cell, height - 1).clip(0)
    columns = np.minimum((np.arange(width // cell + 5) - 1) * cell, width - 1).clip(0)
    grid = mask[rows][:, columns].astype(np.float32) / np.float32(255)
    return _spread(grid, height, width, cell)


# ----------------------------------------------------------------------------------------------------------- ground


def _ground(random: RandomState, height: int, width: int) -> Canvas:
    kinds = list(_GROUNDS)
    picture = _surface(random, height, width, kinds[random.randint(len(kinds))])
    if random.random_sample() < 0.6:  # a second surface below a wavy horizon, or beside a slanting edge
        slant = 0.15 if random.random_sample() < 0.7 else 1.5
        angle = math.pi / 2 + random.uniform(-slant, slant)
        edge = _stretched(_ramp(height, width, angle))
        edge += np.float32(random.uniform(0, 0.25)) * (_noise(random, height, width, random.uniform(15, 60)) - 0.5)
        sharp = random.uniform(4, 60)
        alpha = np.clip((edge - np.float32(random.uniform(0.3, 0.75))) * np.float32(sharp), 0, 1)
        _blend(picture, _surface(random, height, width, kinds[random.randint(len(kinds))]), alpha)
    return picture


def _surface(random: RandomState, height: int, width: int, kind: str) -> Canvas:
    table = _colours(random, kind)
    side = min(height, width)
    plane = _fractal(random, height, width, side * random.uniform(0.08, 0.45), random.uniform(0.25, 0.7))
    pattern = random.randint(6)
    if pattern == 0:  # planks, sand ripples, cloth: stripes that noise bends
        period = random.uniform(7, 40)
        bent = _ramp(height, width, random.uniform(0, math.pi)) / np.float32(period)
        bent += plane * np.float32(random.uniform(0.2, 2.5))
        plane = plane * np.float32(0.6) + _wave(bent) * np.float32(random.uniform(0.15, 0.4))
    elif pattern == 1:  # water, clouds: noise drawn out to the side
        drawn_out = _noise(random, height, width, random.uniform(4, 14), random.uniform(3, 8))
        plane = plane * np.float32(0.5) + drawn_out * np.float32(0.5)
    elif pattern == 2:  # a smooth wall: mostly light
        plane *= np.float32(0.25)
        plane += np.float32(0.75) * _stretched(_ramp(height, width, random.uniform(0, 2 * math.pi)))
    elif pattern == 3:  # bricks, tiles: a mesh of thin lines
        period = random.uniform(14, 48)
        angle = random.uniform(-0.2, 0.2)
        across = _wave(_ramp(height, width, angle) / np.float32(period * random.uniform(1, 2)))
        down = _wave(_ramp(height, width, angle + math.pi / 2) / np.float32(period))
        joint = np.maximum(across, down) > np.float32(1 - 3.5 / period)
        plane = plane * np.float32(0.7) + (np.float32(0.15) - joint * np.float32(random.uniform(-0.3, 0.3)))
    levels = _levels(plane)
    if pattern >= 4:  # grass, gravel, leaves: many small strokes of the surface's own colours
        _strokes(random, levels)
    return _paint(levels, table)


def _strokes(random: RandomState, levels: NDArray[np.uint8]) -> None:
    height, width = levels.shape
    count = int(height * width / random.uniform(90, 400))
    length, angle, fan = random.uniform(2, 14), random.uniform(0, math.pi), random.uniform(0.1, 1.6)
    ys, xs = random.randint(0, height, count).tolist(), random.randint(0, width, count).tolist()
    directions = (angle + random.uniform(-fan, fan, count)).tolist()
    lengths = (length * random.uniform(0.4, 1.3, count)).tolist()
    colours = random.randint(40, 256, count).tolist()
    thickness = 1 + int(random.randint(2))
    for y, x, direction, long, colour in zip(ys, xs, directions, lengths, colours, strict=True):
        end = int(x + long * math.cos(direction)), int(y + long * math.sin(direction))
        cv2.line(levels, (x, y), end, colour, thickness)


# ---------------------------------------------------------------------------------------------------------- clutter


def _clutter(random: RandomState, picture: Canvas) -> None:
    """What a method must not take for an object: weak blobs, thin lines, specks."""
    height, width = picture.shape[1:]
    side = min(height, width)
    for _ in range(int(random.randint(0, 9))):  # blobs as large as objects, but close to the ground's colour there
        mask = np.zeros((height, width), np.uint8)
        y, x = random.randint(0, height), random.randint(0, width)
        _fill(mask, _blob(random), x, y, side * random.uniform(0.04, 0.22), random.uniform(0, 6.3))
        colour = picture[:, y, x] * np.float32(random.uniform(0.75, 1.25)) + np.float32(random.uniform(-12, 12))
        reach = random.uniform(3, 10) if random.random_sample() < 0.7 else 0.0
        window = _window(mask, int(3 * reach) + 1)
        alpha = _blurred(mask[window], reach) if reach else _softened(mask[window])
        alpha *= np.float32(random.uniform(0.3, 0.7))
        _blend(picture[:, *window], colour, alpha)
    if random.random_sample() < 0.4:  # wires, twigs, cracks: strong but thin
        colour = _hsv(random.uniform(0, 1), random.uniform(0, 0.5), random.choice([0.08, 0.15, 0.85, 0.95]))
        lines = np.zeros((height, width), np.uint8)
        for _ in range(int(random.randint(1, 6))):
            (y0, y1), (x0, x1) = random.uniform(-0.2, 1.2, 2) * height, random.uniform(-0.2, 1.2, 2) * width
            bend = random.uniform(-0.25, 0.25) * side
            t = np.linspace(0, 1, 20)
            points = np.stack([x0 + (x1 - x0) * t + bend * 4 * t * (1 - t), y0 + (y1 - y0) * t], 1)
            cv2.polylines(lines, [np.rint(points).astype(np.int32)], False, 255, 1 + int(random.randint(2)))
        _blend(picture, colour, _softened(lines) * np.float32(random.uniform(0.5, 1)))
    if random.random_sample() < 0.4:  # petals, pebbles, lights: strong but small
        colour = _hsv(random.uniform(0, 1), random.uniform(0.1, 0.9), random.uniform(0.3, 1))
        specks = np.zeros((height, width), np.uint8)
        for _ in range(int(random.randint(5, 70))):
            centre = int(random.randint(0, width)), int(random.randint(0, height))
            cv2.circle(specks, centre, int(random.randint(0, 3)), 255, -1)
        _blend(picture, colour, _softened(specks) * np.float32(random.uniform(0.5, 1)))


# ---------------------------------------------------------------------------------------------------------- objects

Outline = list[tuple[NDArray[np.float64], bool]]
"""Closed curves in a unit frame (N x 2, x and y in about -1..1), each filled (True) or cut out (False) in turn."""


def _solid(*curves: ArrayLike) -> Outline:
    return [(np.array(curve, np.float64), True) for curve in curves]


def _circle(x: float = 0, y: float = 0, rx: float = 1, ry: float | None = None, tilt: float = 0) -> NDArray[np.float64]:
    t = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    points = np.stack([np.cos(t) * rx, np.sin(t) * (rx if ry is None else ry)], 1)
    return _turned(points, tilt) + np.array((x, y))


def _turned(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.stack([points[:, 0] * cos - points[:, 1] * sin, points[:, 0] * sin + points[:, 1] * cos], 1)


def _rounded(corners: NDArray[np.float64], times: int = 3) -> NDArray[np.float64]:
    """A polygon with its corners cut `times` times (Chaikin): a smooth closed curve."""
    for _ in range(times):
        following = np.roll(corners, -1, 0)
        corners = np.stack([0.75 * corners + 0.25 * following, 0.25 * corners + 0.75 * following], 1).reshape(-1, 2)
    return corners


def _bevelled(corners: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """A polygon with small round corners, that take `share` (below .5) of each side."""
    after, before = np.roll(corners, -1, 0), np.roll(corners, 1, 0)
    pair = [corners + share * (before - corners), corners, corners + share * (after - corners)]
    return _rounded(np.stack(pair, 1).reshape(-1, 2), 2)


def _blob(random: RandomState) -> Outline:
    count = int(random.randint(6, 11))
    angles = (np.arange(count) + random.uniform(-0.25, 0.25, count)) * (2 * math.pi / count)
    radii = random.uniform(0.6, 1.1, count)
    return _solid(_rounded(np.stack([np.cos(angles) * radii, np.sin(angles) * radii * random.uniform(0.6, 1)], 1)))


def _block(random: RandomState) -> Outline:
    wide, high = random.uniform(0.55, 1), random.uniform(0.45, 1)
    corners = np.array([(-wide, -high), (wide, -high), (wide, high), (-wide, high)]) + random.uniform(-0.2, 0.2, (4, 2))
    return _solid(_bevelled(corners, random.uniform(0.02, 0.35)))


def _star(random: RandomState) -> Outline:
    points = int(random.randint(4, 9))
    t = np.arange(2 * points) * (math.pi / points)
    radii = np.where(np.arange(2 * points) % 2 == 0, 1.0, random.uniform(0.4, 0.75))
    return _solid(_rounded(np.stack([np.cos(t) * radii, np.sin(t) * radii], 1), int(random.randint(0, 4))))


def _fish(random: RandomState) -> Outline:
    high, tail = random.uniform(0.3, 0.55), random.uniform(0.3, 0.55)
    tail_fin = [(-0.55, 0), (-1.15, -tail), (-0.95, 0), (-1.15, tail)]
    back_fin = np.array([(-0.2, -high * 0.8), (0.15, -high - 0.3), (0.3, -high * 0.7)])
    return _solid(_circle(0.1, 0, 0.85, high), tail_fin, _rounded(back_fin, 1))


def _bird(random: RandomState) -> Outline:
    raised = random.uniform(0.2, 0.9)
    wing = [(-0.25, 0), (0.3, -0.05), (0.05, -raised), (-0.5, -raised - 0.25)]
    beak, tail = [(0.85, -0.35), (1.2, -0.22), (0.85, -0.15)], [(-0.5, -0.1), (-1.15, -0.1), (-1.1, 0.25), (-0.5, 0.2)]
    return _solid(_circle(0, 0.05, 0.7, 0.4, -0.15), _circle(0.65, -0.27, 0.27), wing, beak, tail)


def _beast(random: RandomState) -> Outline:
    """Four legs, a body, a head with an ear, a tail."""
    belly, leg = random.uniform(0.28, 0.42), random.uniform(0.45, 0.75)
    neck = [(0.3, -0.1), (0.6, -0.5), (0.9, -0.3), (0.65, 0.15)]
    ear = [(0.6, -0.5), (0.62, -0.85), (0.8, -0.58)]
    parts: list[ArrayLike] = [_circle(0, 0, 0.75, belly), _circle(0.78, -0.4, 0.3, 0.23, 0.3), neck, ear]
    for x in (-0.6, -0.35, 0.3, 0.55):
        step = random.uniform(-0.15, 0.15)
        parts.append([(x - 0.09, 0), (x + 0.09, 0), (x + 0.07 + step, leg), (x - 0.07 + step, leg)])
    rise = random.uniform(-0.6, 0.2)
    return _solid(*parts, [(-0.65, -0.15), (-0.62, 0), (-1.1, rise + 0.1), (-1.15, rise)])


def _mug(random: RandomState) -> Outline:
    narrow, high = random.uniform(0.75, 1), random.uniform(0.65, 0.95)
    cup = np.array([(-0.65, -high), (0.65, -high), (0.65 * narrow, high), (-0.65 * narrow, high)])
    handle, hole = _circle(0.68, 0, 0.4, 0.45 * high), _circle(0.68, 0, 0.24, 0.29 * high)
    return [(handle, True), (hole, False), (_bevelled(cup, 0.12), True)]


def _ring(random: RandomState) -> Outline:
    flat, hole = random.uniform(0.6, 1), random.uniform(0.3, 0.6)
    return [(_circle(0, 0, 1, flat), True), (_circle(0, 0, hole, hole * flat), False)]


def _mushroom(random: RandomState) -> Outline:
    t = np.linspace(math.pi, 2 * math.pi, 32)
    cap = np.stack([np.cos(t), np.sin(t) * random.uniform(0.6, 1) + 0.05], 1)
    foot = random.uniform(0.2, 0.4)
    stem = np.array([(-foot * 0.8, 0), (foot * 0.8, 0), (foot, 0.9), (-foot, 0.9)])
    return _solid(_bevelled(stem, 0.1), cap)


def _leaf(random: RandomState) -> Outline:
    t = np.linspace(0, 1, 32)
    bulge = random.uniform(0.9, 1.7) * t * (1 - t) * (1.4 - 0.8 * t)
    blade = np.concatenate([np.stack([2 * t - 1, bulge], 1), np.stack([2 * t - 1, -bulge], 1)[::-1]])
    return _solid(blade, [(-0.95, -0.04), (-1.35, 0.05), (-1.35, 0.12), (-0.95, 0.04)])


# Standing things keep upright, within this many radians; the others turn freely.
_SHAPES: tuple[tuple[Callable[[RandomState], Outline], float], ...] = (
    (_blob, math.pi),
    (_block, math.pi),
    (_star, math.pi),
    (_fish, 0.6),
    (_bird, 0.4),
    (_beast, 0.15),
    (_mug, 0.15),
    (_ring, math.pi),
    (_mushroom, 0.2),
    (_leaf, math.pi),
)


def _fill(mask: NDArray[np.uint8], outline: Outline, x: float, y: float, radius: float, angle: float) -> None:
    """Draws an outline of about `radius` pixels at (x, y), to a sixteenth of a pixel."""
    for points, filled in outline:
        placed = np.rint((_turned(points, angle) * radius + np.array((x, y))) * 16).astype(np.int32)
        cv2.fillPoly(mask, [placed], 255 if filled else 0, shift=4)


def _objects(random: RandomState, picture: Canvas, light: float) -> NDArray[np.uint8]:
    """Paints one to three objects on the picture, in place; returns their exact mask."""
    height, width = picture.shape[1:]
    area = height * width
    whole = np.zeros((height, width), np.uint8)
    count = 1 + int(random.choice(3, p=[0.6, 0.25, 0.15]))
    small, large = ((0.05, 0.30), (0.04, 0.14), (0.03, 0.10))[count - 1]
    alike = random.random_sample() < 0.6  # a flock, or things that happen to be together
    kind = int(random.randint(len(_SHAPES)))
    shape, lean = _SHAPES[kind]
    skin: _Skin | None = None
    for _ in range(count):
        if not alike:
            shape, lean = _SHAPES[int(random.randint(len(_SHAPES)))]
        outline = shape(random)
        share = small * (large / small) ** random.random_sample()
        flip = random.random_sample() < 0.5
        for attempt in range(12):
            mask = np.zeros((height, width), np.uint8)
            radius = math.sqrt(share * area / 2.0)
            y, x = random.uniform(0.12, 0.88) * height, random.uniform(0.12, 0.88) * width
            _fill(mask, outline, x, y, radius, random.uniform(-lean, lean))
            if flip:
                mask = np.ascontiguousarray(mask[:, ::-1])
            seen = cv2.countNonZero(mask)
            # Most of it in the picture, and apart from what is there; the last attempts are less particular.
            inside = seen > (0.022 if attempt < 9 else 0.018) * area
            apart = cv2.countNonZero(cv2.bitwise_and(mask, whole)) < 0.05 * seen
            if inside and (apart or (attempt >= 9 and not whole.any())):
                break
        else:
            continue
        if skin is None or not alike:
            skin = _skin(random, picture, mask)
        _lay(random, picture, mask, skin, light)
        whole |= mask
    if not whole.any():  # as good as never: a ring's or fish's twelve places all poor
        radius = math.sqrt(0.1 * area / math.pi)
        _fill(whole, [(_circle(), True)], width / 2, height / 2, radius, 0)
        _lay(random, picture, whole, _skin(random, picture, whole), light)
    return whole


@dataclass(frozen=True)
class _Skin:
    """An object's colours and texture."""

    main: Colour
    second: Colour
    texture: int
    scale: float  # of the texture, in parts of the object's own side


def _skin(random: RandomState, picture: Canvas, mask: NDArray[np.uint8]) -> _Skin:
    """Colours that stand out from the ground around `mask`: clearly or by little."""
    height, width = mask.shape
    left, top, wide, high = cv2.boundingRect(mask)
    around = picture[:, top : top + high : max(high // 8, 1), left : left + wide : max(wide // 8, 1)]
    whole = picture[:, :: max(height // 12, 1), :: max(width // 12, 1)]
    ground = np.concatenate([around.reshape(3, -1), whole.reshape(3, -1)], 1).T
    wanted = random.uniform(36, 100)
    best, error = _hsv(0, 0, 0), math.inf
    for _ in range(16):
        if random.random_sample() < 0.3:  # white, black, gray
            colour = _hsv(random.uniform(0, 1), random.uniform(0, 0.1), random.uniform(0.05, 0.97))
        else:
            colour = _hsv(random.uniform(0, 1), random.uniform(0.2, 0.95), random.uniform(0.2, 0.98))
        apart = float(np.sort(_contrast(ground, colour))[len(ground) // 5])
        if abs(apart - wanted) < error:
            best, error = colour, abs(apart - wanted)
    turn = random.uniform(-0.12, 0.12) if random.random_sample() < 0.6 else random.uniform(0.3, 0.7)
    hue, saturation, value = colorsys.rgb_to_hsv(*(float(channel) / 255 for channel in best))
    value = value * 0.6 if value > 0.55 else min(value * 1.6 + 0.2, 1.0)
    second = _hsv(hue + turn, min(saturation * random.uniform(0.6, 1.2), 1.0), value)
    if float(np.sort(_contrast(ground, second))[len(ground) // 5]) < 30:  # it would dissolve into the ground
        second = best * np.float32(0.75)
    return _Skin(best, second, int(random.randint(6)), random.uniform(0.08, 0.25))


def _lay(random: RandomState, picture: Canvas, mask: NDArray[np.uint8], skin: _Skin, light: float) -> None:
    """Paints one object with texture, roundness and cast shadow."""
    height, width = mask.shape
    _, _, wide, high = cv2.boundingRect(mask)
    side = math.sqrt(wide * high)
    if random.random_sample() < 0.7:
        reach = side * random.uniform(0.06, 0.14)
        down, across = int(side * random.uniform(0.03, 0.14)), int(-light * side * 0.12)
        window = _window(mask, int(3 * reach) + abs(across) + down)
        fallen = np.zeros_like(mask)  # the mask, moved away from the light
        moved = mask[: height - down, max(-across, 0) : width - max(across, 0)]
        fallen[down:, max(across, 0) : width + min(across, 0)] = moved
        shadow = _blurred(fallen[window], reach)
        picture[:, *window] *= 1 - np.float32(random.uniform(0.2, 0.55)) * shadow

    window = _window(mask, 1)  # one pixel more for the soft edge
    patch, mask = picture[:, *window], mask[window]
    rows, columns = mask.shape
    fine = _fractal(random, rows, columns, max(side * 0.2, 4), 0.5)
    share = fine * np.float32(0.35)
    cell = max(side * skin.scale, 4)
    if skin.texture == 1:  # stripes
        bent = _ramp(rows, columns, random.uniform(0, math.pi)) / np.float32(cell) + fine * np.float32(0.5)
        share = np.clip(_wave(bent) * np.float32(4) - np.float32(1.6), 0, 1)
    elif skin.texture == 2:  # spots
        spots = np.zeros((rows, columns), np.uint8)
        for _ in range(int(min(2.2 * (wide * high) / cell**2, 120))):
            centre = int(random.randint(0, columns)), int(random.randint(0, rows))
            cv2.circle(spots, centre, max(int(cell * random.uniform(0.1, 0.32)), 1), 255, -1)
        share = _softened(spots)
    elif skin.texture == 3:  # patches
        share = np.clip((_noise(random, rows, columns, cell) - np.float32(0.5)) * np.float32(9), 0, 1)
    elif skin.texture == 4:  # two halves
        half = _ramp(rows, columns, random.uniform(0, 2 * math.pi))
        share = np.clip((half - half.mean()) * np.float32(0.5), 0, 1)
    # Round: lit towards the light, which stands above; darker at the rim.
    lit = _stretched(_ramp(rows, columns, math.pi / 2 - light))
    lit -= np.float32(0.9) * _blurred(mask, max(side * 0.1, 2))
    depth = np.float32(random.uniform(0.1, 0.4))
    shade = (np.float32(1) - depth * (lit + np.float32(0.25))) * (np.float32(0.88) + np.float32(0.24) * fine)
    colours = [(one + share * (other - one)) * shade for one, other in zip(skin.main, skin.second, strict=True)]
    _blend(patch, np.stack(colours), _softened(mask))


def _finish(random: RandomState, picture: Canvas, light: float) -> None:
    """Light that falls off across the whole picture, and a camera's grain."""
    height, width = picture.shape[1:]
    fall = _stretched(_ramp(height, width, math.pi / 2 - light))
    picture *= np.float32(1.06) - np.float32(random.uniform(0, 0.3)) * fall
    grain = np.frombuffer(random.bytes(height * width), np.uint8).reshape(height, width).astype(np.float32)
    picture += (grain - np.float32(127.5)) * np.float32(random.uniform(0.01, 0.06))
