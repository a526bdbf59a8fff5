"""One run per output folder, held by a file lock that the kernel gives back when its owner dies.

Writes OUT/run.lock, whose text only informs people; the lock is the truth.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import OutputError, OutputHeld


@contextmanager
def hold_output(out: Path) -> Iterator[None]:
    """Holds `out` for the length of the block. Raises OutputHeld naming the owner, or OutputError."""
    try:
        descriptor = os.open(out / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise OutputError(f"the lock {out / 'run.lock'} cannot be taken: {error.strerror}; move it away") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "its pid is not known yet"
            raise OutputHeld(f"another run works on {out} ({owner}); wait for it, or choose another --out") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()}, started {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
