"""One file a verb, each read from top to bottom like a recipe."""

from __future__ import annotations

from pathlib import Path


def remove_if_empty(run: Path) -> None:
    """A run that failed before it wrote anything leaves no folder behind."""
    for folder in (run, *run.parents[:2]):
        try:
            folder.rmdir()
        except OSError:
            return
