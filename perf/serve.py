"""`arn serve` under load: python -m perf serve [--requests 2000] [--clients 16]

Real pictures (ECSSD, else drawn scenes) sent to the command in a process of its own, each client one after the other
over a connection that it keeps. Every answer is to be an image of its picture's size. Seconds a request as the clients
see them, pictures a second, and the service's resident memory before, after a quarter, a half, and all. Writes
outputs/perf/serve.json.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import itertools
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from perf.common import machine, versions, write_json
from perf.predict import lay_out

Picture = tuple[bytes, tuple[int, int]]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf serve", description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="default 2000")
    parser.add_argument("--clients", type=int, default=16, help="at a time (default 16)")
    parser.add_argument("--kind", default="cutout", help="cutout (default), overlay or map")
    parser.add_argument("--pictures", type=int, default=200, help="different ones (default 200)")
    parser.add_argument("options", nargs="*", help="of arn serve, e.g. batch_size=4")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        pictures = [read(path) for path in lay_out(Path(folder) / "all", chosen.pictures)]
    before = machine()
    with running(chosen.options) as (address, by):
        content = {
            "what": f"arn serve, {chosen.kind}s of {len(pictures)} pictures",
            "machine": before,
            "versions": versions("torch", "starlette", "uvicorn"),
            "by": by,
            "clients": chosen.clients,
            **load(address, pictures, chosen.requests, chosen.clients, chosen.kind),
        }
    print(f"{content['answers']} from {chosen.clients} clients, {by}, load before {before.get('load_before')}")
    print(f"seconds: p50 {content['p50']:.3f}  p95 {content['p95']:.3f}  most {content['most']:.3f}")
    print(f"{content['rate']:.1f} pictures/s, {content['batch']:.1f} a batch")
    print("resident MB after " + ", ".join(f"{done}: {held:.0f}" for done, held in content["resident"].items()))
    print(f"written: {write_json('serve.json', content)}")


def read(path: Path) -> Picture:
    with Image.open(path) as image:
        return path.read_bytes(), image.size


@contextlib.contextmanager
def running(options: list[str]) -> Iterator[tuple[str, str]]:
    """Host and port of a service, and what its maps are made by."""
    command = [str(Path(sys.executable).with_name("arn")), "serve", "port=0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        by, told = process.stdout.readline().strip(), process.stdout.readline()
        found = re.search(r"http://(\S+)", told)
        if found is None:
            raise SystemExit(f"{' '.join(command)} does not start")
        yield found[1], by
    finally:
        process.terminate()
        process.wait()


def metrics(address: str) -> dict[str, float]:
    connection = http.client.HTTPConnection(address)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def load(address: str, pictures: list[Picture], requests: int, clients: int, kind: str) -> dict[str, Any]:
    """Every client sends until `requests` are sent in all."""
    resident: dict[int, float] = {}

    def note(done: int) -> None:
        resident[done] = metrics(address).get("process_resident_memory_bytes", float("nan")) / 1e6

    seconds: list[float] = []
    answers: Counter[str] = Counter()
    numbers, noting = itertools.count(), threading.Lock()
    marks = {requests // 4, requests // 2, requests}

    def client() -> None:
        connection = http.client.HTTPConnection(address, timeout=120)
        while (number := next(numbers)) < requests:
            data, size = pictures[number % len(pictures)]
            start = time.perf_counter()
            try:
                connection.request("POST", f"/?as={kind}", data, {"Content-Type": "image/jpeg"})
                answer = connection.getresponse()
                image = answer.read()
                told = str(answer.status)
                if answer.status == 200 and Image.open(io.BytesIO(image)).size != size:
                    told = "another size"
            except (OSError, http.client.HTTPException) as error:
                told = type(error).__name__
                connection.close()
            with noting:
                answers[told] += 1
                seconds.append(time.perf_counter() - start)
                if len(seconds) in marks:
                    note(len(seconds))
        connection.close()

    note(0)
    threads = [threading.Thread(target=client) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - start
    after = metrics(address)
    cuts = statistics.quantiles(seconds, n=20)
    return {
        "answers": dict(answers),
        "p50": cuts[9],
        "p95": cuts[18],
        "most": max(seconds),
        "rate": requests / took,
        "batch": after["arn_batch_pictures_sum"] / after["arn_batch_pictures_count"],
        "resident": dict(sorted(resident.items())),
    }
