"""Makes a new checkpoint from the output files, where the old one is damaged or missing: nothing is sent again.

Reads OUT/transcripts, transcripts.jsonl, errors, attempts and runs, and what can still be read of the old checkpoint;
writes OUT/checkpoint.sqlite under a temporary name until it is complete. The old one is kept in OUT; both names have
the same time stamp, by which an interrupted rebuild finds the old one again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pipeline.checkpoint import Checkpoint, hold_output
from pipeline.checkpoint.salvage import Old
from pipeline.checkpoint.schema import CHECKPOINT, JSONL_BYTES
from pipeline.errors import OutputError, UsageError
from pipeline.report.figures import format_credits
from pipeline.run.correct_times import correct_times
from pipeline.run.recovery import Rebuilt, Recovery
from pipeline.run.removal import Removal
from pipeline.run.verify import REBUILT, interrupted_rebuild, what_is_wrong
from pipeline.sink.salvage import Salvage
from pipeline.sink.store import sync_file, sync_folder
from pipeline.texts import plural, visible

_SUFFIXES = ("-wal", "-shm", "")
"""Suffixes of a checkpoint's files. The main file is renamed last: while it has its name, others may remain."""


def rebuild(out: Path, *, force: bool = False, takes_delay_off: bool | None = None) -> list[str]:
    """Makes a new checkpoint for `out`, with `force` also where nothing is wrong with the one there is; then takes the
    decoder's delay off the times, or puts it back. Returns lines that say what was done.

    Raises UsageError where there is nothing to do or nothing to make it from, OutputHeld, OutputError, and
    CheckpointError where the old one is not damaged and cannot be worked with.
    """
    path, sink = out / CHECKPOINT, Salvage(out)
    files = (out / "transcripts").is_dir() or sink.lines.size() is not None or sink.clips.size() is not None
    if not files and not path.exists() and interrupted_rebuild(out) is None:
        raise UsageError(f"{out}: there are no transcripts here to make a checkpoint from")
    lines = []
    with hold_output(out):
        if force or interrupted_rebuild(out) is not None or what_is_wrong(out) is not None:
            lines += _made_anew(path, sink)
        elif takes_delay_off is None:
            raise UsageError(
                f"{out}: nothing is wrong with the checkpoint and the files beside it, so there is nothing to rebuild; "
                "just run, or use --force to rebuild anyway"
            )
        if takes_delay_off is not None:
            lines += correct_times(out, applied=takes_delay_off)
    return lines


def _made_anew(path: Path, sink: Salvage) -> list[str]:
    new, old_path = set_aside(path)
    with Old(old_path) as old:
        sink.set_damaged_aside()
        with Checkpoint(new) as checkpoint:
            recovery = Recovery(sink, old, checkpoint)
            rebuilt = recovery.take_all()
            Removal(path.parent, checkpoint).mark_again()
    put_in_place(new, path)
    if recovery.lines_are_stale:
        with Checkpoint(path) as checkpoint:
            checkpoint.set_fact(JSONL_BYTES, sink.rewrite_lines(checkpoint.parts("transcripts")))
    with Checkpoint(path) as checkpoint:
        unchanged = Removal(path.parent, checkpoint).finish()
    return [*_told(rebuilt, old_path), *(unchanged or ())]


def _told(rebuilt: Rebuilt, old_path: Path | None) -> list[str]:
    count = rebuilt.transcripts
    damaged = [path for path in rebuilt.damaged if path.exists()]  # else it was removed: see `removal`
    are = "is" if count == 1 else "are"
    aside = "" if old_path is None or not old_path.exists() else f"; the old checkpoint is {visible(str(old_path))}"
    return [
        f"{plural(count, 'transcript')} {are} known again ({rebuilt.salvaged:,} of them from the old checkpoint), "
        f"{format_credits(rebuilt.credits)} spent{aside}",
        f"also kept: {rebuilt.failed:,} failed, {plural(rebuilt.clips, 'answered clip')}, "
        f"{plural(rebuilt.runs, 'earlier run')}",
        *(f"a file that could not be read is kept as {visible(str(path))}" for path in damaged),
    ]


def set_aside(path: Path) -> tuple[Path, Path | None]:
    """Renames the checkpoint at `path`. Returns the path for the new one and that of the old one (None if there was
    none); after an interrupted rebuild, the old one is what that rebuild renamed. Raises OutputError."""
    try:
        new = interrupted_rebuild(path.parent)
        if new is None or (path.exists() and _old_of(new).exists()):
            new = path.with_name(REBUILT.format(f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"))
        old = _old_of(new)
        for suffix in _SUFFIXES:
            _beside(new, suffix).unlink(missing_ok=True)
        new.touch()
        for suffix in _SUFFIXES:
            if _beside(path, suffix).exists():
                _beside(path, suffix).rename(_beside(old, suffix))
        sync_folder(path.parent)
        return new, old if old.exists() else None
    except OSError as error:
        raise OutputError(f"the old checkpoint {path} cannot be moved aside: {error.strerror}") from error


def put_in_place(new: Path, path: Path) -> None:
    """Gives the new checkpoint its name, durably. Raises OutputError."""
    try:
        sync_file(new)
        new.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError(
            f"the new checkpoint cannot become {path}: {error.strerror}; fix this and rebuild again"
        ) from error


def _old_of(new: Path) -> Path:
    """The path of the old checkpoint from which `new` is made."""
    prefix, _ = REBUILT.split("{}")
    former = new.with_name(new.name.replace(prefix, "checkpoint.damaged-"))  # as an older version called it
    return former if former.exists() else new.with_name(new.name.replace(prefix, "checkpoint.old-"))


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
