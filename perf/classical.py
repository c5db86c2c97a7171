"""Milliseconds per picture of the training-free methods: python -m perf classical [--pictures 20] [--plain 2]

One thread, at the pictures' native size and with the longer side at 300 pixels, on ECSSD (drawn scenes where it is
absent). What is counted is processor time of the process, so that a busy machine does not slow the figures down by
waiting; what it does to the caches remains. For the methods with compiled loops, the same pipeline runs in the same
process with each compiled loop replaced by a plain NumPy or Python transcription, and the two maps are compared. Also
the share of each stage. Writes outputs/perf/classical.json.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from arn.classical import METHODS
from perf.common import data_root, machine, versions, write_json

AT_300 = 300  # pixels, the longer side

# The functions of a method's module whose calls are its stages: none of them calls another of its list.
STAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "mb": ("mbd", ("prepare", "minimum_barrier_distance", "centre_map", "smooth", "stretch", "resize_map")),
    "mb_plus": (
        "mbd",
        ("prepare", "minimum_barrier_distance", "background_map", "centre_map", "smooth", "stretch", "resize_map"),
    ),
    "rbd": (
        "robust_background",
        (
            "find_frame",
            "lab",
            "slic",
            "_describe",
            "pairwise",
            "colour_scale",
            "geodesic_distances",
            "boundary_connectivity",
            "weighted_contrast",
            "optimise",
        ),
    ),
    "hc": ("histogram_contrast", ("quantise", "smooth_over_colours")),
    "rc": ("region_contrast", ("felzenszwalb", "region_contrast", "resize_map")),
    "itti_koch": ("centre_surround", ("pyramid", "oriented", "normalise", "resize_map")),
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf classical", description=__doc__)
    parser.add_argument("--pictures", type=int, default=20, help="pictures, spread over the data set (default 20)")
    parser.add_argument(
        "--plain", type=int, default=2, help="how many of them the plain transcriptions get (default 2)"
    )
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    # A second BLAS thread that waits for work spins, and processor time counts it: three times RBD's own.
    threadpool_limits(1)
    source, native = read_pictures(chosen.pictures)
    sizes = {"native": native, f"{AT_300} px": [_shrunk(picture) for picture in native]}

    rows: list[dict[str, Any]] = []
    print("| method | size | ms, median | pictures/s | plain, ms | times faster | stages, % |")
    print("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    for name in METHODS:
        for size, pictures in sizes.items():
            row = {"method": name, "size": size, **measure(name, pictures), **plain(name, pictures[: chosen.plain])}
            rows.append(row)
            print(_line(row), flush=True)
    content = {
        "what": "milliseconds of processor time per picture, one thread; the median over pictures",
        "machine": machine(),
        "versions": versions("numpy", "numba", "scipy", "scikit-image", "opencv-python-headless"),
        "source": source,
        "pictures": len(native),
        "pixels": float(np.mean([picture.shape[0] * picture.shape[1] for picture in native])),
        "rows": rows,
    }
    print(f"written: {write_json('classical.json', content)}")


def _line(row: dict[str, Any]) -> str:
    stages = ", ".join(f"{name} {100 * share:.0f}" for name, share in row["stages"].items())
    slow = f"{row['plain_ms']:,.0f} | {row['times_faster']:.0f}" if "plain_ms" in row else "- | -"
    return f"| {row['method']} | {row['size']} | {row['ms']:.1f} | {1000 / row['ms']:.0f} | {slow} | {stages} |"


def read_pictures(count: int) -> tuple[str, list[np.ndarray]]:
    """Where they are from, and `count` pictures, uint8 RGB."""
    paths = sorted(Path(data_root(), "ECSSD", "images").glob("*.jpg"))
    if paths:
        chosen = paths[:: max(1, len(paths) // count)][:count]
        return "ECSSD", [np.asarray(Image.open(path).convert("RGB")) for path in chosen]
    from arn.data.scenes import draw_scene

    return "scenes", [draw_scene(0, index)[0] for index in range(count)]


def _shrunk(picture: np.ndarray) -> np.ndarray:
    scale = AT_300 / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _milliseconds(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return 1000 * (time.process_time() - start)


def measure(name: str, pictures: list[np.ndarray]) -> dict[str, Any]:
    """`ms`, its extremes, and the share of each stage (of a second round, so that timing stages costs `ms` nothing)."""
    method = METHODS[name]
    method(pictures[0])  # compiles
    spent = [_milliseconds(lambda p=picture: method(p)) for picture in pictures]  # type: ignore[misc]
    found: dict[str, Any] = {"ms": statistics.median(spent), "ms_low": min(spent), "ms_high": max(spent)}

    module, names = STAGES[name]
    seconds: dict[str, float] = defaultdict(float)

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[stage] += time.process_time() - start

        return run

    home = importlib.import_module(f"arn.classical.{module}")
    with swapped({(module, stage): timed(stage, getattr(home, stage)) for stage in names}):
        total = sum(_milliseconds(lambda p=picture: method(p)) for picture in pictures) / 1000  # type: ignore[misc]
    shares = {stage.lstrip("_"): seconds[stage] / total for stage in names}
    return {**found, "stages": {**shares, "rest": 1 - sum(shares.values())}}


def plain(name: str, pictures: list[np.ndarray]) -> dict[str, Any]:
    """Time of the plain transcription beside the compiled one on the same pictures; nothing where none is compiled."""
    method = METHODS[name]
    if name not in ("mb", "mb_plus", "rbd") or not pictures:
        return {}
    slow, ratios, agreement = [], [], []
    for picture in pictures:
        fast = _milliseconds(lambda p=picture: method(p))  # type: ignore[misc]
        with swapped(PLAIN):
            maps: list[np.ndarray] = []
            slow.append(_milliseconds(lambda p=picture, m=maps: m.append(method(p))))  # type: ignore[misc]
        ratios.append(slow[-1] / fast)
        agreement.append(float(np.abs(maps[0] - method(picture)).mean()))
    if max(agreement) > 0.005:
        raise SystemExit(f"{name}: the plain transcription's map differs by {max(agreement):.4f} on average")
    return {
        "plain_ms": statistics.median(slow),
        "times_faster": statistics.median(ratios),
        "plain_mean_difference": max(agreement),
    }


@contextmanager
def swapped(functions: dict[tuple[str, str], Callable[..., Any]]) -> Iterator[None]:
    """The named functions (module, name) of arn.classical replaced, for as long as the block runs."""
    modules = {module: importlib.import_module(f"arn.classical.{module}") for module, _ in functions}
    before = {(module, name): getattr(modules[module], name) for module, name in functions}
    try:
        for (module, name), function in functions.items():
            setattr(modules[module], name, function)
        yield
    finally:
        for (module, name), function in before.items():
            setattr(modules[module], name, function)


# ------------------------------------------------------------------------------------------------- plain transcriptions
# What one writes without a compiler: NumPy over whole arrays where that is possible, Python lists (several times faster
# to index than arrays) where the order of the pixels matters.


def _plain_sweep(
    values: np.ndarray, distance: np.ndarray, lowest: np.ndarray, highest: np.ndarray, passes: int
) -> None:
    height, width = values.shape
    v, d, low, high = values.tolist(), distance.tolist(), lowest.tolist(), highest.tolist()
    for index in range(passes):
        step = 1 if index % 2 == 0 else -1
        for y in range(1, height - 1)[::step]:
            row, row_d, row_low, row_high = v[y], d[y], low[y], high[y]
            above_low, above_high = low[y - step], high[y - step]
            for x in range(1, width - 1)[::step]:
                value = row[x]
                a, b = min(value, row_low[x - step]), max(value, row_high[x - step])
                if b - a < row_d[x]:
                    row_d[x], row_low[x], row_high[x] = b - a, a, b
                a, b = min(value, above_low[x]), max(value, above_high[x])
                if b - a < row_d[x]:
                    row_d[x], row_low[x], row_high[x] = b - a, a, b
    distance[:], lowest[:], highest[:] = d, low, high


def _plain_unlike_strips(channels: np.ndarray, whitening: np.ndarray, origin: np.ndarray) -> np.ndarray:
    distances = []
    for axes, start in zip(whitening, origin, strict=True):
        distance = np.abs(axes @ channels.astype(np.float32) - start[:, None]).sum(axis=0)
        spread = distance.max() - distance.min()
        distances.append((distance - distance.min()) / spread if spread > 0 else 0 * distance)
    return np.asarray(np.sum(distances, axis=0) - np.max(distances, axis=0))


def _plain_reconstruct(marker: np.ndarray, limit: np.ndarray) -> np.ndarray:
    from skimage.morphology import reconstruction  # itself compiled: what one would call

    return np.asarray(reconstruction(marker, limit, footprint=np.ones((3, 3))), np.float32)


def _plain_cluster(
    planes: np.ndarray,
    centres: np.ndarray,
    step: float,
    compactness: float,
    reach_y: float,
    reach_x: float,
    iterations: int,
) -> np.ndarray:
    _, height, width = planes.shape
    labels = np.zeros((height, width), np.int32)
    ys, xs = (axis.astype(np.float32) for axis in np.mgrid[:height, :width])
    features = np.concatenate([ys[None], xs[None], planes])
    weight = (compactness / step) ** 2
    for _ in range(iterations):
        distance = np.full((height, width), np.inf)
        for index, (cy, cx, *colour) in enumerate(centres):
            rows = slice(max(0, int(cy - reach_y)), min(height, int(cy + reach_y) + 1))
            columns = slice(max(0, int(cx - reach_x)), min(width, int(cx + reach_x) + 1))
            away = ((planes[:, rows, columns] - np.array(colour, np.float32)[:, None, None]) ** 2).sum(axis=0)
            away = away + weight * ((ys[rows, columns] - cy) ** 2 + (xs[rows, columns] - cx) ** 2)
            closer = away < distance[rows, columns]
            distance[rows, columns][closer] = away[closer]
            labels[rows, columns][closer] = index
        sizes = np.bincount(labels.ravel(), minlength=len(centres))
        sums = np.stack([np.bincount(labels.ravel(), f.ravel(), len(centres)) for f in features], axis=1)
        centres[sizes > 0] = (sums / np.maximum(sizes, 1)[:, None])[sizes > 0]
    return labels


def _plain_connect(labels: np.ndarray, connected: np.ndarray, smallest: float) -> int:
    height, width = labels.shape
    names = labels.tolist()
    done = [[-1] * width for _ in range(height)]
    count = 0
    for top in range(height):
        for left in range(width):
            if done[top][left] >= 0:
                continue
            neighbour = done[top][left - 1] if left > 0 else done[top - 1][left] if top > 0 else -1
            label, piece = names[top][left], [(top, left)]
            done[top][left] = count
            for y, x in piece:
                for j, i in ((y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)):
                    if 0 <= j < height and 0 <= i < width and done[j][i] < 0 and names[j][i] == label:
                        done[j][i] = count
                        piece.append((j, i))
            if len(piece) < smallest and neighbour >= 0:
                for y, x in piece:
                    done[y][x] = neighbour
            else:
                count += 1
    connected[:] = done
    return count


def _plain_describe(
    labels: np.ndarray, colours: np.ndarray, count: int, border: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    height, width = labels.shape
    flat = labels.ravel()
    ys, xs = np.mgrid[:height, :width]
    columns = [*colours.reshape(-1, 3).T, ys.ravel(), xs.ravel()]
    sums = np.stack([np.bincount(flat, column, count) for column in columns], axis=1)
    means = np.asarray(sums / np.bincount(flat, minlength=count)[:, None])
    adjacent = np.zeros((count, count), bool)
    for one, other in (
        (labels[:, :-1], labels[:, 1:]),
        (labels[:-1], labels[1:]),
        (labels[:-1, :-1], labels[1:, 1:]),
        (labels[:-1, 1:], labels[1:, :-1]),
    ):
        adjacent[one, other] = adjacent[other, one] = True
    np.fill_diagonal(adjacent, False)
    outer = np.ones((height, width), bool)
    outer[border : height - border, border : width - border] = False
    boundary = np.zeros(count, bool)
    boundary[labels[outer]] = True
    return means, adjacent, boundary


def _plain_floyd_warshall(distance: np.ndarray) -> None:
    for middle in range(len(distance)):
        np.minimum(distance, distance[:, middle, None] + distance[middle], out=distance)


PLAIN: dict[tuple[str, str], Callable[..., Any]] = {
    ("mbd", "_sweep"): _plain_sweep,
    ("mbd", "_unlike_strips"): _plain_unlike_strips,
    ("mbd", "reconstruct"): _plain_reconstruct,
    ("slic", "_cluster"): _plain_cluster,
    ("slic", "_connect"): _plain_connect,
    ("robust_background", "_describe"): _plain_describe,
    ("robust_background", "_floyd_warshall"): _plain_floyd_warshall,
}


if __name__ == "__main__":
    main(sys.argv[1:])
