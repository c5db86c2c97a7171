"""What `arn data audit` finds of altered copies: python -m perf audit [--pictures 600]

Real pictures, a third each of DUTS-TR, ECSSD and SOD (at most 300 of these), are altered in known ways, written to disk
and audited against their originals: found, missed, and pairs of different pictures reported. Then the first stage,
beside the usual 64-bit hash of signs (Zauner 2010) at the same number of candidates among different pictures. Writes
outputs/perf/audit.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from arn.data.audit import CANDIDATE, MARGIN, SIDE, WAVES, audit, hashes, thumbnail
from arn.data.images import read_picture
from arn.data.layout import Pair, find_dataset, find_pairs
from perf.common import machine, versions, write_json

Picture = NDArray[np.uint8]
SETS = ("DUTS-TR", "ECSSD", "SOD")
RANDOM = np.random.default_rng(0)


def resized(picture: Picture, width: int, height: int) -> Picture:
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def cropped(picture: Picture, low: float, high: float) -> Picture:
    """Without a random share, `low` to `high`, of each of the four sides."""
    height, width = picture.shape[:2]
    top, bottom, left, right = RANDOM.uniform(low, high, 4)
    rows = slice(round(top * height), height - round(bottom * height))
    return picture[rows, round(left * width) : width - round(right * width)]


def gray(picture: Picture) -> Picture:
    return np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)


# name -> (alteration, JPEG quality it is stored with)
ALTERATIONS: dict[str, tuple[Callable[[Picture], Picture], int]] = {
    "mirrored": (lambda picture: picture[:, ::-1], 95),
    "JPEG quality 30": (lambda picture: picture, 30),
    "JPEG quality 10": (lambda picture: picture, 10),
    "resized to 224 x 224": (lambda picture: resized(picture, 224, 224), 95),
    "resized to 96 x 64": (lambda picture: resized(picture, 96, 64), 95),
    "gray": (gray, 95),
    "brighter, clipped": (lambda picture: np.clip(picture * 1.2 + 10, 0, 255).astype(np.uint8), 95),
    "cropped 3 % a side": (lambda picture: cropped(picture, 0.03, 0.03), 95),
    "cropped 5 % a side": (lambda picture: cropped(picture, 0.05, 0.05), 95),
    "cropped 8 % a side": (lambda picture: cropped(picture, 0.08, 0.08), 95),
    "cropped 0-8 % a side": (lambda picture: cropped(picture, 0, 0.08), 95),
    "cropped 0-12 % a side": (lambda picture: cropped(picture, 0, 0.12), 95),
    "mirrored, cropped 0-6 %, gray, 224 x 224, quality 30": (
        lambda picture: resized(gray(cropped(picture[:, ::-1], 0, 0.06)), 224, 224),
        30,
    ),
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m perf audit", description=__doc__)
    parser.add_argument("--pictures", type=int, default=600)
    wanted = parser.parse_args(arguments).pictures
    pairs: list[Pair] = []
    for name in SETS:
        found = find_dataset(name)
        chosen = np.sort(RANDOM.permutation(len(found))[: min(wanted // len(SETS), 300)])
        # The stem says the set, too: it is what a copy is known by.
        pairs += [Pair(f"{name}-{found[index].stem}", found[index].picture, None) for index in chosen]

    rows, copies = [], {}
    print(f"{len(pairs)} pictures\n\n| altered | found | of | wrong | seconds |\n| --- | ---: | ---: | ---: | ---: |")
    for name, (alter, quality) in ALTERATIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            for pair in pairs:
                altered = np.ascontiguousarray(alter(read_picture(pair.picture))[:, :, ::-1])
                cv2.imwrite(f"{folder}/{pair.stem}.jpg", altered, [cv2.IMWRITE_JPEG_QUALITY, quality])
            written = find_pairs(Path(folder), None)
            started = time.perf_counter()
            matches = audit(pairs, written)
            seconds = time.perf_counter() - started
            by_stem = {pair.stem: thumbnail(read_picture(pair.picture)) for pair in written}
        hits = [match.similarity for match in matches if match.a.stem == match.b.stem]
        # SOD and ECSSD hold the same pictures: a match between sets is no mistake.
        wrong = sum(
            match.a.stem != match.b.stem and {match.a.stem[:3], match.b.stem[:3]} != {"ECS", "SOD"} for match in matches
        )
        copies[name] = np.stack([by_stem[pair.stem] for pair in pairs])
        rows.append({"altered": name, "found": len(hits), "of": len(pairs), "wrong": wrong, "seconds": seconds})
        print(f"| {name} | {len(hits)} | {len(pairs)} | {wrong} | {seconds:.1f} |", flush=True)

    rate, recalls = first_stage(pairs, copies)
    print(f"\nFirst stage alone, {rate:.1e} of the pairs of different pictures being candidates:\n")
    print("| altered | this hash | 64 signs |\n| --- | ---: | ---: |")
    for name, (ours, signs) in recalls.items():
        print(f"| {name} | {ours:.1%} | {signs:.1%} |")
    path = write_json(
        "audit.json",
        {
            "machine": machine(),
            "versions": versions("numpy", "opencv-python-headless"),
            "rows": rows,
            "candidate_rate": rate,
            "first_stage": recalls,
        },
    )
    print(f"\nwritten: {path}")


def signs(thumbnails: Picture, margin: int = 0) -> NDArray[np.float32]:
    """The 64-bit hash as +-1/8: which of the lowest 8 x 8 cosine coefficients pass their median (the mean's is one)."""
    inside = thumbnails[:, margin : SIDE - margin, margin : SIDE - margin].astype(np.float32)
    waves = np.stack([cv2.dct(one)[:WAVES, :WAVES].ravel() for one in inside])
    above = waves > np.median(waves[:, 1:], axis=1, keepdims=True)
    return np.where(above, np.float32(1 / 8), np.float32(-1 / 8))


def first_stage(pairs: list[Pair], copies: dict[str, Picture]) -> tuple[float, dict[str, tuple[float, float]]]:
    """Share of candidates among different pictures, and what is found of each alteration, by both kinds of hash."""
    originals = np.stack([thumbnail(read_picture(pair.picture)) for pair in pairs])
    # No picture of DUTS-TR is in ECSSD or SOD.
    ours = originals[[not pair.stem.startswith("DUTS-TR") for pair in pairs]]
    strangers = np.stack([thumbnail(read_picture(pair.picture)) for pair in find_dataset("DUTS-TR")[::4]])

    def cosines(hashed: Callable[..., NDArray[np.float32]], a: Picture, b: Picture, pick: str) -> NDArray[np.float32]:
        whole_a, inner_a = hashed(a), hashed(a, MARGIN)
        best = np.full(1, -1, np.float32)
        for turned in (b, b[:, :, ::-1]):
            whole, inner = hashed(turned), hashed(turned, MARGIN)
            for x, y in ((whole_a, whole), (inner_a, whole), (whole_a, inner)):
                best = np.maximum(best, np.einsum(pick, x, y, optimize=True))
        return best

    found = []
    rate = float("nan")
    for hashed in (hashes, signs):
        others = np.sort(cosines(hashed, ours, strangers, "ik,jk->ij").ravel())
        if hashed is hashes:
            rate, least = float((others > CANDIDATE).mean()), CANDIDATE
        else:  # with ties: no fewer candidates than ours
            least = float(others[-max(1, round(rate * others.size))]) - 1e-4
        found.append([float((cosines(hashed, originals, one, "ik,ik->i") > least).mean()) for one in copies.values()])
    return rate, {name: (one, other) for name, one, other in zip(copies, *found, strict=True)}
