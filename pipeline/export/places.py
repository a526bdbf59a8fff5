"""The places of rows in the order in which the manifests had them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.connection import holds_something
from pipeline.checkpoint.lookup import LAST
from pipeline.checkpoint.schema import CHECKPOINT, MADE
from pipeline.sink.rows import Order


@contextmanager
def manifest_order(out: Path) -> Iterator[Order]:
    """Yields what gives ids their places; LAST where no manifest has one, or there is no checkpoint. Reads the
    checkpoint of the output also while a run writes it. Raises CheckpointError."""
    path = out / CHECKPOINT
    with Checkpoint(path, only_read=True) if holds_something(path) else nullcontext() as checkpoint:

        def order(ids: list[str]) -> list[int]:
            return [LAST] * len(ids) if checkpoint is None else checkpoint.places_of(ids)

        yield order


def checkpoint_mark(out: Path) -> str:
    """Another text where the checkpoint is another one, whose rows may have other places. A new file often has the
    inode of one that was removed. Raises CheckpointError."""
    path = out / CHECKPOINT
    if not holds_something(path):
        return ""
    with Checkpoint(path, only_read=True) as checkpoint:
        made = checkpoint.fact(MADE, str) or ""
    try:
        return f"{path.stat().st_ino}:{made}"
    except OSError:
        return made
