"""What each verb is asked for, as a dataclass: a config is turned into one once, and only travels down from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from arn.config.schema import Above, AtLeast, Between, Limit, OneOf, check_arguments, read, to_plain
from arn.config.units import parse_size
from arn.errors import ArnError
from arn.provenance import cores

TTA = OneOf("flip", "none")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


_JOBS = Limit("a number of jobs, at least 1", _is_count)
_PROCESSES = Limit("a number of processes, at least 1, or auto", lambda value: value == "auto" or _is_count(value))
_BATCH_SIZE = Limit("at least 1, or auto", lambda value: value == "auto" or _is_count(value))


@dataclass
class Request:
    """The keys of conf/VERB.yaml, typed."""

    plugins: list[str] = field(default_factory=list, kw_only=True)  # packages that configs may name beside this one

    @classmethod
    def of(cls, config: Any) -> Self:
        """Raises ArnError naming the key for a wrong type, a value beyond its limits, and an unknown key."""
        return read(cls, config)


@dataclass
class ExportRequest(Request):
    checkpoint: str
    output: str
    half: bool = False
    float32_up_to: Annotated[int, AtLeast(0)] = 3000
    tta: Annotated[str | None, TTA] = None


@dataclass
class MethodRequest(Request):
    """What maps are made by: a checkpoint, an ONNX file or a training-free method; none is ARN-Lite as shipped."""

    checkpoint: str | None = field(default=None, kw_only=True)
    onnx: str | None = field(default=None, kw_only=True)
    method: str | None = field(default=None, kw_only=True)
    batch_size: Annotated[Any, _BATCH_SIZE] = field(default="auto", kw_only=True)
    tta: Annotated[str | None, TTA] = field(default=None, kw_only=True)
    device: str = field(default="auto", kw_only=True)
    precision: Annotated[str, OneOf("auto", "fp32", "bf16")] = field(default="auto", kw_only=True)
    runtime: Annotated[str, OneOf("auto", "torch", "onnx")] = field(default="auto", kw_only=True)

    @classmethod
    def of(cls, config: Any) -> Self:
        request = read(cls, config, renamed={"as": "kind"})
        if sum(name is not None for name in (request.checkpoint, request.onnx, request.method)) > 1:
            raise ArnError("give checkpoint=FILE, onnx=FILE or method=NAME, one of the three or none")
        if request.tta is not None and (request.onnx or request.method):
            raise ArnError("tta= is for checkpoints: an ONNX file has it or not, and training-free methods have none")
        return request


_MEGAPIXELS = Limit("above 0, and at most 1000", lambda value: 0 < value <= 1000)  # OpenCV reads 2^30 pixels
_SMOOTHING = Limit("at least 0 and below 1", lambda value: 0 <= value < 1)


@dataclass
class PredictRequest(MethodRequest):
    """``kind`` is ``as`` of conf/predict.yaml, a word of Python's."""

    input: str | None = None
    output: str | None = None
    kind: Annotated[str, OneOf("map", "overlay", "cutout")] = "map"
    background: str | None = None
    crop: bool = False
    margin: Annotated[float, AtLeast(0)] = 0.05
    format: Annotated[str | None, OneOf("png", "jpeg", "webp", "tiff")] = None
    quality: Annotated[int, Between(1, 100, closed=True)] = 95
    smoothing: Annotated[float, _SMOOTHING] = 0.0
    recursive: bool = True
    overwrite: bool = False
    watch: bool = False
    max_megapixels: Annotated[float, _MEGAPIXELS] = 178.0


@dataclass
class ServeRequest(MethodRequest):
    host: str = "127.0.0.1"
    port: Annotated[int, Between(0, 65535, closed=True)] = 8000
    hosts: list[str] = field(default_factory=list)
    max_megabytes: Annotated[float, Above(0)] = 32.0
    max_megapixels: Annotated[float, _MEGAPIXELS] = 50.0
    max_requests: Annotated[int, AtLeast(1)] = 32
    timeout: Annotated[float, Above(0)] = 30.0


@dataclass
class ReportRequest(Request):
    runs: str
    output: str
    reference: str | None = None
    resamples: Annotated[int, AtLeast(0)] = 10_000
    confidence: Annotated[float, Between(0, 1)] = 0.95
    seed: Annotated[int, AtLeast(0)] = 0
    figures: bool = True
    name: str = "report"
    tags: list[str] = field(default_factory=list)
    logger: dict[str, Any] | None = None


