"""``arn predict``: maps, overlays or cutouts of a picture, a folder or a video, at native size.

Reading, the network and writing overlap: pictures are decoded ahead of it, and encoded and written behind it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from arn.config.compose import run_hydra
from arn.config.requests import PredictRequest
from arn.data.images import PICTURE_SUFFIXES, read_picture, write_map
from arn.errors import ArnError
from arn.files import make_folder, write_atomically
from arn.inference import video
from arn.inference.loading import load
from arn.inference.methods import Classical, Map, Method, Picture
from arn.inference.onnx import OnnxPredictor
from arn.inference.pipeline import BackgroundWriter, batches, prefetch
from arn.inference.render import encode, render
from arn.inference.square import SquarePredictor
from arn.report.terminal import Bars

THREADS = 2  # of decoding, and as many of encoding: next to the network each has little to do

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> None:
    run_hydra("predict", recipe, arguments)


def recipe(config: DictConfig) -> None:
    request = PredictRequest.of(config)
    source, output = Path(request.input), Path(request.output)
    if not source.exists():
        raise ArnError(f"input={source}: there is no such file or folder")
    if output.exists() and not output.is_dir():
        raise ArnError(f"output={output} is a file; name a folder")
    of_video = source.suffix.lower() in video.SUFFIXES
    if of_video and request.kind == "cutout":
        raise ArnError("as=cutout needs transparency, which a video file has not; use as=map or as=overlay")
    targets = [] if of_video else find_pictures(source, output, request.kind)
    method = choose_method(request)
    console.print(f"{method.name} on {described(method)}")
    if of_video:
        count = video.predict_video(method, source, output, request.kind, method.batch_size)
    else:
        make_folder(output)
        with Bars(console) as bars:
            advance = functools.partial(bars.advance, method.name, total=len(targets))
            count = predict_pictures(method, targets, request.kind, method.batch_size, advance)
    console.print(f"{count} {'frames' if of_video else 'pictures'} -> {output}")


def choose_method(request: PredictRequest) -> Method:
    if request.method is not None:
        return Classical(request.method)
    if request.onnx is not None:
        return _sized(OnnxPredictor(request.onnx), request.batch_size)
    checkpoint = "arn_lite" if request.checkpoint is None else request.checkpoint
    bf16 = {"auto": None, "fp32": False, "bf16": True}[request.precision]
    method = load(checkpoint, request.device, bf16, tta=request.tta, runtime=request.runtime)
    return _sized(method, request.batch_size)


def described(method: Method) -> str:
    """Where and how it makes maps: `NVIDIA H100, bf16, 64 pictures at once`."""
    if not isinstance(method, SquarePredictor):
        return method.device
    at_once = f"{method.batch_size} picture{'s' * (method.batch_size > 1)} at once"
    return ", ".join(filter(None, (method.device, method.precision, at_once)))


def _sized(method: SquarePredictor, batch_size: int | str) -> Method:
    method.batch_size = batch_size if isinstance(batch_size, int) else method.fitting_batch()
    return method


def find_pictures(source: Path, output: Path, kind: str) -> list[tuple[Path, Path]]:
    """(picture, file to write) for a picture or every picture in a folder."""
    if source.is_dir():
        paths = sorted(path for path in source.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
        if not paths:
            raise ArnError(f"input={source}: no pictures in this folder")
    else:
        paths = [source]
    targets = [output / f"{path.stem}.{'jpg' if kind == 'overlay' else 'png'}" for path in paths]
    twice = sorted({target.name for target in targets if targets.count(target) > 1})
    if twice:
        raise ArnError(f"input={source}: two pictures would both be written to {twice[0]}; rename one")
    pairs = list(zip(paths, targets, strict=True))
    if output.resolve() in {path.parent.resolve() for path in paths} and any(p == t for p, t in pairs):
        raise ArnError(f"output={output} is the pictures' own folder and would overwrite them; name another")
    return pairs


def predict_pictures(
    method: Method,
    targets: Sequence[tuple[Path, Path]],
    kind: str,
    batch_size: int,
    advance: Callable[[int], None] = lambda done: None,
) -> int:
    """Write the map, overlay or cutout of each (picture, file to write); returns how many.

    `advance` is told of each batch that was made: so many more.
    """
    with ThreadPoolExecutor(THREADS) as readers, BackgroundWriter(THREADS) as background:
        pictures = prefetch(readers, read_picture, (path for path, _ in targets), 2 * batch_size)
        for batch in batches(zip(targets, pictures, strict=True), batch_size):
            maps = method.maps([picture for _, picture in batch])
            for ((_, target), picture), saliency in zip(batch, maps, strict=True):
                background.submit(write, target, picture, saliency, kind)
            advance(len(batch))
    return len(targets)


def write(target: Path, picture: Picture, saliency: Map, kind: str) -> None:
    if kind == "map":
        write_map(target, saliency)
    else:
        write_atomically(target, encode(render(picture, saliency, kind), target.suffix))
