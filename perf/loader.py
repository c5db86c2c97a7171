"""Training pictures a second of the loader alone, beside decoding JPEGs: python -m perf loader [--workers 2]

The floor: as many processes as the loader has, which read and decode the training pictures' JPEGs and nothing else,
neither masks nor resizing nor batches. The loader is timed as a run has it, without a network: an epoch that reads
files, the epoch that fills the cache of `data=duts`, and one from the cache. They take turns. Writes
outputs/perf/loader.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from arn.data.datamodule import SaliencyDataModule
from arn.data.layout import find_dataset
from arn.errors import ArnError
from perf.common import machine, ratios, spread, versions, write_json


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf loader", description=__doc__)
    parser.add_argument("--pictures", type=int, default=2400, help="of DUTS-TR, else of ECSSD (default 2400)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--size", type=int, default=224, help="px (default 224)")
    parser.add_argument("--repeats", type=int, default=3, help="turns (default 3)")
    chosen = parser.parse_args(arguments)
    name = dataset()
    data = module(name, chosen.pictures, chosen.size, chosen.workers, cache=None)
    cached = module(name, chosen.pictures, chosen.size, chosen.workers, cache=256)
    files = [str(pair.picture) for pair in data.training_source.pairs]  # type: ignore[attr-defined]
    rates: dict[str, list[float]] = {kind: [] for kind in ("decoding JPEGs", "from files", "filling", "from cache")}
    decode(files, chosen.workers)  # the files are in memory from here on
    files_epochs, cache_epochs = epochs(data), epochs(cached)
    next(files_epochs)  # starts the workers
    for turn in range(chosen.repeats):
        rates["decoding JPEGs"].append(decode(files, chosen.workers))
        rates["from files"].append(next(files_epochs))
        if turn == 0:
            rates["filling"].append(next(cache_epochs))
        rates["from cache"].append(next(cache_epochs))
    content: dict[str, Any] = {
        "what": "training pictures (with masks) a second, batches of 16: median, low and high of the turns",
        "machine": machine(),
        "versions": versions("torch", "numpy", "opencv-python-headless", "albumentations"),
        "set": name,
        "pictures": len(files),
        "size": chosen.size,
        "workers": chosen.workers,
        "turns": chosen.repeats,
        "rates": {kind: spread(values) for kind, values in rates.items()},
        "share of decoding": {
            kind: ratios(rates[kind], rates["decoding JPEGs"]) for kind in ("from files", "from cache")
        },
    }
    share = content["share of decoding"]["from cache"]["median"]
    content["goals"] = [
        {
            "case": f"{chosen.workers} workers, {chosen.size} px",
            "what": "of pure decoding's pictures a second, from the cache",
            "found": share,
            "sense": ">=",
            "bound": 0.9,
            "holds": share >= 0.9,
        }
    ]
    for kind, rate in content["rates"].items():
        print(f"{kind:16}{rate['median']:8,.0f} pictures/s  ({rate['low']:,.0f} .. {rate['high']:,.0f})")
    for kind, quotient in content["share of decoding"].items():
        print(f"{kind:16}{100 * quotient['median']:7.0f} % of decoding")
    print(f"written: {write_json('loader.json', content)}")


def dataset() -> str:
    for name in ("DUTS-TR", "ECSSD"):
        try:
            find_dataset(name)
            return name
        except ArnError:
            continue
    raise SystemExit("Neither DUTS-TR nor ECSSD: set ARN_DATA_DIR to the folder of the data sets.")


def module(name: str, count: int, size: int, workers: int, cache: int | None) -> SaliencyDataModule:
    made = SaliencyDataModule(
        train=[name], test=[], val=1, train_limit=count, size=size, batch_size=16, workers=workers, cache=cache
    )
    made.setup()
    return made


def epochs(data: SaliencyDataModule) -> Any:
    """Pictures a second of one epoch after the other, from the first batch on: starting workers is not counted."""
    loader = data.train_dataloader()
    epoch = 0
    while True:
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        batches = iter(loader)
        start, seen = time.perf_counter(), 0
        for index, batch in enumerate(batches):
            if index == 0:
                start = time.perf_counter()
            else:
                seen += len(batch["picture"])
        yield seen / (time.perf_counter() - start)
        epoch += 1


def _decode(files: list[str], barrier: Any, results: Any) -> None:
    cv2.setNumThreads(1)
    barrier.wait()
    start = time.perf_counter()
    for path in files:
        assert cv2.imdecode(np.frombuffer(Path(path).read_bytes(), np.uint8), cv2.IMREAD_COLOR) is not None
    results.put((start, time.perf_counter()))


def decode(files: list[str], number: int) -> float:
    """JPEGs a second that so many processes read and decode, from the first start to the last end."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(number), context.Queue()
    workers = [context.Process(target=_decode, args=(files[rank::number], barrier, results)) for rank in range(number)]
    for worker in workers:
        worker.start()
    marks = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return len(files) / (max(end for _, end in marks) - min(start for start, _ in marks))


if __name__ == "__main__":
    main(sys.argv[1:])
