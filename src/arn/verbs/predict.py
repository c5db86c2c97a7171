"""``arn predict``: maps, overlays or cutouts of pictures, folders, addresses and videos, at native size."""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from arn.config.compose import run_hydra
from arn.config.requests import MethodRequest, PredictRequest
from arn.data.images import read_picture
from arn.errors import ArnError
from arn.files import digest
from arn.inference import video
from arn.inference.loading import load
from arn.inference.making import Job, Outcome, Recipe, check_targets, make
from arn.inference.methods import Classical, Method
from arn.inference.onnx import OnnxPredictor
from arn.inference.render import FORMATS, SUFFIXES, Style, parse_ground
from arn.inference.sources import DEFAULT_OUTPUT, STDIN, Source, find, is_address
from arn.inference.square import SquarePredictor
from arn.report.terminal import Bars

WATCH = 1.0  # seconds between two looks at a watched folder
TOLD = 20  # files that went wrong, by name

console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
PATHS = ("input", "output", "background", "checkpoint", "onnx")
"""Keys whose values are taken as they are typed: a name of a file is no word of Hydra's grammar."""


_HYDRAS = ("--hydra-help", "--resolve", "--info", "-i", "--run", "-r", "--multirun", "-m", "-sc", "--shell-completion")
_HYDRAS_WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-name", "-cn", "--config-dir", "-cd", "--config-path")


def main(arguments: list[str]) -> int:
    """Exit status 0, or 1 where a picture could not be read."""
    options, overrides = parse(arguments)
    statuses: list[int] = []
    run_hydra("predict", lambda config: statuses.append(recipe(config, options)), overrides)
    return max(statuses, default=0)


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Files and flags, and the ``key=value`` and flags that are Hydra's."""
    parser = argparse.ArgumentParser(prog="arn predict", add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("-o", "--output")
    parser.add_argument("--overwrite", action="store_true", default=None)
    parser.add_argument("--watch", action="store_true", default=None)
    ours: list[str] = []
    theirs: list[str] = []
    names: list[str] = []  # whatever they look like
    paths: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            names += rest
        elif argument in _HYDRAS_WITH_VALUE:
            theirs += [argument, *[value for value in [next(rest, None)] if value is not None]]
        elif _is_override(argument) and (not ours or ours[-1] not in ("-o", "--output")):
            path = _path(argument)
            paths |= dict([path]) if path else {}
            theirs += _for_hydra(*path) if path else [argument]
        else:
            ours.append(argument)
    try:
        options, unknown = parser.parse_known_intermixed_args(ours)
    except (argparse.ArgumentError, SystemExit) as error:
        raise ArnError(str(error)) from error
    if strange := [word for word in unknown if word.split("=")[0] not in _HYDRAS]:
        raise ArnError(f"there is no option {strange[0]}; `arn predict --help` has them, and a file is named after --")
    options.words += names
    options.paths = paths
    return options, [*theirs, *unknown]


def _is_override(argument: str) -> bool:
    """``key=value``, unless a file is called so."""
    key, equals, _ = argument.lstrip("+~").partition("=")
    return bool(equals) and key.replace(".", "").replace("/", "").isidentifier() and not Path(argument).exists()


def _path(override: str) -> tuple[str, str] | None:
    """Key and value where the value is a path, taken as it stands; one in quotes is without them."""
    key, _, value = override.partition("=")
    if key not in PATHS or value in ("", "null"):
        return None
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return key, value[1:-1] if quoted else value


def _for_hydra(key: str, value: str) -> list[str]:
    """The override that shows a path in ``--cfg job``; one that Hydra would read into is left out."""
    if value.endswith("\\") or "${" in value or "\\'" in value:
        return []
    quoted = value.replace("'", "\\'")
    return [f"{key}='{quoted}'"]


def recipe(config: DictConfig, options: argparse.Namespace) -> int:
    request = replace(PredictRequest.of(config), **options.paths)
    given = {key: value for key in ("overwrite", "watch") if (value := getattr(options, key)) is not None}
    request = replace(request, output=options.output or request.output, **given)
    named = [*options.words, *([request.input] if request.input is not None else [])]
    if not named:
        raise ArnError("no input: name pictures, folders or addresses, as in arn predict dog.jpg, or input=PATH")
    piped = request.output == STDIN or (request.output is None and named == [STDIN])
    say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False) if piped else console
    output, single = _place(request, piped)
    suffix = _suffix(request, single)
    style = Style(request.kind, _ground(request), request.margin if request.crop else None)  # type: ignore[arg-type]
    sources = find(named, recursive=request.recursive, without=[output], tell=say.print)
    videos = [source for source in sources if source.is_video]
    pictures = [source for source in sources if not source.is_video]
    if (single is not None or piped) and len(sources) != 1:
        raise ArnError(f"output={request.output} is one file, and there are {len(sources)} inputs; name a folder")
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
        video.check_target(target, video.is_transparent(style))
    method = choose_method(request)
    say.print(f"{method.name} on {described(method)}")
    wanted = Recipe(method, style, suffix, request.quality, request.overwrite, sys.stdout.buffer.write)
    where = "the standard output" if piped else str(single or output)
    outcome = Outcome()
    if jobs:
        outcome = _make(wanted, jobs, say)
        say.print(_summary(outcome, "pictures", where))
    for source, target in clips:
        _make_clip(wanted, source, target, request.smoothing, outcome, say)
    if request.watch:
        _watch(wanted, named, request, output, {job.source.place for job in jobs}, say)
    _tell_failed(outcome, say)
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
    of_video = output.suffix.lower() in video.SUFFIXES
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


