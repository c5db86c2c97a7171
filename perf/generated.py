"""Pictures, masks and maps that are made up, for benches of any size."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
_END = b"\0\0\0\0IEND\xaeB`\x82"


def write_dataset(folder: Path, pictures: int, height: int, width: int) -> dict[str, Gray]:
    """A data set of ``images`` and ``masks``: an ellipse each, sharp as masks are. Returns the masks by stem."""
    random, masks = np.random.default_rng(0), {}
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(pictures):
        centre, axes = random.uniform(0.3, 0.7, 2) * (width, height), random.uniform(0.1, 0.3, 2) * (width, height)
        mask = np.zeros((height, width), np.uint8)
        angle = float(random.uniform(0, 180))
        cv2.ellipse(mask, centre.astype(int).tolist(), axes.astype(int).tolist(), angle, 0, 360, 255, -1)
        stem = f"{number:05d}"
        masks[stem] = mask
        picture = np.repeat(cv2.GaussianBlur(mask, (5, 5), 2)[..., None] // 2 + 64, 3, axis=2)
        (folder / "images" / f"{stem}.jpg").write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
        (folder / "masks" / f"{stem}.png").write_bytes(marked(png(mask, 1), stem))
    return masks


def png(levels: Gray, bits: int = 8) -> bytes:
    return cv2.imencode(".png", levels, [cv2.IMWRITE_PNG_BILEVEL, int(bits == 1)])[1].tobytes()


def like_a_network(mask: Gray, random: np.random.Generator) -> Gray:
    """A map as networks make them: soft edges, some of the ground, uneven inside; its PNG is of usual size."""
    height, width = mask.shape
    soft = cv2.GaussianBlur(mask, (0, 0), max(1.0, width / random.uniform(40, 160))).astype(np.float32)
    uneven = cv2.resize(random.normal(0, 25, (8, 8)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    levels = soft + uneven * (0.15 + soft / 255)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def marked(data: bytes, text: str) -> bytes:
    """The same picture with a comment, so that its content is nobody else's."""
    chunk = b"tEXtComment\0" + text.encode()
    length, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return data.removesuffix(_END) + length + chunk + check + _END


def write_maps(folder: Path, masks: Mapping[str, Gray], drawn: Mapping[str, Sequence[bytes]] | None = None) -> None:
    """A map of each mask, one of those `drawn` of it (PNG) if there are any, each file of its own content."""
    folder.mkdir(parents=True)
    seed = zlib.crc32(folder.name.encode())
    blurred = {} if drawn is not None else {stem: [png(cv2.blur(mask, (5, 5)))] for stem, mask in masks.items()}
    for stem, choice in (blurred if drawn is None else drawn).items():
        (folder / f"{stem}.png").write_bytes(marked(choice[seed % len(choice)], f"{folder.name}/{stem}"))
