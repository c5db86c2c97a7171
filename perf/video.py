"""Flicker and error of a video's maps, by the weight of temporal smoothing: python -m perf video

Clips are made of ECSSD's pictures, whose masks move along: `still`, a camera on a stand; `object`, the same, and
another picture's object wanders through; `pan`, a hand-held move with a slow zoom. Each has noise of a small sensor
and goes through H.264 as a telephone's would. Prints the table of docs/video.md and writes outputs/perf/video.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from arn import load
from arn.data.catalogue import data_root
from arn.data.images import read_mask, read_picture
from arn.data.layout import find_dataset
from arn.inference.smoothing import Smoother, flicker
from arn.inference.video import Clip
from perf.common import versions, write_json

SIZE = (480, 360)  # px, width x height
NOISE = 8.0  # gray levels, standard deviation
WEIGHTS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9)
KINDS = ("still", "object", "pan")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf video", description=__doc__)
    parser.add_argument("--clips", type=int, default=8, help="of each kind")
    parser.add_argument("--frames", type=int, default=40, help="of each clip, 25 a second")
    options = parser.parse_args(arguments)
    pairs = find_dataset("ECSSD", data_root())
    random = np.random.default_rng(0)
    chosen = random.choice(len(pairs), 2 * options.clips, replace=False)
    scenes = [(read_picture(pairs[one].picture), read_mask(pairs[one].mask)) for one in chosen]
    predictor = load()
    results: dict[str, dict[str, dict[str, float]]] = {}
    print("| clips | smoothing | flicker | mean absolute error |\n| --- | ---: | ---: | ---: |")
    for kind in KINDS:
        found: dict[float, list[tuple[float, float]]] = {weight: [] for weight in WEIGHTS}
        for number in range(options.clips):
            frames = list(scene(kind, scenes[2 * number], scenes[2 * number + 1], options.frames, random))
            pictures = through_h264([picture for picture, _ in frames])
            maps = [one for start in range(0, len(pictures), 8) for one in predictor.maps(pictures[start : start + 8])]
            for weight in WEIGHTS:
                smooth = Smoother(weight)
                smoothed = [smooth(picture, one) for picture, one in zip(pictures, maps, strict=True)]
                errors = [float(np.abs(one - mask).mean()) for one, (_, mask) in zip(smoothed, frames, strict=True)]
                found[weight].append((flicker(pictures, smoothed), float(np.mean(errors))))
        results[kind] = {}
        for weight, measured in found.items():
            change, error = (float(np.mean(values)) for values in zip(*measured, strict=True))  # NaN: all of it moves
            results[kind][str(weight)] = {"flicker": change, "mae": error}
            print(f"| {kind} | {weight} | {change:.5f} | {error:.4f} |")
    record = {"versions": versions("numpy", "av", "torch"), "options": vars(options), "kinds": results}
    print(f"written: {write_json('video.json', record)}")


def scene(kind: str, ground: Any, other: Any, count: int, random: np.random.Generator) -> Iterator[Any]:
    """(picture with noise, mask as bool) of each frame."""
    picture, mask = (cv2.resize(one.astype(np.uint8), SIZE, interpolation=cv2.INTER_AREA) for one in ground)
    guest, shape = cut(*other)
    height, width = shape.shape
    for index in range(count):
        share, image, truth = index / max(1, count - 1), picture, mask
        if kind == "object":
            image, truth = picture.copy(), mask.copy()
            x, y = round(share * (SIZE[0] - width)), (SIZE[1] - height) // 2
            image[y : y + height, x : x + width][shape] = guest[shape]
            truth[y : y + height, x : x + width][shape] = 1
        elif kind == "pan":
            zoom = 1.3 - 0.1 * share
            place = np.array([[zoom, 0, -0.2 * SIZE[0] * share], [0, zoom, -0.1 * SIZE[1] * share]])
            image, truth = (
                cv2.warpAffine(one, place, SIZE, flags=how, borderMode=cv2.BORDER_REFLECT)
                for one, how in ((picture, cv2.INTER_CUBIC), (mask, cv2.INTER_NEAREST))
            )
        noise = random.normal(0, NOISE, image.shape)
        yield (image + noise).clip(0, 255).astype(np.uint8), truth > 0


def cut(picture: Any, mask: Any) -> tuple[Any, Any]:
    """A picture's object and its shape as bool, at most a third of the frame's height and width."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    scale = min(SIZE[0] / width, SIZE[1] / height) / 3
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture, mask = (one[top : top + height, left : left + width] for one in (picture, mask))
    shape = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), shape


def through_h264(pictures: list[Any]) -> list[Any]:
    """What a decoder makes of them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", 25, options={"crf": "20", "preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(stream.encode(None))
        with closing(Clip(path)) as clip:
            return [frame.picture for frame in clip.frames()]
