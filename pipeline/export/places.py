"""The places of rows in the order in which the manifests had them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.connection import holds_something
from pipeline.checkpoint.lookup import LAST
from pipeline.checkpoint.schema import CHECKPOINT
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
    """Another text where the checkpoint is another file, whose rows may have other places."""
    try:
        status = (out / CHECKPOINT).stat()
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"
