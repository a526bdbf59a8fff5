"""Takes the decoder's delay off the times of a whole output, or puts it back: nothing is sent for that.

Reads and writes the output folder and its checkpoint, whose verdict is set first: killed, the same command goes on, and
so does the next run.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.schema import CHECKPOINT, FORMATS
from pipeline.run.delay import Clock
from pipeline.run.publish import tidy
from pipeline.run.rewrite import Rewriter
from pipeline.sink import FolderStore, Sink
from pipeline.texts import plural


def correct_times(out: Path, *, applied: bool) -> list[str]:
    """Does so for an output that is held, and sets its verdict. Returns lines that say what was done.

    Raises OutputError and CheckpointError.
    """
    with Checkpoint(out / CHECKPOINT) as checkpoint:
        formats = (checkpoint.fact(FORMATS, str) or "parquet,jsonl").split(",")
        sink = Sink(FolderStore(out), formats)
        tidy(checkpoint, sink)
        verdict = msgspec.structs.replace(checkpoint.verdict(), decided=applied, by="rebuild", against=0)
        checkpoint.set_verdict(verdict, for_all=True)
        rewriter = Rewriter(checkpoint, sink, None, Clock(applied=applied), retimes=True)
        for part in rewriter.list_parts():
            rewriter.rewrite(part)
        rewriter.finish()
        unknown, waiting = checkpoint.without_record(), checkpoint.unpublished()
    what = "taken off" if applied else "no longer taken off"
    lines = [f"the decoder's delay is {what} the times: {plural(rewriter.retimed, 'transcript')} changed"]
    if waiting:
        lines.append(f"not published yet, the next run does it for them: {waiting:,}")
    if unknown:
        lines.append(f"left as they are, because an earlier version recorded nothing to undo: {unknown:,}")
    return lines
