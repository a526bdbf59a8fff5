"""A new checkpoint from the output files, where the old one is damaged or gone, so that nothing paid for is sent again.

Reads OUT/transcripts, transcripts.jsonl, errors, attempts and runs, and what can still be read of the old checkpoint;
writes OUT/checkpoint.sqlite, which takes its name when it is whole. The old one is kept beside it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline.checkpoint import Checkpoint, hold_output
from pipeline.checkpoint.salvage import Old
from pipeline.checkpoint.schema import JSONL_BYTES
from pipeline.errors import UsageError
from pipeline.run.aside import put_in_place, set_aside, unfinished
from pipeline.run.gathering import Gathering
from pipeline.run.soundness import what_is_wrong
from pipeline.sink.salvage import Salvage


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuilt checkpoint knows."""

    transcripts: int
    """Utterances that are done."""
    salvaged: int
    """Those of them that were only in the old checkpoint."""
    clips: int
    """Answered clips of utterances that have no transcript yet, or had none under other settings."""
    failed: int
    runs: int
    credits: float
    damaged: list[Path]
    """Output files that could not be read, or not to their end, as they are called now."""
    old: Path | None
    """Where the old checkpoint lies now."""


def rebuild(out: Path, *, force: bool = False) -> Rebuilt:
    """Makes a new checkpoint for `out`, with `force` also where nothing is wrong with the one there is.

    Raises UsageError where there is nothing to do or nothing to make it from, OutputHeld, OutputError, and
    CheckpointError where the old one is not damaged and cannot be worked with.
    """
    path = out / "checkpoint.sqlite"
    sink = Salvage(out)
    files = (out / "transcripts").is_dir() or sink.lines_bytes() is not None or sink.holds_clips()
    if not files and not path.exists() and unfinished(out) is None:
        raise UsageError(f"{out}: there are no transcripts here to make a checkpoint from")
    with hold_output(out):
        if not force and unfinished(out) is None and what_is_wrong(out) is None:
            raise UsageError(
                f"{out}: nothing is wrong with the checkpoint and the files beside it, so there is nothing to rebuild; "
                "just run, or say --force to have a new one made all the same"
            )
        new, old_path = set_aside(path)
        with Old(old_path) as old:
            sink.set_damaged_aside()
            with Checkpoint(new) as checkpoint:
                made = Gathering(out, sink, old, checkpoint)
                made.take_in()
        put_in_place(new, path)
        if made.lines_are_stale:
            with Checkpoint(path) as checkpoint:
                checkpoint.set_fact(JSONL_BYTES, sink.rewrite_lines(checkpoint.parts("transcripts")))
    return Rebuilt(
        transcripts=made.transcripts + made.salvaged,
        salvaged=made.salvaged,
        clips=made.clips,
        failed=made.failed,
        runs=made.runs,
        credits=made.credits,
        damaged=sink.damaged,
        old=old_path,
    )
