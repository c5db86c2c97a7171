"""Reads what W&B wrote offline: the records of a `.wandb` file, which is what `wandb sync` sends.

W&B has no reader of its own in Python any more. The file is a log in LevelDB's format: 7 bytes of head, then blocks of
32 KiB holding pieces, each with checksum (4 bytes), length (2) and kind (1: whole, 2: first, 3: middle, 4: last).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

BLOCK = 32 * 1024


def records(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    assert data[:4] == b":W&B", f"{path} is no W&B file"
    place, joined = 7, b""
    while place < len(data):
        left = BLOCK - place % BLOCK
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        joined += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield joined
            joined = b""
    assert not joined, "the last record is cut off"


def read(path: Path) -> SimpleNamespace:
    """What one file holds: the run's name, group, tags, kind; config, history, summary, metrics and artifacts."""
    from wandb.proto import wandb_internal_pb2 as proto

    told = SimpleNamespace(
        run=None, config={}, history=[], summary={}, metrics={}, artifacts=[], files=[], exit_code=None
    )
    for data in records(path):
        record = proto.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            told.run = record.run
            told.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "config":
            told.config |= {item.key: json.loads(item.value_json) for item in record.config.update}
        elif kind == "history":
            items = {
                (item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in record.history.item
            }
            told.history.append(items)
        elif kind == "summary":
            for item in record.summary.update:
                told.summary[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        elif kind == "metric":
            metric = record.metric
            told.metrics[metric.name or metric.glob_name] = metric
        elif kind == "artifact":
            told.artifacts.append(record.artifact)
        elif kind == "files":
            told.files += [file.path for file in record.files.files]
        elif kind == "exit":
            told.exit_code = record.exit.exit_code
    return told
