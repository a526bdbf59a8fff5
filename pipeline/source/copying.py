"""The file that a remote recording is copied into."""

from __future__ import annotations

import io

from pipeline.errors import OutputError, RecordingTooLong


def too_large(size_bytes: int | None, max_bytes: int) -> RecordingTooLong:
    """The error for a recording that is larger than its copy may be."""
    size = "more" if size_bytes is None else f"{size_bytes:,} bytes, more"
    return RecordingTooLong(
        f"the recording takes {size} than the {max_bytes:,} bytes that its copy may take; in a run that is "
        "half of audio.spool_mb: raise it and run with --only failed"
    )


def write(file: io.FileIO, data: bytes | memoryview) -> None:
    """Writes all of it. Raises OutputError."""
    view = memoryview(data)
    try:
        while view:
            view = view[file.write(view) or 0 :]
    except OSError as error:
        raise OutputError(f"a copy of a recording cannot be written: {error.strerror}; free the disk") from error


def empty(file: io.FileIO) -> None:
    """Removes what was written. Raises OutputError."""
    try:
        file.seek(0)
        file.truncate()
    except OSError as error:
        raise OutputError(f"a copy of a recording cannot be written: {error.strerror}") from error
