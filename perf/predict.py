"""Pictures a second of `arn predict` beside one step after the other: python -m perf predict [--pictures 64]

Real pictures (ECSSD, else drawn scenes) to maps on disk, by the shipped light network: as the command does it, in a
process of its own, decoding ahead and writing behind; one step after the other; and the network alone on decoded
pictures, the floor. All run under the command's allocator setting, in turns. The command's start-up is the time that it
takes for one picture; its rate is that of the others. The maps of both ways are compared byte for byte. Writes
outputs/perf/predict.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arn.data.images import read_picture, write_map
from perf.common import data_root, in_process, machine, ratios, spread, take_turns, versions, write_json
from perf.startup import timed

NETWORK = "arn_lite"
WAYS = ("arn predict", "one step after the other", "network alone")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf predict", description=__doc__)
    parser.add_argument("--pictures", type=int, default=64, help="default 64, at least 2")
    parser.add_argument("--repeats", type=int, default=5, help="turns (default 5)")
    parser.add_argument("--batch", type=int, default=8, help="default 8")
    chosen = parser.parse_args(arguments)
    turns, startups = [], []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        paths = lay_out(place / "all", chosen.pictures)
        if len(paths) < 2:
            parser.error(f"--pictures {chosen.pictures}: start-up is told apart from two pictures on")
        for _ in range(chosen.repeats):
            startup = command(paths[0], place / "one", chosen.batch)
            whole = command(place / "all", place / "a", chosen.batch)
            startups.append(startup)
            others = (whole - startup) / (len(paths) - 1)
            turns.append([others, *in_process("predict", "--alone", folder, str(chosen.batch))])
        same = all((place / kind).is_dir() for kind in "ab") and all(
            (place / "a" / path.with_suffix(".png").name).read_bytes()
            == (place / "b" / path.with_suffix(".png").name).read_bytes()
            for path in paths
        )
    seconds = {way: [turn[number] for turn in turns] for number, way in enumerate(WAYS)}
    content: dict[str, Any] = {
        "what": "pictures a second: median, low and high of the turns",
        "machine": machine(),
        "versions": versions("torch", "opencv-python-headless"),
        "network": NETWORK,
        "pictures": len(paths),
        "turns": chosen.repeats,
        "startup": spread(startups),
        "rates": {way: spread([1 / each for each in values]) for way, values in seconds.items()},
        "times one after the other": ratios(seconds[WAYS[1]], seconds[WAYS[0]]),
        "share of the network alone": ratios(seconds[WAYS[2]], seconds[WAYS[0]]),
        "same maps": same,
    }
    print(f"{'start-up, one picture':26}{content['startup']['median']:8.2f} s")
    for name, rate in content["rates"].items():
        print(f"{name:26}{rate['median']:8.1f} pictures/s  ({rate['low']:.1f} .. {rate['high']:.1f})")
    print(f"maps byte for byte the same: {same}")
    print(f"written: {write_json('predict.json', content)}")


def command(source: Path, output: Path, batch: int) -> float:
    """Seconds of `arn predict` in a process of its own, start-up and all."""
    program = str(Path(sys.executable).with_name("arn"))
    options = (f"checkpoint={NETWORK}", "device=cpu", f"batch_size={batch}")
    return timed(program, "predict", f"input={source}", f"output={output}", *options)


def alone(folder: Path, batch: int) -> list[float]:
    """Seconds a picture, one step after the other and by the network alone, once both have run."""
    from arn.inference.loading import load

    predictor = load(NETWORK)
    paths = sorted((folder / "all").iterdir())
    decoded = [read_picture(path) for path in paths]

    def in_a_row() -> None:
        for some in batches(paths, batch):
            for path, saliency in zip(some, predictor.maps([read_picture(path) for path in some]), strict=True):
                write_map(folder / "b" / f"{path.stem}.png", saliency)

    def network() -> None:
        for some in batches(decoded, batch):
            predictor.maps(some)

    taken = take_turns({"in a row": in_a_row, "network": network}, 1)
    return [values[0] / len(paths) for values in taken.values()]


def batches(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def lay_out(folder: Path, count: int) -> list[Path]:
    """The pictures in a folder of their own, as the command takes them."""
    folder.mkdir()
    real = sorted((data_root() / "ECSSD" / "images").glob("*.jpg"))[:count]
    for path in real:
        shutil.copy(path, folder)
    if not real:
        from PIL import Image

        from arn.data.scenes import draw_scene

        for index in range(count):
            Image.fromarray(draw_scene(0, index, (300, 400))[0]).save(folder / f"{index:04d}.jpg", quality=92)
    return sorted(folder.iterdir())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        from arn.inference.allocation import reuse_memory

        reuse_memory()  # as the command does
        print(json.dumps(alone(Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        main(sys.argv[1:])