def _make(wanted: Recipe, jobs: Sequence[Job], say: Console) -> Outcome:
    with Bars(say) as bars:
        return make(wanted, jobs, functools.partial(bars.advance, wanted.method.name, total=len(jobs)))


def _make_clip(wanted: Recipe, source: Source, target: Path, smoothing: float, outcome: Outcome, say: Console) -> None:
    status = Path(source.place).stat()
    seen = repr((str(Path(source.place).resolve()), status.st_size, status.st_mtime_ns, smoothing))
    note = digest(seen, wanted.fingerprint).hex()
    try:
        if not wanted.overwrite and target.exists() and not target.is_dir():
            there = video.read_note(target)
            if there == note:
                say.print(f"{target} was made before")
                return
            if there is None:
                raise ArnError(f"{target} is there and was not made by arn predict; --overwrite writes over it")
        with Bars(say, unit="frames") as bars:
            advance = functools.partial(bars.advance, source.place)
            count = video.predict_video(
                wanted.method,
                Path(source.place),
                target,
                wanted.style,
                wanted.method.batch_size,
                smoothing=smoothing,
                made_from=note,
                advance=advance,
                tell=say.print,
            )
        say.print(f"{count} frames -> {target}")
    except ArnError as error:
        outcome.failed.append((source.place, error.told))


def _summary(outcome: Outcome, what: str, where: str) -> str:
    parts = [f"{outcome.made} {what if outcome.made != 1 else what[:-1]} -> {where}"]
    if outcome.kept:
        parts.append(f"{outcome.kept} made before")
    if outcome.failed:
        parts.append(f"{len(outcome.failed)} not made")
    return ", ".join(parts)


def _tell_failed(outcome: Outcome, say: Console) -> None:
    """At the end, where a person sees it after a long folder."""
    if not outcome.failed:
        return
    sys.stdout.flush()
    for _, reason in outcome.failed[:TOLD]:
        print(f"arn predict: {reason}", file=sys.stderr)
    if len(outcome.failed) > TOLD:
        print(f"arn predict: and {len(outcome.failed) - TOLD} more", file=sys.stderr)


def _watch(
    wanted: Recipe, named: Sequence[str], request: PredictRequest, output: Path, done: set[str], say: Console
) -> None:
    """Look again and again for pictures that are new or changed, and make them once they have stopped growing."""
    folders = [word for word in named if not is_address(word) and Path(word).is_dir()]
    if not folders:
        raise ArnError("--watch is for folders, and none was named")
    say.print(f"watching {', '.join(folders)}; Ctrl-C ends it")

    def look() -> dict[str, tuple[Source, tuple[int, int]]]:
        found = {}
        for source in find(folders, recursive=request.recursive, without=[output], empty=True):
            try:
                status = Path(source.place).stat()
            except OSError:  # gone meanwhile
                continue
            found[source.place] = source, (status.st_size, status.st_mtime_ns)
        return found

    made = {place: state for place, (_, state) in look().items() if place in done}
    before: dict[str, tuple[Source, tuple[int, int]]] = {}
    while True:
        time.sleep(WATCH)
        now = look()
        ready = [
            one for one, state in now.values() if before.get(one.place) == (one, state) != (one, made.get(one.place))
        ]
        before = now
        if not ready:
            continue
        made |= {one.place: now[one.place][1] for one in ready}
        outcome = make(wanted, [Job(one, _below(output, one, wanted.suffix)) for one in ready])
        say.print(_summary(outcome, "pictures", str(output)))
        _tell_failed(outcome, say)
