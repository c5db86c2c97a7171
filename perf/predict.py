"""Pictures a second of `arn predict` beside one step after the other: python -m perf predict [--pictures 64]

Real pictures (ECSSD, else drawn scenes) to maps on disk, by the shipped light network: as the verb does it,
decoding ahead and writing behind; one step after the other; and the network alone on decoded pictures, the floor. They
take turns. The maps of both ways are compared byte for byte. Writes outputs/perf/predict.json.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from arn.data.images import read_picture, write_map
from arn.inference.allocation import reuse_memory
from arn.inference.predictor import Predictor
from arn.inference.weights import load_network
from arn.verbs.predict import predict_pictures
from perf.common import data_root, machine, ratios, spread, take_turns, versions, write_json

NETWORK = "arn_lite"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf predict", description=__doc__)
    parser.add_argument("--pictures", type=int, default=64, help="default 64")
    parser.add_argument("--repeats", type=int, default=5, help="turns (default 5)")
    parser.add_argument("--batch", type=int, default=8, help="default 8")
    chosen = parser.parse_args(arguments)
    reuse_memory()  # as the verb does, for all three
    predictor = Predictor(*load_network(NETWORK))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        paths = pictures(place, chosen.pictures)
        decoded = [read_picture(path) for path in paths]
        together, alone = ([(path, place / kind / f"{path.stem}.png") for path in paths] for kind in ("a", "b"))

        def in_a_row() -> None:
            for start in range(0, len(alone), chosen.batch):
                batch = alone[start : start + chosen.batch]
                maps = predictor.maps([read_picture(path) for path, _ in batch])
                for (_, target), saliency in zip(batch, maps, strict=True):
                    write_map(target, saliency)

        def network() -> None:
            for start in range(0, len(decoded), chosen.batch):
                predictor.maps(decoded[start : start + chosen.batch])

        jobs = {
            "arn predict": lambda: predict_pictures(predictor, together, "map", chosen.batch),
            "one step after the other": in_a_row,
            "network alone": network,
        }
        taken = take_turns(jobs, chosen.repeats)
        same = all(a.read_bytes() == b.read_bytes() for (_, a), (_, b) in zip(together, alone, strict=True))
    content: dict[str, Any] = {
        "what": "pictures a second: median, low and high of the turns",
        "machine": machine(),
        "versions": versions("torch", "opencv-python-headless"),
        "network": f"{NETWORK} at {predictor.input_size} px",
        "pictures": len(paths),
        "turns": chosen.repeats,
        "rates": {name: spread([len(paths) / seconds for seconds in values]) for name, values in taken.items()},
        "times one after the other": ratios(taken["one step after the other"], taken["arn predict"]),
        "share of the network alone": ratios(taken["network alone"], taken["arn predict"]),
        "same maps": same,
    }
    for name, rate in content["rates"].items():
        print(f"{name:26}{rate['median']:8.1f} pictures/s  ({rate['low']:.1f} .. {rate['high']:.1f})")
    print(f"maps byte for byte the same: {same}")
    print(f"written: {write_json('predict.json', content)}")


def pictures(folder: Path, count: int) -> list[Path]:
    found = sorted((data_root() / "ECSSD" / "images").glob("*.jpg"))[:count]
    if found:
        return found
    from PIL import Image

    from arn.data.scenes import draw_scene

    for index in range(count):
        Image.fromarray(draw_scene(0, index, (300, 400))[0]).save(folder / f"{index:04d}.jpg", quality=92)
    return sorted(folder.glob("*.jpg"))


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
