"""python -m benchmarks.crash_at STEP WHEN NTH ARGS…: the command, killed with kill -9 at one step of publishing.

STEP is a name below, WHEN `before` or `after` it, NTH the time it is reached. The kill is real: nothing is cleaned up.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pipeline.checkpoint.checkpoint
import pipeline.sink.lines
import pipeline.sink.parquet
import pipeline.sink.store
from pipeline.cli import main

STEPS: dict[str, tuple[Any, str]] = {
    "write part": (pipeline.sink.parquet.Table, "write"),
    "sync file": (os, "fsync"),
    "sync folder": (pipeline.sink.store, "sync_folder"),
    "append lines": (pipeline.sink.lines.Lines, "append"),
    "note results": (pipeline.checkpoint.checkpoint.Checkpoint, "results_published"),
    "note rewritten": (pipeline.checkpoint.checkpoint.Checkpoint, "rewritten"),
    "note attempts": (pipeline.checkpoint.checkpoint.Checkpoint, "attempts_published"),
    "commit": (pipeline.checkpoint.checkpoint.Checkpoint, "apply"),
    "end open attempts": (pipeline.checkpoint.checkpoint.Checkpoint, "end_open_attempts"),
}


def aim(step: str, when: str, nth: int) -> None:
    """Replaces the step by itself and the kill."""
    owner, name = STEPS[step]
    real = getattr(owner, name)
    reached = 0

    def aimed(*args: Any, **kwargs: Any) -> Any:
        nonlocal reached
        reached += 1
        if reached == nth and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if reached == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, aimed)


if __name__ == "__main__":
    aim(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    main(sys.argv[4:], prog_name="gradium-batch")