@dataclass
class MapOptions:
    """How the maps of a folder are read: ``maps={NAME: {folder: DIR, suffix: _sal.png, resize: bilinear}}``."""

    suffix: str | None = None
    resize: Annotated[str | None, OneOf("bilinear", "nearest", "bicubic", "area")] = None
    range: Annotated[float | None, Above(0)] = None


@dataclass
class BenchRequest(Request):
    """``methods_file`` is ``from`` of conf/bench.yaml, a word of Python's. `maps` may be a folder, `datasets` empty:
    :func:`arn.evaluation.given_maps.with_found_maps` fills both in.
    """

    datasets: list[str]
    protocol: list[str]
    columns: list[str]
    methods: list[str] | None = None
    checkpoints: dict[str, str] = field(default_factory=dict)
    onnx: dict[str, str] = field(default_factory=dict)
    maps: Any = field(default_factory=dict)
    methods_file: str | None = None
    trained_on: dict[str, Any] = field(default_factory=dict)
    masks: dict[Any, Any] = field(default_factory=dict)
    measures: Any = "all"
    printed: str | None = None
    coverage: str = "strict"
    resamples: Annotated[int, AtLeast(0)] = 10_000
    confidence: Annotated[float, Between(0, 1)] = 0.95
    seed: Annotated[int, AtLeast(0)] = 0
    timing: Annotated[int, AtLeast(0)] = 16
    figures: bool = True
    style: str | None = None
    latex: Annotated[str, OneOf("plain", "siunitx")] = "plain"
    marks: Annotated[str, OneOf("black", "colour")] = "black"
    xlsx: bool = False
    browser: Annotated[int, AtLeast(0)] = 300
    shard: str | None = None
    shards: Annotated[Any, _JOBS] = None
    cache: str | None = None
    cache_limit: Any = None
    workers: Annotated[Any, _PROCESSES] = "auto"
    batch_size: Annotated[int, AtLeast(1)] = 8
    max_megapixels: Annotated[float, _MEGAPIXELS] = 178.0
    device: str = "auto"
    name: str = "bench"
    tags: list[str] = field(default_factory=list)
    logger: dict[str, Any] | None = None
    launcher: dict[str, Any] | None = None

    @classmethod
    def of(cls, config: Any) -> Self:
        plain = dict(to_plain(config))
        for key in ("datasets", "methods", "protocol", "columns"):  # a list, or one name as it is
            if isinstance(plain.get(key), str):
                plain[key] = [plain[key]]
        for key in ("checkpoints", "onnx", "maps", "trained_on", "masks"):
            plain[key] = plain.get(key) or {}
            if not isinstance(plain[key], dict | str if key == "maps" else dict):
                raise ArnError(f"{key} takes names: {key}={{NAME: VALUE}}, not {plain[key]!r}")
        for key, what in (("datasets", "data set"), ("protocol", "protocol")):
            if plain.get(key) == []:
                raise ArnError(f"{key}=[] names no {what}")
        plain["datasets"] = plain.get("datasets") or []
        request = read(cls, plain, renamed={"from": "methods_file"})
        if request.shard is not None and request.shards is not None:
            raise ArnError("shard= is one part, shards= starts all of them: give one of the two")
        if request.cache is None and (request.shard or request.shards):
            raise ArnError(
                "shard= hands its scores on through the cache: name a folder that all machines see, cache=PATH"
            )
        _ = request.cache_bytes
        return request

    @property
    def cache_bytes(self) -> int | None:
        """The most that the cache may hold after a bench; None: no limit. Raises ArnError for what is no size."""
        return None if self.cache_limit is None else parse_size("cache_limit", self.cache_limit)

    @property
    def processes(self) -> int:
        """How many processes score."""
        return cores() if self.workers == "auto" else int(self.workers)


@dataclass
class CheckpointOptions:
    """Which validation is the best, and how often ``last.ckpt`` is written inside an epoch, minutes."""

    monitor: str = "val/mae"
    mode: Annotated[str, OneOf("min", "max")] = "min"
    minutes: Annotated[float, Between(0, 1e6, closed=True)] = 5.0


DECAYS = ("none", "cosine", "poly", "step")


