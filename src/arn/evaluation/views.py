"""What a protocol means on a data set: how its masks are read, and on which of its pictures. See docs/protocols.md."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from arn.data.catalogue import CATALOGUE
from arn.data.splits import PAPER_TRAIN
from arn.errors import ArnError
from arn.metrics.protocols import BINARISATIONS, PROTOCOLS, Protocol, get_protocol

GRADED = "PASCAL-S"  # whose masks are graded as published: the two binarisations in use give different numbers
SHARED = "DUT-OMRON"  # of which the ARN paper trains on a part

_MASKS = {25: "mask >= 0.1", 128: "mask > 0.5"}


@dataclass(frozen=True)
class View:
    """One column group of a table: pictures of a data set under one reading of its masks.

    `label` is what the table's head prints, `note` what stands below it ("" where there is nothing to say). `stems` are
    the pictures, sorted; None stands for all.
    """

    dataset: str
    label: str
    protocol: Protocol
    stems: tuple[str, ...] | None = None
    note: str = ""


def views(
    dataset: str,
    protocol: str | Protocol,
    stems: Collection[str] | None = None,
    held_out: Sequence[str] | None = None,
) -> tuple[View, ...]:
    """How a data set is reported under a protocol: as one view, or as several where one number would mislead.

    PASCAL-S: under both binarisations, unless the protocol was given with one (`arn2018@0.5`). DUT-OMRON: all pictures,
    and apart from them those of `held_out`, which the ARN paper's split keeps from training (1,668).

    Raises ArnError for an unknown protocol, and for held-out stems that are not among `stems`, the pictures there are.
    """
    chosen = get_protocol(protocol)
    if dataset == GRADED and chosen.name in PROTOCOLS:
        return tuple(_reading(chosen, at, level) for at, level in BINARISATIONS.items())
    whole = View(dataset, dataset, chosen)
    if dataset != SHARED or held_out is None:
        return (whole,)
    kept = tuple(sorted(set(held_out)))
    if stems is not None and (unknown := sorted(set(kept).difference(stems))):
        told = f"{len(unknown)} held-out pictures are not in {dataset}: {', '.join(unknown[:10])}"
        raise ArnError(f"{told}. Is the split of another data set?")
    count = CATALOGUE[SHARED].count
    left = count - PAPER_TRAIN[SHARED]
    note = f"{count:,} pictures as published, of which the ARN paper trains on all but {left:,}"
    rest = View(dataset, f"{dataset} (held out, {len(kept):,})", chosen, kept, "not trained on")
    return replace(whole, label=f"{dataset} (all)", note=note), rest


def _reading(protocol: Protocol, at: str, level: int) -> View:
    """Graded masks read as ``@at``, which binarises them at a level."""
    # salmetric takes its MAE against the gray mask: there the protocol itself is one of the two readings.
    own = protocol.mask_level == level and protocol.mae_mask_level in (level, None)
    note = f"graded masks, read as {_MASKS[level]}"
    if protocol.mae_mask_level not in (None, protocol.mask_level):
        part = "F" if protocol.mask_level == level else "MAE"
        note += f"; {protocol.name} itself takes its {part} from here"
    read = protocol if own else get_protocol(f"{protocol.name}@{at}")
    return View(GRADED, f"{GRADED} ({_MASKS[level]})", read, None, note)
