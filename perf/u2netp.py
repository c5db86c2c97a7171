"""U2-Netp in ONNX Runtime as its users run it: python -m perf.u2netp U2NETP.ONNX PICTURE_OR_FOLDER OUTPUT

Decoded by Pillow, squeezed to 320 px by Lanczos, divided by its largest value and normalised as for ImageNet, one
picture at a time in a session of as many threads as there are cores; the first output stretched to 0..1 and brought
back to the picture's size. No suite: perf/predict.py runs it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
from PIL import Image

SIDE = 320
MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


def run(model: str, source: Path, output: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    output.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()) if source.is_dir() else [source]:
        picture = Image.open(path).convert("RGB")
        square = np.array(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
        square = (square / max(square.max(), 1) - MEAN) / STD
        (found,) = session.run([session.get_outputs()[0].name], {session.get_inputs()[0].name: batch(square)})
        saliency = found[0, 0]
        saliency = (saliency - saliency.min()) / (saliency.max() - saliency.min())
        small = Image.fromarray((saliency * 255).astype(np.uint8))
        small.resize(picture.size, Image.Resampling.LANCZOS).save(output / f"{path.stem}.png")


def batch(square: np.ndarray) -> np.ndarray:
    """H x W x 3 -> float32 1 x 3 x H x W."""
    return square.transpose(2, 0, 1)[None].astype(np.float32)


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
