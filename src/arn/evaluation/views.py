"""What a protocol means on a data set: how its masks are read, and on which of its pictures.

The formulae are those of `arn.metrics.protocols`; here is what must be said beside a number so that two of them can be
compared. See docs/protocols.md.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from arn.data.splits import PAPER_TRAIN
from arn.errors import ArnError
from arn.metrics.protocols import PROTOCOLS, Protocol, get_protocol

# Data sets whose masks are graded as published: the two binarisations in use give different numbers.
GRADED = frozenset({"PASCAL-S"})

# Data sets that the ARN paper trains on in part: published count, and what its split leaves for test.
SHARED = MappingProxyType({"DUT-OMRON": (5_168, 5_168 - PAPER_TRAIN["DUT-OMRON"])})

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

    * PASCAL-S, whose masks are graded: both binarisations. A protocol that was given with one (`arn2018@0.5`) is left
      at that.
    * DUT-OMRON: all pictures, and apart from them those of `held_out`, which the ARN paper's split keeps from training
      (1,668). The two are never mixed in one column.

    `stems`, the pictures there are, is what `held_out` is checked against. Raises ArnError for an unknown protocol, and
    for held-out stems that are not among `stems`.
    """
    chosen = get_protocol(protocol)
    readings = _readings(dataset, chosen)
    found: list[View] = []
    for reading, label, note in readings:
        found.append(View(dataset, label, reading, None, note))
        if dataset in SHARED and held_out is not None:
            everything, rest = SHARED[dataset]
            kept = tuple(sorted(set(held_out)))
            if stems is not None and (unknown := sorted(set(kept).difference(stems))):
                raise ArnError(
                    f"{len(unknown)} held-out pictures are not in {dataset}: {', '.join(unknown[:10])}. "
                    "Is the split of another data set?"
                )
            found[-1] = View(dataset, f"{label} (all)", reading, None, _joined(note, _mixed(everything, rest)))
            found.append(
                View(dataset, f"{label} (held out, {len(kept):,})", reading, kept, _joined(note, "not trained on"))
            )
    return tuple(found)


def _readings(dataset: str, protocol: Protocol) -> list[tuple[Protocol, str, str]]:
    """Protocol, label and note for each reading of the masks."""
    if dataset not in GRADED or protocol.name not in PROTOCOLS:
        return [(protocol, dataset, "")]
    found = []
    for level, at in ((25, "0.1"), (128, "0.5")):
        # salmetric takes its MAE against the gray mask: there the protocol itself is one of the two readings.
        own = protocol.mask_level == level and protocol.mae_mask_level in (level, None)
        reading = protocol if own else get_protocol(f"{protocol.name}@{at}")
        note = f"graded masks, read as {_MASKS[level]}"
        if protocol.mae_mask_level is not None and protocol.mae_mask_level != protocol.mask_level:
            part = "F" if protocol.mask_level == level else "MAE"
            note += f"; {protocol.name} itself takes its {part} from here"
        found.append((reading, f"{dataset} ({_MASKS[level]})", note))
    return found


def _mixed(everything: int, rest: int) -> str:
    return f"{everything:,} pictures as published, of which the ARN paper trains on all but {rest:,}"


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def listing() -> tuple[tuple[str, str, str], ...]:
    """(name, description, source) of every protocol, for help texts and the foot of tables."""
    return tuple((one.name, one.description, one.source) for one in PROTOCOLS.values())
