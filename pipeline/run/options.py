"""What the command asks of one run, beside its settings."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline.report.progress import Mode


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is asked to do, beside its settings."""

    manifests: tuple[str, ...]
    """Folders, recordings, globs, files of rows, `-`."""
    out: Path
    shared_out: bool = False
    """The user chose `out`, so that it may serve several manifests."""
    only: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    """Only these rows, of those that `only` selects; none: all of them."""
    limit: int | None = None
    max_duration_s: float | None = None
    """From the start; the engine watches the clock and tells the control."""
    skip_bad_rows: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    """Patterns for the files of folders and globs."""
    strict: bool = False
    """Warnings of the manifests are errors."""
    progress: Mode = "auto"
