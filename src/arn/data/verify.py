"""Checking a whole data set: every file read, and what is wrong or odd about it."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arn.data.catalogue import Dataset
from arn.data.decoders import jpeg_warning
from arn.data.images import Picture, read_bytes, read_mask, read_picture
from arn.data.layout import Pair, check_same_size
from arn.errors import ArnError
from arn.files import listed


@dataclass
class Report:
    """What `verify` found. Stems are sorted; `errors` make a set unfit to use, the rest is worth knowing."""

    found: int
    expected: int | None = None
    renamed: bool = False  # as many files as published, under other names
    unreadable: list[str] = field(default_factory=list)  # messages, each naming its file
    mismatched: list[str] = field(default_factory=list)  # messages of `check_same_size`
    empty: list[str] = field(default_factory=list)  # stems: no mask pixel above 127
    full: list[str] = field(default_factory=list)  # stems: every mask pixel above 127
    graded: list[str] = field(default_factory=list)  # stems: masks with values between 0 and 255
    identical: list[tuple[str, ...]] = field(default_factory=list)  # groups of stems: pictures equal byte for byte

    @property
    def errors(self) -> list[str]:
        """One line for each thing that must be mended before use."""
        short = self.expected is not None and self.found != self.expected
        counted = [f"{self.found} pairs, where {self.expected} were published."] if short else []
        return counted + self.unreadable + self.mismatched

    @property
    def notes(self) -> list[str]:
        """One line for each kind of thing worth knowing."""
        kinds = (
            (self.empty, "empty masks (nothing above 127)"),
            (self.full, "masks that fill the picture"),
            (self.graded, "masks with gray values"),
            ([" = ".join(group) for group in self.identical], "groups of byte-identical pictures"),
        )
        told = [f"{len(stems)} {what}: {listed(stems)}" for stems, what in kinds if stems]
        if self.renamed:
            told.insert(
                0, "the file names are not the published ones: others' maps, found by their names, will not fit"
            )
        return told


def verify(
    pairs: Sequence[Pair], dataset: Dataset | None = None, progress: Callable[[int, int], None] = lambda *at: None
) -> Report:
    """Reads every picture and mask and reports what is wrong or odd; a bad file is reported, never raised.

    `dataset` gives the published count and names. `progress(done, total)` is called from this thread after each pair.
    """
    report = Report(found=len(pairs), expected=dataset.count if dataset else None)
    if dataset is not None and dataset.stems is not None and len(pairs) == dataset.count:
        report.renamed = stems_digest([pair.stem for pair in pairs]) != dataset.stems
    digests: defaultdict[bytes, list[str]] = defaultdict(list)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, (pair, (digest, seen)) in enumerate(zip(pairs, pool.map(_look, pairs), strict=True), start=1):
            if digest is not None:
                digests[digest].append(pair.stem)
            for kind, said in seen:
                getattr(report, kind).append(said)
            progress(done, len(pairs))
    report.identical = sorted(tuple(sorted(stems)) for stems in digests.values() if len(stems) > 1)
    return report


def stems_digest(stems: Sequence[str]) -> str:
    """SHA-256 of file names without suffixes, sorted bytewise, a line each, as :class:`Dataset` has it."""
    lines = sorted(os.fsencode(stem) + b"\n" for stem in stems)
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _read_strictly(path: Path, data: bytes) -> Picture:
    if remark := jpeg_warning(path, data):
        raise ArnError(f"{path} is damaged ({remark}); replace or remove it.")
    return read_picture(path, data=data)


def _look(pair: Pair) -> tuple[bytes | None, list[tuple[str, str]]]:
    """The digest of a picture's bytes, and (field of :class:`Report`, what belongs there) of all that was seen."""
    seen: list[tuple[str, str]] = []

    def attempt(kind: str, step: Callable[..., Any], *given: Any) -> Any:
        try:
            return step(*given)
        except ArnError as error:
            seen.append((kind, str(error)))

    data = attempt("unreadable", read_bytes, pair.picture)
    digest = None if data is None else hashlib.sha256(data).digest()
    picture = None if data is None else attempt("unreadable", _read_strictly, pair.picture, data)
    mask = None if pair.mask is None else attempt("unreadable", read_mask, pair.mask)
    if mask is None:
        return digest, seen
    if picture is not None:
        attempt("mismatched", check_same_size, pair, picture, mask)
    if mask.max() <= 127:
        seen.append(("empty", pair.stem))
    elif mask.min() > 127:
        seen.append(("full", pair.stem))
    if ((mask > 0) & (mask < 255)).any():
        seen.append(("graded", pair.stem))
    return digest, seen
