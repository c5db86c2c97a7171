"""Scenes: a drawn data set that needs nothing from outside, with exact masks.

One to three objects stand anywhere on a textured, lit and cluttered ground. As in a photograph an object is compact, it
closes, and its colour and texture differ from what surrounds it. Nothing simpler gives it away: grounds hold the
brighter and the darker parts, thin lines and small specks as strong in contrast as any object, weak blobs as large as
one, and shadows beside it; objects stand off the centre and may leave the picture.

A scene depends on its seed and index alone. To give the same pixels on every machine, random numbers come from
`RandomState`, whose stream is frozen, and whole arrays are treated only with operations that IEEE arithmetic defines
exactly (+ - * / and comparisons, one at a time), or drawn by OpenCV in integers. No sin, exp or matrix product of whole
arrays: these differ in the last bit between processors. Float32 arrays stay so beside Python's floats.

It is one module since the draws of random numbers have one order, and what is kept of scenes is known by its hash.
"""

from __future__ import annotations

import colorsys
import math
from typing import Literal

import cv2
import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray

Part = Literal["train", "val", "test"]
Mask = NDArray[np.uint8]  # H x W, 0 or 255
Plane = NDArray[np.float32]  # H x W
Colour = NDArray[np.float32]  # red, green, blue in 0..255
Canvas = NDArray[np.float32]  # 3 x H x W in 0..255: planes keep whole-array arithmetic fast
Points = NDArray[np.float64]  # N x 2, x and y

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


def scene(part: Part, index: int) -> tuple[NDArray[np.uint8], Mask]:
    """Scene `index` (0 to `COUNTS[part]` - 1) of a part: picture and mask as `draw_scene`; parts share no scene."""
    if not 0 <= index < COUNTS[part]:
        raise IndexError(f"scene {index} of {COUNTS[part]} in {part}")
    return draw_scene(_SEEDS[part], index)


def draw_scene(seed: int, index: int, size: tuple[int, int] | None = None) -> tuple[NDArray[np.uint8], Mask]:
    """Scene `index` of the endless series `seed`: picture, uint8 RGB H x W x 3, and mask, uint8 H x W of 0 and 255.

    `size` is (height, width), each at least 32; without it both are drawn from `SIDES`.
    """
    random = RandomState([seed, index])
    height, width = (random.randint(SIDES[0], SIDES[1] + 1) for _ in range(2)) if size is None else size
    light = random.uniform(-1, 1)  # from the left (-1) to the right (1), always from above
    picture = _ground(random, height, width)
    _clutter(random, picture)
    mask = _objects(random, picture, light)
    # Light that falls off across the whole picture, and a camera's grain.
    picture *= 1.06 - random.uniform(0, 0.3) * _stretched(_ramp(height, width, math.pi / 2 - light))
    grain = np.frombuffer(random.bytes(height * width), np.uint8).reshape(height, width).astype(np.float32)
    picture += (grain - 127.5) * random.uniform(0.01, 0.06)
    return cv2.merge(list(np.rint(picture.clip(0, 255)).astype(np.uint8))), mask


def _spread(grid: Plane, height: int, width: int, cell: float) -> Plane:
    """A coarse grid of values in 0..1 as a smooth H x W plane: uniform cubic B-spline, one knot every `cell` pixels."""
    # What is smooth loses nothing between every second or fourth pixel; OpenCV's exact resize, in integers, is faster.
    step = 4 if cell >= 12 else 2 if cell >= 5 else 1
    plane = _spline(_spline(grid.T, width, cell, step).T, height, cell, step)
    if step > 1:
        rows, columns = plane.shape
        levels = (plane * 65535).astype(np.uint16)
        fine = cv2.resize(levels, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR_EXACT)
        plane = fine[:height, :width].astype(np.float32) * np.float32(1 / 65535)
    return plane


def _spline(grid: Plane, length: int, cell: float, step: int) -> Plane:
    """Rows of a grid brought to one row for every `step` of `length` pixels, at its centre."""
    at = (np.arange(0, length, step, dtype=np.float32) + (step - 1) / 2) * np.float32(1 / cell)
    knot = at.astype(np.intp)
    t = (at - knot)[:, None]
    u = 1 - t
    plane = np.zeros((len(at), grid.shape[1]), np.float32)
    for k, weight in enumerate((u * u * u, 4 - 3 * t * t * (u + 1), 4 - 3 * u * u * (t + 1), t * t * t)):
        plane += grid.take(knot + k, 0) * (weight.astype(np.float32) * np.float32(1 / 6))
    return plane


