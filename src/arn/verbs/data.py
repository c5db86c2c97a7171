"""arn data list           the data sets of the catalogue, what of them is below the data root, and where to get them
arn data fetch NAME     download a data set from its authors (from=ADDRESS: a mirror's ZIP file) below the data root
arn data verify NAME    count, readability, sizes and masks of a data set, or of a folder with {images,masks}
arn data audit A [B]    pictures that two data sets or folders of pictures share, or that one holds twice: exactly, or
                        mirrored, re-encoded, resized, gray, slightly cropped. Writes pairs.csv and contact sheets to
                        outputs/audit/A-B, or where output=FOLDER says

The data root is ARN_DATA_DIR, else ./data.
"""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.progress import DownloadColumn, TransferSpeedColumn
from rich.table import Table

from arn.data.audit import KINDS, audit, find_pictures, write_report
from arn.data.catalogue import CATALOGUE, data_root
from arn.data.fetch import fetch
from arn.data.layout import find_dataset
from arn.data.verify import verify
from arn.errors import ArnError
from arn.report.terminal import Bars

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> int:
    match arguments:
        case ["list"]:
            return list_datasets()
        case ["fetch", name, *rest] if all(one.startswith("from=") for one in rest):
            return fetch_dataset(name, [one.removeprefix("from=") for one in rest])
        case ["verify", name]:
            return verify_dataset(name)
        case ["audit", *rest]:
            output = [one.removeprefix("output=") for one in rest if one.startswith("output=")]
            names = [one for one in rest if not one.startswith("output=")]
            if 1 <= len(names) <= 2 and len(output) <= 1 and all([*names, *output]):
                return audit_datasets(names, Path(output[0]) if output else None)
    raise ArnError(
        "usage: arn data list | arn data fetch NAME [from=ADDRESS] | arn data verify NAME | arn data audit A [B] "
        "[output=FOLDER]"
    )


def list_datasets() -> int:
    root = data_root()
    table = Table(title=f"data sets below {root}")
    for column in ("name", "for", "pictures", "here"):
        table.add_column(column, justify="right" if column in ("pictures", "here") else "left", overflow="fold")
    for dataset in CATALOGUE.values():
        try:
            here = f"{len(find_dataset(dataset.name)):,}"
        except ArnError:
            here = "-"
        table.add_row(dataset.name, dataset.role, f"{dataset.count:,}", here)
    table.add_row("scenes", "train and test", "-", "drawn")
    console.print(table)
    for dataset in CATALOGUE.values():
        console.print(Padding(f"{dataset.name}: {dataset.citation}", (1, 0, 0, 0)), soft_wrap=False)
        console.print(Padding(dataset.source, (0, 0, 0, 2)), soft_wrap=False)
    return 0


def fetch_dataset(name: str, archives: list[str]) -> int:
    with Bars(console, "bytes", (DownloadColumn(), TransferSpeedColumn())) as progress:
        pairs, sums = fetch(name, archives, progress=progress.update)
    dataset = next(one for one in CATALOGUE.values() if one.name.lower() == name.lower())
    console.print(f"{dataset.name}: {pairs:,} pairs in {data_root() / dataset.name}")
    for archive, digest in sums.items():
        console.print(f"  {archive}  sha256 {digest}")
    console.print(f"  licence: {dataset.licence}")
    console.print(f"  cite:    {dataset.citation}")
    return 0


def verify_dataset(name: str) -> int:
    over: list[str] = []
    pairs = find_dataset(name, tell=over.append)
    with Bars(console) as progress:
        report = verify(pairs, CATALOGUE.get(name), lambda *at: progress.update(f"reading {name}", *at))
    errors = report.errors
    console.print(f"{name}: {report.found:,} pairs" + ("" if errors else ", every one readable and of one size"))
    for line in errors[:20]:
        console.print(f"  error: {line}")
    if len(errors) > 20:
        console.print(f"  ... and {len(errors) - 20} more")
    for line in [*over, *report.notes]:
        console.print(f"  note:  {line}")
    return 1 if errors else 0


def audit_datasets(names: list[str], output: Path | None = None) -> int:
    """One name: what it holds twice. Two: what they share."""
    sets = [find_pictures(name, console.print) for name in names]
    if len(sets) == 2 and sets[0] == sets[1]:
        names, sets = names[:1], sets[:1]
    labels = [Path(name).resolve().name for name in names]

    started = read = time.perf_counter()
    with Bars(console) as progress:

        def timed(stage: str, done: int, total: int) -> None:
            nonlocal read
            if stage == "reading":
                read = time.perf_counter()
            progress.update(stage, done, total)

        matches = audit(*sets, progress=timed)
    done = time.perf_counter()

    two = len(sets) == 2
    counted = [f"{label} ({len(pictures):,} pictures)" for label, pictures in zip(labels, sets, strict=True)]
    table = Table(title=("the same pictures in " if two else "pictures twice in ") + " and ".join(counted))
    table.add_column("kind")
    for column in ("pairs", "mirrored", *(labels if two else ())):
        table.add_column(column, justify="right")
    for kind, name in KINDS.items():
        of_kind = [match for match in matches if match.kind == kind]
        counts = [len(of_kind), sum(match.flipped for match in of_kind)]
        if two:
            counts += [len({match.a.stem for match in of_kind}), len({match.b.stem for match in of_kind})]
        table.add_row(name, *(f"{count:,}" for count in counts))
    console.print(table)
    count = sum(map(len, sets))
    console.print(
        f"{count:,} pictures read in {read - started:.1f} s ({count / (read - started):.0f} pictures per second), "
        f"compared in {done - read:.1f} s"
    )
    written = write_report(matches, output or Path("outputs/audit") / "-".join(labels))
    console.print(f"written: {', '.join(map(str, written))}")
    return 0
