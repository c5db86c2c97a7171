"""``arn predict``: maps, overlays or cutouts of pictures, folders, addresses and videos, at native size."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from arn.config.arguments import Typed, parse
from arn.config.compose import run_hydra
from arn.config.requests import MethodRequest, PredictRequest
from arn.data.decoders import limit_megapixels
from arn.data.images import read_picture
from arn.errors import ArnError
from arn.inference import video
from arn.inference.loading import load
from arn.inference.making import Job, Outcome, Recipe, check_targets, make, make_clip
from arn.inference.methods import Classical, Method
from arn.inference.onnx import OnnxPredictor
from arn.inference.render import FORMATS, SUFFIXES, Style, parse_ground
from arn.inference.sources import DEFAULT_OUTPUT, STDIN, Source, arrivals, find, is_address
from arn.inference.square import SquarePredictor
from arn.inference.video_reading import SUFFIXES as VIDEO_SUFFIXES
from arn.report.terminal import Bars

TOLD = 20  # files that went wrong, by name

console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def main(arguments: list[str]) -> int:
    """Exit status 0, or 1 where a picture could not be read."""
    typed = parse(arguments)
    statuses: list[int] = []
    run_hydra("predict", lambda config: statuses.append(recipe(config, typed)), typed.overrides)
    return max(statuses, default=0)


def recipe(config: DictConfig, typed: Typed) -> int:
    request = replace(PredictRequest.of(config), **typed.keys)
    limit_megapixels(request.max_megapixels)
    named = [*typed.words, *([request.input] if request.input is not None else [])]
    if not named:
        raise ArnError("no input: name pictures, folders or addresses, as in arn predict dog.jpg, or input=PATH")
    piped = request.output == STDIN or (request.output is None and named == [STDIN])
    say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False) if piped else console
    output, single = _place(request, piped)
    suffix = _suffix(request, single)
    style = Style(request.kind, _ground(request), request.margin if request.crop else None)  # type: ignore[arg-type]
    without = [] if single is not None or piped else [output]
    sources = find(named, recursive=request.recursive, without=without, empty=request.watch, tell=say.print)
    videos = [source for source in sources if source.is_video]
    pictures = [source for source in sources if not source.is_video]
    if (single is not None or piped) and len(sources) != 1:
        raise ArnError(f"output={request.output} is one file, and there are {len(sources)} inputs; name a folder")
    folders = [word for word in named if not is_address(word) and Path(word).is_dir()]
    if request.watch and not folders:
        raise ArnError("--watch is for folders, and none was named")
    jobs = [Job(source, None if piped else single or _below(output, source, suffix)) for source in pictures]
    if pictures and suffix not in SUFFIXES:
        raise ArnError(f"output={request.output}: a picture is written as {', '.join(SUFFIXES)}")
    if videos and request.format not in (None, "png"):
        raise ArnError(f"format={request.format}: of a video there is format=png, a folder of its frames")
    # Without a suffix it is a folder of frames.
    of_clip = "" if request.format == "png" else video.default_suffix(style)
    clips = [(source, single or _below(output, source, of_clip)) for source in videos]
    check_targets([*jobs, *(Job(source, target) for source, target in clips)])
    for _, target in clips:
        video.check(target, style)
    method = choose_method(request)
    say.print(f"{method.name} on {described(method)}")
    wanted = Recipe(method, style, suffix, request.quality, request.overwrite, sys.stdout.buffer.write)
    outcome = Outcome()
    if jobs:
        with Bars(say) as bars:
            outcome = make(wanted, jobs, functools.partial(bars.advance, method.name, total=len(jobs)))
        say.print(_summary(outcome, "the standard output" if piped else str(single or output)))
    for source, target in clips:
        _make_clip(wanted, source, target, request.smoothing, outcome, say)
    _tell_failed(outcome)
    if request.watch:
        say.print(f"watching {', '.join(folders)}; Ctrl-C ends it")
        look = functools.partial(find, folders, recursive=request.recursive, without=[output], empty=True)
        for ready in arrivals(look, {job.source.place for job in jobs}):
            outcome = make(wanted, [Job(one, _below(output, one, suffix)) for one in ready])
            say.print(_summary(outcome, str(output)))
            _tell_failed(outcome)
    return 1 if outcome.failed else 0


def choose_method(request: MethodRequest) -> Method:
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


def _place(request: PredictRequest, piped: bool) -> tuple[Path, Path | None]:
    """The folder to write to, and the one file, if that is what was named."""
    if request.output is None or piped:
        return DEFAULT_OUTPUT / f"{request.kind}s", None
    output = Path(request.output)
    of_video = output.suffix.lower() in VIDEO_SUFFIXES
    if (output.suffix.lower() in SUFFIXES or of_video) and not output.is_dir() and not request.output.endswith("/"):
        return output.parent, output
    if output.exists() and not output.is_dir():
        raise ArnError(f"output={output} is a file; name a folder, or a file that ends in {', '.join(SUFFIXES)}")
    return output, None


def _suffix(request: PredictRequest, single: Path | None) -> str:
    named = single.suffix.lower() if single is not None else None
    if request.format is None:
        return named or (".jpg" if request.kind == "overlay" else ".png")
    if named in SUFFIXES and SUFFIXES[named] != request.format:
        raise ArnError(f"format={request.format} and output={request.output} are two formats; give one of the two")
    return named or FORMATS[request.format]


def _ground(request: PredictRequest) -> Any:
    if request.background is None:
        return None
    if request.kind != "cutout":
        raise ArnError(f"background={request.background} is for as=cutout, not for as={request.kind}")
    place = Path(request.background)
    return read_picture(place) if place.is_file() else parse_ground(request.background)


def _below(output: Path, source: Source, suffix: str) -> Path:
    return output / source.stem.with_name(source.stem.name + suffix)


def _make_clip(wanted: Recipe, source: Source, target: Path, smoothing: float, outcome: Outcome, say: Console) -> None:
    """One that cannot be made spoils none of the others."""
    try:
        with Bars(say, unit="frames") as bars:
            every = functools.partial(bars.advance, source.place)
            count = make_clip(wanted, Path(source.place), target, smoothing, every, say.print)
        say.print(f"{target} was made before" if count is None else f"{count} frames -> {target}")
    except ArnError as error:
        outcome.failed.append((source.place, error.told))


def _summary(outcome: Outcome, where: str) -> str:
    parts = [f"{outcome.made} picture{'s' * (outcome.made != 1)} -> {where}"]
    if outcome.kept:
        parts.append(f"{outcome.kept} made before")
    if outcome.failed:
        parts.append(f"{len(outcome.failed)} not made")
    return ", ".join(parts)


def _tell_failed(outcome: Outcome) -> None:
    """At the end, where a person sees it after a long folder."""
    if not outcome.failed:
        return
    sys.stdout.flush()
    for _, reason in outcome.failed[:TOLD]:
        print(f"arn predict: {reason}", file=sys.stderr)
    if len(outcome.failed) > TOLD:
        print(f"arn predict: and {len(outcome.failed) - TOLD} more", file=sys.stderr)
