"""Whether an output folder is as its checkpoint says, so that a run would go on from it. Only reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.connection import holds_something
from pipeline.checkpoint.salvage import Old
from pipeline.checkpoint.schema import FORMATS, JSONL_BYTES
from pipeline.errors import DamagedCheckpoint, OutputError
from pipeline.run.aside import unfinished
from pipeline.sink import Sink


@contextmanager
def known_transcripts(out: Path) -> Iterator[None]:
    """Raises DamagedCheckpoint where answers lie without a checkpoint: they are somebody's money, and are taken in
    or left, never written over."""
    has_checkpoint, sink = holds_something(out / "checkpoint.sqlite"), Sink(out, ("parquet", "jsonl"))
    if not has_checkpoint and (sink.holds_transcripts() or sink.holds_clips()):
        what = "transcripts" if sink.holds_transcripts() else "answers to parts of recordings"
        raise DamagedCheckpoint(
            f"{out} holds {what}, and no checkpoint that knows them: run gradium-batch rebuild {out} to take them "
            "in, or choose another --out"
        )
    if not has_checkpoint and unfinished(out) is not None:
        raise DamagedCheckpoint(
            f"the last rebuild of {out} did not reach its end: run gradium-batch rebuild {out} again"
        )
    yield


def what_is_wrong(out: Path) -> str | None:
    """Why a run would stop here, or what it would find other than it left it; None where nothing is wrong.

    Raises CheckpointError where the checkpoint is not damaged and still cannot be worked with: it is newer, or may not
    be read.
    """
    try:
        with known_transcripts(out):
            pass
        if holds_something(out / "checkpoint.sqlite"):
            _check(out)
    except (DamagedCheckpoint, OutputError) as error:
        return str(error)
    return None


def _check(out: Path) -> None:
    path = out / "checkpoint.sqlite"
    with Checkpoint(path, only_read=True) as checkpoint:
        checkpoint.check_integrity()
        formats = (checkpoint.fact(FORMATS, str) or "parquet,jsonl").split(",")
        committed = checkpoint.fact(JSONL_BYTES, int) or 0
        parts = checkpoint.parts("transcripts"), checkpoint.parts("attempts")
    with Old(path) as stored:
        stored.read_through()
    if stored.skipped:
        raise DamagedCheckpoint(f"{stored.skipped:,} rows of the checkpoint cannot be read")
    sink = Sink(out, formats)
    sink.check(*parts)
    sink.check_lines(committed)
    sink.check_others()