def _noise(random: RandomState, height: int, width: int, cell: float) -> Plane:
    """Smooth noise in 0..1, with blobs of about `cell` pixels."""
    grid = random.random_sample((int(height / cell) + 5, int(width / cell) + 5)).astype(np.float32)
    return _stretched(_spread(grid, height, width, cell))


def _stretched(plane: Plane) -> Plane:
    """The plane, in place, moved and scaled to 0..1."""
    low, high = plane.min(), plane.max()
    plane -= low
    plane *= 1 / max(high - low, np.float32(1e-6))
    return plane


def _fractal(random: RandomState, height: int, width: int, cell: float, rough: float) -> Plane:
    """Three octaves of noise in about 0..1, each `rough` times as strong as the coarser one."""
    plane = _noise(random, height, width, cell)
    total, strength = 1.0, 1.0
    for _ in range(2):
        cell, strength = max(cell / 2.7, 2.5), strength * rough
        plane += _noise(random, height, width, cell) * strength
        total += strength
    plane *= 1 / total
    return plane


def _wave(plane: Plane) -> Plane:
    """A triangle wave of period 1, in 0..1: what a sine would be, in exact arithmetic."""
    return np.abs((plane - np.floor(plane)) * 2 - 1)


def _ramp(height: int, width: int, angle: float) -> Plane:
    """Distance in pixels along a direction."""
    across = np.arange(width, dtype=np.float32) * math.cos(angle)
    down = np.arange(height, dtype=np.float32) * math.sin(angle)
    return across[None, :] + down[:, None]


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32) * 255


def _colours(random: RandomState) -> NDArray[np.float32]:
    """A table, 3 x 256, that runs through four neighbours in hue of some ground, from dark to light."""
    hues, saturations, values = list(_GROUNDS.values())[random.randint(len(_GROUNDS))]
    hue, spread = random.uniform(*hues), random.uniform(0.01, 0.06)
    low, high = sorted(random.uniform(*values, size=2))
    low = max(low - random.uniform(0.1, 0.3), 0.02)
    keys = [
        _hsv(hue + random.uniform(-spread, spread), random.uniform(*saturations), low + (high - low) * step)
        for step in np.linspace(0, 1, 4)
    ]
    at = np.linspace(0, 3, 256)
    return np.stack([np.interp(at, np.arange(4), channel) for channel in np.transpose(keys)]).astype(np.float32)


