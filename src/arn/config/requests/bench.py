"""What ``arn bench`` is asked for: conf/bench.yaml, typed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated, Any

from arn.config.instantiate import to_plain
from arn.config.schema import AtLeast, Between, read
from arn.errors import ArnError

LISTS = ("datasets", "methods", "protocol", "columns")
"""Keys that take a list, or one name as it is."""

NAMED = ("checkpoints", "onnx", "maps", "trained_on")
"""Keys that take values by name."""


@dataclass
class BenchRequest:
    """The keys of conf/bench.yaml.

    Not a schema of Hydra's: `measures` and `workers` are a word or something else, which OmegaConf has no type for.
    """

    datasets: list[str]
    protocol: list[str]
    columns: list[str]
    methods: list[str] | None = None
    checkpoints: dict[str, str] = field(default_factory=dict)
    onnx: dict[str, str] = field(default_factory=dict)
    maps: dict[str, Any] = field(default_factory=dict)
    trained_on: dict[str, Any] = field(default_factory=dict)
    measures: Any = "all"
    printed: str | None = None
    coverage: str = "strict"
    resamples: Annotated[int, AtLeast(0)] = 10_000
    confidence: Annotated[float, Between(0, 1)] = 0.95
    seed: Annotated[int, AtLeast(0)] = 0
    timing: Annotated[int, AtLeast(0)] = 16
    figures: bool = True
    browser: Annotated[int, AtLeast(0)] = 300
    shard: str | None = None
    shards: Annotated[int | None, AtLeast(1)] = None
    cache: str | None = None
    workers: Any = "auto"
    batch_size: Annotated[int, AtLeast(1)] = 8
    device: str = "auto"
    name: str = "bench"
    tags: list[str] = field(default_factory=list)
    logger: dict[str, Any] | None = None
    launcher: dict[str, Any] | None = None

    @classmethod
    def of(cls, config: Any) -> BenchRequest:
        """Raises ArnError naming the key for a wrong type, a value beyond its limits, and an unknown key."""
        plain = dict(to_plain(config))
        for key in LISTS:
            if isinstance(plain.get(key), str):
                plain[key] = [plain[key]]
        for key in NAMED:
            plain[key] = plain.get(key) or {}
            if not isinstance(plain[key], dict):
                raise ArnError(f"{key} takes names: {key}={{NAME: VALUE}}, not {plain[key]!r}")
        if not (plain.get("shards") is None or isinstance(plain["shards"], int)):
            raise ArnError(f"shards={plain['shards']}: a number of jobs, at least 1")
        request = read(cls, plain)
        for key in ("datasets", "protocol"):
            if not getattr(request, key):
                raise ArnError(f"{key}=[] names no {key.removesuffix('s').replace('dataset', 'data set')}")
        if request.shard is not None and request.shards is not None:
            raise ArnError("shard= is one part, shards= starts all of them: give one of the two")
        if request.cache is None and (request.shard or request.shards):
            raise ArnError(
                "shard= hands its scores on through the cache: name a folder that all machines see, cache=PATH"
            )
        workers = request.workers
        if workers != "auto" and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise ArnError(f"workers={workers}: a number of processes, at least 1, or auto")
        return request

    @property
    def processes(self) -> int:
        """How many processes score."""
        if self.workers != "auto":
            return int(self.workers)
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
