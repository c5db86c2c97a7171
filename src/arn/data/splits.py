"""Which pictures train and which test: drawn by seed, stored as lists of stems, known by a hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from arn.errors import ArnError
from arn.files import write_atomically

Split = dict[str, dict[str, list[str]]]
"""Part ("train", "val", "test") -> name of the data set -> sorted stems (which may repeat across data sets)."""

PAPER_TRAIN = {"MSRA10K": 6_000, "DUT-OMRON": 3_500}


def shuffled(stems: Iterable[str], seed: int, salt: str = "") -> list[str]:
    """The stems in the order of SHA-256("salt/seed/stem"): the same on every machine, whatever order they come in.

    One that comes or goes moves few others. Raises ValueError when a stem comes twice.
    """
    given = list(stems)
    if len(set(given)) != len(given):
        raise ValueError("stems to split must differ")
    return sorted(given, key=lambda stem: (hashlib.sha256(f"{salt}/{seed}/{stem}".encode()).digest(), stem))


def paper_split(msra_stems: Sequence[str], omron_stems: Sequence[str], seed: int) -> Split:
    """The ARN paper's training set, its stems drawn by seed, and the rest for test. Raises ArnError for too few."""
    split: Split = {"train": {}, "test": {}}
    for name, stems in (("MSRA10K", msra_stems), ("DUT-OMRON", omron_stems)):
        count = PAPER_TRAIN[name]
        if len(stems) <= count:
            raise ArnError(
                f"The paper's split takes {count} pictures of {name} for training, but only {len(stems)} are there; "
                f"check it with 'arn data verify {name}'."
            )
        order = shuffled(stems, seed, salt=name)
        split["train"][name], split["test"][name] = sorted(order[:count]), sorted(order[count:])
    return split


def holdout(stems: Sequence[str], count_or_fraction: int | float, seed: int) -> tuple[list[str], list[str]]:
    """(train, val): `count_or_fraction` of the stems held out for validation, drawn by seed; both sorted.

    An int is a count, a float a share in 0..1, rounded to the nearest count and at least one picture unless it is 0.
    Raises ArnError when nothing would be left to train on.
    """
    if isinstance(count_or_fraction, float):
        if not 0 <= count_or_fraction < 1:
            raise ArnError(f"The share held out for validation must be within 0 and 1, not {count_or_fraction}.")
        count = max(round(count_or_fraction * len(stems)), 1 if count_or_fraction > 0 else 0)
    else:
        count = count_or_fraction
    if not 0 <= count < len(stems):
        raise ArnError(
            f"Cannot hold out {count} of {len(stems)} pictures for validation: at least one must be left to train on."
        )
    order = shuffled(stems, seed, salt="holdout")
    return sorted(order[count:]), sorted(order[:count])


def split_hash(split: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """SHA-256, in hexadecimal, of the split's content: equal for equal lists, whatever order the parts stand in."""
    return hashlib.sha256(json.dumps(_sorted(split), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _sorted(split: Mapping[str, Mapping[str, Sequence[str]]]) -> Split:
    return {part: {name: sorted(stems) for name, stems in sets.items()} for part, sets in split.items()}


def save_split(path: Path, split: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """Writes the split as JSON with its hash, whole or not at all, and returns the hash; ArnError when it cannot."""
    digest = split_hash(split)
    text = json.dumps({"sha256": digest, "split": _sorted(split)}, indent=1, ensure_ascii=False)
    write_atomically(path, (text + "\n").encode())
    return digest


def load_split(path: Path) -> Split:
    """Reads what `save_split` wrote. ArnError when it is missing, no split, or no longer what its hash says."""
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        split = {part: {name: list(stems) for name, stems in sets.items()} for part, sets in stored["split"].items()}
        digest = stored["sha256"]
    except OSError as error:
        raise ArnError(f"Cannot read the split {path}: {error.strerror or error}.") from error
    except ValueError as error:
        raise ArnError(f"{path} is no split: {error}.") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ArnError(f"{path} is no split: it must hold 'sha256' and 'split', as 'arn train' writes it.") from error
    if split_hash(split) != digest:
        raise ArnError(f"{path} was changed after it was written: its stems no longer match its sha256. Draw it anew.")
    return split