def _contrast(ground: NDArray[np.float32], colour: Colour) -> float:
    """How far a colour is, about 0..255, from all but the nearest fifth of the ground's (N x 3)."""
    red, green, blue = (ground - colour).T
    light = 0.3 * red + 0.59 * green + 0.11 * blue
    apart = np.sqrt(light**2 + 0.25 * (red - green) ** 2 + 0.25 * (0.5 * (red + green) - blue) ** 2)
    return float(np.sort(apart)[len(ground) // 5])


def _blend(picture: Canvas, colour: NDArray[np.float32], alpha: Plane) -> None:
    """Lays one colour (of 3) or a canvas of colours over the picture in place, with opacity `alpha` in 0..1."""
    for channel, over in zip(picture, colour, strict=True):
        channel += (over - channel) * alpha


def _window(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold all that is drawn, and `margin` pixels more where the picture has them."""
    left, top, width, height = cv2.boundingRect(mask)
    return slice(max(top - margin, 0), top + height + margin), slice(max(left - margin, 0), left + width + margin)


def _softened(mask: Mask) -> Plane:
    """A mask as opacity with an edge about a pixel wide: binomial filter of 3 x 3, whose sums are whole numbers."""
    kernel = np.array([1, 2, 1], np.float32)
    return cv2.sepFilter2D(mask, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REPLICATE) / np.float32(16 * 255)


def _blurred(mask: Mask, reach: float) -> Plane:
    """A mask as a plane in 0..1, blurred over about `reach` pixels."""
    height, width = mask.shape
    cell = max(int(reach), 1)
    rows, columns = (((np.arange(side // cell + 5) - 1) * cell).clip(0, side - 1) for side in (height, width))
    return _spread(mask[rows][:, columns].astype(np.float32) / 255, height, width, cell)


def _ground(random: RandomState, height: int, width: int) -> Canvas:
    picture = _surface(random, height, width)
    if random.random_sample() < 0.6:  # a second surface below a wavy horizon, or beside a slanting edge
        slant = 0.15 if random.random_sample() < 0.7 else 1.5
        angle = math.pi / 2 + random.uniform(-slant, slant)
        edge = _stretched(_ramp(height, width, angle))
        edge += random.uniform(0, 0.25) * (_noise(random, height, width, random.uniform(15, 60)) - 0.5)
        sharp = random.uniform(4, 60)
        alpha = np.clip((edge - random.uniform(0.3, 0.75)) * sharp, 0, 1)
        _blend(picture, _surface(random, height, width), alpha)
    return picture


def _surface(random: RandomState, height: int, width: int) -> Canvas:
    table = _colours(random)
    plane = _fractal(random, height, width, min(height, width) * random.uniform(0.08, 0.45), random.uniform(0.25, 0.7))
    pattern = random.randint(6)
    if pattern == 0:  # planks, sand ripples, cloth: stripes that noise bends
        period = random.uniform(7, 40)
        bent = _ramp(height, width, random.uniform(0, math.pi)) / period + plane * random.uniform(0.2, 2.5)
        plane = plane * 0.6 + _wave(bent) * random.uniform(0.15, 0.4)
    elif pattern == 1:  # water, clouds: noise drawn out to the side
        cell, stretch = random.uniform(4, 14), random.uniform(3, 8)
        wide = int(width / stretch)
        columns = np.minimum((np.arange(width) / stretch).astype(np.intp), wide - 1)
        plane = plane * 0.5 + _noise(random, height, wide, cell)[:, columns] * 0.5
    elif pattern == 2:  # a smooth wall: mostly light
        plane = plane * 0.25 + 0.75 * _stretched(_ramp(height, width, random.uniform(0, 2 * math.pi)))
    elif pattern == 3:  # bricks, tiles: a mesh of thin lines
        period = random.uniform(14, 48)
        angle = random.uniform(-0.2, 0.2)
        across = _wave(_ramp(height, width, angle) / (period * random.uniform(1, 2)))
        down = _wave(_ramp(height, width, angle + math.pi / 2) / period)
        joint = np.maximum(across, down) > 1 - 3.5 / period
        plane = plane * 0.7 + (0.15 - joint * np.float32(random.uniform(-0.3, 0.3)))
    levels = np.clip(plane * 255, 0, 255).astype(np.uint8)
    if pattern >= 4:  # grass, gravel, leaves: many small strokes of the surface's own colours
        _strokes(random, levels)
    return np.stack([cv2.LUT(levels, channel) for channel in table])


def _strokes(random: RandomState, levels: NDArray[np.uint8]) -> None:
    height, width = levels.shape
    count = int(height * width / random.uniform(90, 400))
    length, angle, fan = random.uniform(2, 14), random.uniform(0, math.pi), random.uniform(0.1, 1.6)
    ys, xs = random.randint(0, height, count).tolist(), random.randint(0, width, count).tolist()
    directions = (angle + random.uniform(-fan, fan, count)).tolist()
    lengths = (length * random.uniform(0.4, 1.3, count)).tolist()
    colours = random.randint(40, 256, count).tolist()
    thickness = 1 + random.randint(2)
    for y, x, direction, long, colour in zip(ys, xs, directions, lengths, colours, strict=True):
        end = int(x + long * math.cos(direction)), int(y + long * math.sin(direction))
        cv2.line(levels, (x, y), end, colour, thickness)


def _clutter(random: RandomState, picture: Canvas) -> None:
    """What a method must not take for an object: weak blobs, thin lines, specks."""
    height, width = picture.shape[1:]
    side = min(height, width)
    for _ in range(random.randint(0, 9)):  # blobs as large as objects, but close to the ground's colour there
        mask = np.zeros((height, width), np.uint8)
        y, x = random.randint(0, height), random.randint(0, width)
        _fill(mask, _blob(random), x, y, side * random.uniform(0.04, 0.22), random.uniform(0, 6.3))
        colour = picture[:, y, x] * random.uniform(0.75, 1.25) + random.uniform(-12, 12)
        reach = random.uniform(3, 10) if random.random_sample() < 0.7 else 0.0
        window = _window(mask, int(3 * reach) + 1)
        alpha = _blurred(mask[window], reach) if reach else _softened(mask[window])
        alpha *= random.uniform(0.3, 0.7)
        _blend(picture[:, *window], colour, alpha)
    if random.random_sample() < 0.4:  # wires, twigs, cracks: strong but thin
        colour = _hsv(random.uniform(0, 1), random.uniform(0, 0.5), random.choice([0.08, 0.15, 0.85, 0.95]))
        lines = np.zeros((height, width), np.uint8)
        for _ in range(random.randint(1, 6)):
            (y0, y1), (x0, x1) = random.uniform(-0.2, 1.2, 2) * height, random.uniform(-0.2, 1.2, 2) * width
            bend = random.uniform(-0.25, 0.25) * side
            t = np.linspace(0, 1, 20)
            points = np.stack([x0 + (x1 - x0) * t + bend * 4 * t * (1 - t), y0 + (y1 - y0) * t], 1)
            cv2.polylines(lines, [np.rint(points).astype(np.int32)], False, 255, 1 + random.randint(2))
        _blend(picture, colour, _softened(lines) * random.uniform(0.5, 1))
    if random.random_sample() < 0.4:  # petals, pebbles, lights: strong but small
        colour = _hsv(random.uniform(0, 1), random.uniform(0.1, 0.9), random.uniform(0.3, 1))
        specks = np.zeros((height, width), np.uint8)
        for _ in range(random.randint(5, 70)):
            centre = random.randint(0, width), random.randint(0, height)
            cv2.circle(specks, centre, random.randint(0, 3), 255, -1)
        _blend(picture, colour, _softened(specks) * random.uniform(0.5, 1))


Outline = list[tuple[Points, bool]]
"""Closed curves in a unit frame (x and y in about -1..1), each filled (True) or cut out (False) in turn."""


def _solid(*curves: ArrayLike) -> Outline:
    return [(np.array(curve, np.float64), True) for curve in curves]


def _polar(angles: NDArray[np.floating], radii: ArrayLike = 1.0) -> Points:
    return np.stack([np.cos(angles) * radii, np.sin(angles) * radii], 1)


def _circle(x: float = 0, y: float = 0, rx: float = 1, ry: float = 1, tilt: float = 0) -> Points:
    return _turned(_polar(np.linspace(0, 2 * math.pi, 64, endpoint=False)) * (rx, ry), tilt) + np.array((x, y))


def _turned(points: Points, angle: float) -> Points:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.stack([points[:, 0] * cos - points[:, 1] * sin, points[:, 0] * sin + points[:, 1] * cos], 1)


def _rounded(corners: Points, times: int = 3) -> Points:
    """A polygon with its corners cut `times` times (Chaikin): a smooth closed curve."""
    for _ in range(times):
        following = np.roll(corners, -1, 0)
        corners = np.stack([0.75 * corners + 0.25 * following, 0.25 * corners + 0.75 * following], 1).reshape(-1, 2)
    return corners


def _bevelled(corners: Points, share: float) -> Points:
    """A polygon with small round corners, that take `share` (below .5) of each side."""
    before, after = (corners + share * (np.roll(corners, shift, 0) - corners) for shift in (1, -1))
    return _rounded(np.stack([before, corners, after], 1).reshape(-1, 2), 2)


def _blob(random: RandomState) -> Outline:
    count = random.randint(6, 11)
    angles = (np.arange(count) + random.uniform(-0.25, 0.25, count)) * (2 * math.pi / count)
    return _solid(_rounded(_polar(angles, random.uniform(0.6, 1.1, count)) * (1, random.uniform(0.6, 1))))


def _block(random: RandomState) -> Outline:
    wide, high = random.uniform(0.55, 1), random.uniform(0.45, 1)
    corners = np.array([(-wide, -high), (wide, -high), (wide, high), (-wide, high)]) + random.uniform(-0.2, 0.2, (4, 2))
    return _solid(_bevelled(corners, random.uniform(0.02, 0.35)))


def _star(random: RandomState) -> Outline:
    points = random.randint(4, 9)
    t = np.arange(2 * points) * (math.pi / points)
    radii = np.where(np.arange(2 * points) % 2 == 0, 1.0, random.uniform(0.4, 0.75))
    return _solid(_rounded(_polar(t, radii), random.randint(0, 4)))


def _fish(random: RandomState) -> Outline:
    high, tail = random.uniform(0.3, 0.55), random.uniform(0.3, 0.55)
    tail_fin = [(-0.55, 0), (-1.15, -tail), (-0.95, 0), (-1.15, tail)]
    back_fin = np.array([(-0.2, -high * 0.8), (0.15, -high - 0.3), (0.3, -high * 0.7)])
    return _solid(_circle(0.1, 0, 0.85, high), tail_fin, _rounded(back_fin, 1))


def _bird(random: RandomState) -> Outline:
    raised = random.uniform(0.2, 0.9)
    wing = [(-0.25, 0), (0.3, -0.05), (0.05, -raised), (-0.5, -raised - 0.25)]
    beak, tail = [(0.85, -0.35), (1.2, -0.22), (0.85, -0.15)], [(-0.5, -0.1), (-1.15, -0.1), (-1.1, 0.25), (-0.5, 0.2)]
    return _solid(_circle(0, 0.05, 0.7, 0.4, -0.15), _circle(0.65, -0.27, 0.27, 0.27), wing, beak, tail)


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
    cap = _polar(np.linspace(math.pi, 2 * math.pi, 32)) * (1, random.uniform(0.6, 1)) + (0, 0.05)
    foot = random.uniform(0.2, 0.4)
    stem = np.array([(-foot * 0.8, 0), (foot * 0.8, 0), (foot, 0.9), (-foot, 0.9)])
    return _solid(_bevelled(stem, 0.1), cap)


def _leaf(random: RandomState) -> Outline:
    t = np.linspace(0, 1, 32)
    bulge = random.uniform(0.9, 1.7) * t * (1 - t) * (1.4 - 0.8 * t)
    blade = np.concatenate([np.stack([2 * t - 1, bulge], 1), np.stack([2 * t - 1, -bulge], 1)[::-1]])
    return _solid(blade, [(-0.95, -0.04), (-1.35, 0.05), (-1.35, 0.12), (-0.95, 0.04)])


_SHAPES = (_blob, _block, _star, _fish, _bird, _beast, _mug, _ring, _mushroom, _leaf)
# Radians that standing things lean at most; the others turn freely.
_LEANS = {_fish: 0.6, _bird: 0.4, _beast: 0.15, _mug: 0.15, _mushroom: 0.2}


def _fill(mask: Mask, outline: Outline, x: float, y: float, radius: float, angle: float) -> None:
    """Draws an outline of about `radius` pixels at (x, y), to a sixteenth of a pixel."""
    for points, filled in outline:
        placed = np.rint((_turned(points, angle) * radius + (x, y)) * 16).astype(np.int32)
        cv2.fillPoly(mask, [placed], 255 if filled else 0, shift=4)


def _objects(random: RandomState, picture: Canvas, light: float) -> Mask:
    """Paints one to three objects on the picture, in place; returns their exact mask."""
    height, width = picture.shape[1:]
    area = height * width
    whole = np.zeros((height, width), np.uint8)
    count = 1 + int(random.choice(3, p=[0.6, 0.25, 0.15]))
    small, large = ((0.05, 0.30), (0.04, 0.14), (0.03, 0.10))[count - 1]
    alike = random.random_sample() < 0.6  # a flock, or things that happen to be together
    shape = _SHAPES[random.randint(len(_SHAPES))]
    skin = None
    for _ in range(count):
        if not alike:
            shape = _SHAPES[random.randint(len(_SHAPES))]
        outline, lean = shape(random), _LEANS.get(shape, math.pi)
        share = small * (large / small) ** random.random_sample()
        flip = random.random_sample() < 0.5
        for attempt in range(12):
            mask = np.zeros((height, width), np.uint8)
            y, x = random.uniform(0.12, 0.88) * height, random.uniform(0.12, 0.88) * width
            _fill(mask, outline, x, y, math.sqrt(share * area / 2), random.uniform(-lean, lean))
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
        _fill(whole, _solid(_circle()), width / 2, height / 2, math.sqrt(0.1 * area / math.pi), 0)
        _lay(random, picture, whole, _skin(random, picture, whole), light)
    return whole


_Skin = tuple[Colour, Colour, int, float]  # two colours, a texture's number and its scale, in parts of an object's side


def _skin(random: RandomState, picture: Canvas, mask: Mask) -> _Skin:
    """Colours that stand out from the ground around `mask`: clearly or by little."""
    height, width = mask.shape
    left, top, wide, high = cv2.boundingRect(mask)
    around = picture[:, top : top + high : max(high // 8, 1), left : left + wide : max(wide // 8, 1)]
    whole = picture[:, :: max(height // 12, 1), :: max(width // 12, 1)]
    ground = np.concatenate([around.reshape(3, -1), whole.reshape(3, -1)], 1).T
    wanted = random.uniform(36, 100)
    colours = []
    for _ in range(16):
        gray = random.random_sample() < 0.3
        saturations, values = ((0, 0.1), (0.05, 0.97)) if gray else ((0.2, 0.95), (0.2, 0.98))
        colours.append(_hsv(random.uniform(0, 1), random.uniform(*saturations), random.uniform(*values)))
    best = min(colours, key=lambda colour: abs(_contrast(ground, colour) - wanted))
    turn = random.uniform(-0.12, 0.12) if random.random_sample() < 0.6 else random.uniform(0.3, 0.7)
    hue, saturation, value = colorsys.rgb_to_hsv(*(best.astype(np.float64) / 255))
    value = value * 0.6 if value > 0.55 else min(value * 1.6 + 0.2, 1.0)
    second = _hsv(hue + turn, min(saturation * random.uniform(0.6, 1.2), 1.0), value)
    if _contrast(ground, second) < 30:  # it would dissolve into the ground
        second = best * 0.75
    return best, second, random.randint(6), random.uniform(0.08, 0.25)


def _lay(random: RandomState, picture: Canvas, mask: Mask, skin: _Skin, light: float) -> None:
    """Paints one object with texture, roundness and cast shadow."""
    main, second, texture, scale = skin
    _, _, wide, high = cv2.boundingRect(mask)
    side = math.sqrt(wide * high)
    if random.random_sample() < 0.7:
        reach = side * random.uniform(0.06, 0.14)
        down, across = int(side * random.uniform(0.03, 0.14)), int(-light * side * 0.12)
        window = _window(mask, int(3 * reach) + abs(across) + down)
        away = np.array([[1, 0, across], [0, 1, down]], np.float64)  # from the light
        fallen = np.asarray(cv2.warpAffine(mask, away, mask.shape[::-1], flags=cv2.INTER_NEAREST), np.uint8)
        picture[:, *window] *= 1 - random.uniform(0.2, 0.55) * _blurred(fallen[window], reach)

    window = _window(mask, 1)  # one pixel more for the soft edge
    patch, mask = picture[:, *window], mask[window]
    rows, columns = mask.shape
    fine = _fractal(random, rows, columns, max(side * 0.2, 4), 0.5)
    share = fine * 0.35
    cell = max(side * scale, 4)
    if texture == 1:  # stripes
        bent = _ramp(rows, columns, random.uniform(0, math.pi)) / cell + fine * 0.5
        share = np.clip(_wave(bent) * 4 - 1.6, 0, 1)
    elif texture == 2:  # spots
        spots = np.zeros((rows, columns), np.uint8)
        for _ in range(int(min(2.2 * (wide * high) / cell**2, 120))):
            centre = random.randint(0, columns), random.randint(0, rows)
            cv2.circle(spots, centre, max(int(cell * random.uniform(0.1, 0.32)), 1), 255, -1)
        share = _softened(spots)
    elif texture == 3:  # patches
        share = np.clip((_noise(random, rows, columns, cell) - 0.5) * 9, 0, 1)
    elif texture == 4:  # two halves
        half = _ramp(rows, columns, random.uniform(0, 2 * math.pi))
        share = np.clip((half - half.mean()) * 0.5, 0, 1)
    # Round: lit towards the light, which stands above; darker at the rim.
    lit = _stretched(_ramp(rows, columns, math.pi / 2 - light))
    lit -= 0.9 * _blurred(mask, max(side * 0.1, 2))
    shade = (1 - random.uniform(0.1, 0.4) * (lit + 0.25)) * (0.88 + 0.24 * fine)
    colours = [(one + share * (other - one)) * shade for one, other in zip(main, second, strict=True)]
    _blend(patch, np.stack(colours), _softened(mask))