@dataclass
class ScheduleOptions:
    """conf/schedule: how the learning rate goes, see :class:`arn.training.task.Schedule`."""

    warmup: Annotated[float, Between(0, 1, closed=True)] = 0.0
    decay: Annotated[str, OneOf(*DECAYS)] = "none"
    floor: Annotated[float, Between(0, 1, closed=True)] = 0.0
    every: Annotated[int, AtLeast(1)] | None = None


@dataclass
class TrainRequest(Request):
    """Groups are dicts: the signature of the class that their ``_target_`` names, also one from outside this package,
    is their schema, which :func:`arn.config.instantiate.instantiate` checks.
    """

    name: str
    data: dict[str, Any]
    network: dict[str, Any]
    loss: dict[str, Any]
    optimizer: dict[str, Any]
    schedule: ScheduleOptions
    trainer: dict[str, Any]
    logger: dict[str, Any] | None = None
    callbacks: dict[str, Any] | None = None
    profiler: dict[str, Any] | None = None
    launcher: dict[str, Any] | None = None
    tune: dict[str, Any] | None = None
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    seed: Annotated[int, Between(0, 2**32 - 1, closed=True)] = 0
    resume: str | None = None
    pretrained: bool = True
    start_from: str | None = None
    backbone_lr: Annotated[float, AtLeast(0)] = 1.0
    freeze_backbone_norm: bool = False
    panels: Annotated[int, AtLeast(0)] = 8
    max_megapixels: Annotated[float, _MEGAPIXELS] = 178.0
    tags: list[str] = field(default_factory=list)
    sweep: str | None = None
    label: str | None = None
    watch: Annotated[str, OneOf("gradients", "parameters", "all")] | None = None

    @classmethod
    def of(cls, config: Any) -> Self:
        request = read(cls, config)
        check_trainer(request.trainer)
        _check_monitors(request)
        return request


def _check_monitors(request: TrainRequest) -> None:
    """What is watched must be there, or training ends at its first validation."""
    logged = OneOf("val/mae", "val/max_f", "train/loss", "train/loss_step", "train/loss_epoch", "epoch", "step")
    logged.check("checkpoint.monitor", request.checkpoint.monitor)
    for name, callback in (request.callbacks or {}).items():
        if isinstance(callback, Mapping) and str(callback.get("_target_")).endswith(".EarlyStopping"):
            logged.check(f"callbacks.{name}.monitor", callback.get("monitor"))


_BATCHES = Limit(
    "a count from 1 on, or a share above 0 and up to 1",
    lambda value: value >= 1 if isinstance(value, int) else 0 < value <= 1,
)

_TRAINER_LIMITS = {
    "limit_train_batches": _BATCHES,
    "limit_val_batches": _BATCHES,
    "limit_test_batches": _BATCHES,
    "val_check_interval": _BATCHES,
    "gradient_clip_val": AtLeast(0),
    "max_steps": AtLeast(-1),
    "max_epochs": AtLeast(0),
    "num_nodes": AtLeast(1),
    "accumulate_grad_batches": AtLeast(1),
    "check_val_every_n_epoch": AtLeast(1),
    "log_every_n_steps": AtLeast(0),
}

_TRAINER_OWN = ("logger", "callbacks", "profiler", "plugins", "default_root_dir", "use_distributed_sampler")
"""What ``arn train`` hands to the Trainer itself."""


def check_trainer(options: Mapping[str, Any]) -> None:
    """Check ``trainer`` by Lightning's own signature and the ranges that it would trip over later; raises ArnError."""
    from pytorch_lightning import Trainer

    for key in _TRAINER_OWN:
        if key in options:
            raise ArnError(f"trainer.{key}: arn train sets it; choose by {key}= where there is such a group")
    # `auto` is a precision of ours, which the device decides.
    devices, most = options.get("devices"), max(16, 4 * cores())
    if options.get("accelerator") == "cpu" and isinstance(devices, int) and devices > most:
        raise ArnError(f"trainer.devices={devices}: as many processes on {cores()} cores; at most {most}")
    theirs = {key: value for key, value in options.items() if (key, value) != ("precision", "auto")}
    check_arguments(Trainer, theirs, "trainer")
    for key, limit in _TRAINER_LIMITS.items():
        if isinstance(options.get(key), int | float):  # a time, as text, is Lightning's to judge
            limit.check(f"trainer.{key}", options[key])
