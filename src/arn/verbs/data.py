"""arn data list           the data sets of the catalogue, what of them is below the data root, and where to get them
arn data verify NAME    count, readability, sizes and masks of a data set, or of a folder with {images,masks}

The data root is ARN_DATA_DIR, else ./data.
"""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from arn.data.catalogue import CATALOGUE, data_root
from arn.data.pairs import find_dataset, verify
from arn.errors import ArnError

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> int:
    match arguments:
        case ["list"]:
            return list_datasets()
        case ["verify", name]:
            return verify_dataset(name)
        case _:
            raise ArnError("usage: arn data list | arn data verify NAME")


def list_datasets() -> int:
    root = data_root()
    table = Table(title=f"data sets below {root}")
    for column in ("name", "for", "pictures", "here", "citation", "where to get it"):
        table.add_column(column, justify="right" if column in ("pictures", "here") else "left", overflow="fold")
    for dataset in CATALOGUE.values():
        try:
            here = f"{len(find_dataset(dataset.name)):,}"
        except ArnError:
            here = "-"
        table.add_row(dataset.name, dataset.role, f"{dataset.count:,}", here, dataset.citation, dataset.source)
    table.add_row("scenes", "train and test", "-", "drawn", "this project", "nowhere: drawn when needed")
    console.print(table)
    return 0


def verify_dataset(name: str) -> int:
    pairs = find_dataset(name)
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task(f"reading {name}", total=len(pairs))
        report = verify(pairs, CATALOGUE.get(name), progress=lambda done, _total: progress.update(bar, completed=done))
    errors = report.errors
    console.print(f"{name}: {report.found:,} pairs" + ("" if errors else ", every one readable and of one size"))
    for line in errors[:20]:
        console.print(f"  error: {line}")
    if len(errors) > 20:
        console.print(f"  ... and {len(errors) - 20} more")
    for line in report.notes:
        console.print(f"  note:  {line}")
    return 1 if errors else 0
