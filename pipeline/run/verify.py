"""Checks that an output folder is as its checkpoint says, so that a run can go on from it. Only reads."""

from __future__ import annotations

from pathlib import Path

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.connection import holds_something
from pipeline.checkpoint.salvage import Old
from pipeline.checkpoint.schema import CHECKPOINT, FORMATS, JSONL_BYTES
from pipeline.errors import DamagedCheckpoint, OutputError
from pipeline.sink import FolderStore, Sink

REBUILT = ".checkpoint.rebuilt-{}.sqlite"
"""What a checkpoint is called while `rebuild` makes it."""


def interrupted_rebuild(out: Path) -> Path | None:
    """The unfinished checkpoint of a rebuild that was interrupted."""
    return max(out.glob(REBUILT.format("*")), default=None)


def require_checkpoint(out: Path) -> None:
    """Raises DamagedCheckpoint where answers are there without a checkpoint: they were paid for, and a run would
    overwrite them."""
    if not holds_something(out / CHECKPOINT):
        sink = Sink(FolderStore(out))
        has_transcripts = sink.holds_transcripts()
        if has_transcripts or sink.clips.size() is not None:
            what = "transcripts" if has_transcripts else "answered clips"
            raise DamagedCheckpoint(
                f"{out} holds {what}, and no checkpoint that knows them: run gradium-batch rebuild {out} to take them "
                "in, or choose another --out"
            )
        if interrupted_rebuild(out) is not None:
            raise DamagedCheckpoint(
                f"the last rebuild of {out} did not reach its end: run gradium-batch rebuild {out} again"
            )


def what_is_wrong(out: Path) -> str | None:
    """Why a run would stop here, or what it would find other than it left it; None where nothing is wrong.

    Raises CheckpointError where the checkpoint is not damaged and still cannot be worked with: it is newer, or may not
    be read.
    """
    try:
        require_checkpoint(out)
        if holds_something(out / CHECKPOINT):
            _check(out)
    except (DamagedCheckpoint, OutputError) as error:
        return str(error)
    return None


def _check(out: Path) -> None:
    path = out / CHECKPOINT
    with Checkpoint(path, only_read=True) as checkpoint:
        checkpoint.check_integrity()
        formats = (checkpoint.fact(FORMATS, str) or "parquet,jsonl").split(",")
        recorded = checkpoint.parts("transcripts"), checkpoint.parts("attempts"), checkpoint.fact(JSONL_BYTES, int) or 0
    with Old(path) as stored:
        stored.read_through()
    if stored.skipped:
        raise DamagedCheckpoint(f"{stored.skipped:,} rows of the checkpoint cannot be read")
    Sink(FolderStore(out), formats).check(*recorded)
