"""The disk that copies of recordings take, and the file of one: a copy whose size was not known takes more of it."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from pathlib import Path

from pipeline.errors import AttemptError, OutputError

STEP_BYTES = 1 << 18
"""What is taken at a time where more is needed."""


class NoRoom(Exception):
    """There is no room for a copy, whose size was not known before; with all of the space there may be."""


class Space:
    """The disk that all copies may take. For several threads."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._taken = 0
        self._lock = threading.Lock()

    def has(self, size: int) -> bool:
        return self._taken + size <= self.max_bytes

    def take(self, size: int) -> bool:
        """Whether there was so much left, which is taken then."""
        with self._lock:
            if not self.has(size):
                return False
            self._taken += size
            return True

    def give_back(self, size: int) -> None:
        with self._lock:
            self._taken -= size


class CopyFile(io.FileIO):
    """The file of a copy, which may have been another's. What it takes of the space stays taken when it is closed."""

    def __init__(self, path: str, space: Space, taken: int) -> None:
        """`taken` bytes of the space are its own already. Raises OSError."""
        super().__init__(path, "wb", opener=_opened)
        self.taken = taken
        self._space = space
        self._at = 0

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        """Raises NoRoom."""
        more = self._at + len(data) - self.taken
        if more > 0:
            more = more if self._space.max_bytes < STEP_BYTES else max(more, STEP_BYTES)
            if not self._space.take(more):
                raise NoRoom
            self.taken += more
        written = super().write(data)
        self._at += written
        return written

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = super().seek(offset, whence)
        return self._at

    def tell(self) -> int:
        """Without asking the system."""
        return self._at

    def cut(self) -> None:
        """Removes what stands behind what was written. Raises OSError."""
        if os.fstat(self.fileno()).st_size > self._at:
            self.truncate()


def _opened(path: str, flags: int) -> int:
    """Not emptied, which has some file systems write the new content to the disk at once."""
    return os.open(path, flags & ~os.O_TRUNC, 0o666)


class Copy:
    """One copy. Mutable."""

    fetching: asyncio.Future[None]

    def __init__(self, path: str, taken: int, over: str | None = None) -> None:
        self.path = path
        self.taken = taken
        """Bytes of the space that are its own."""
        self.over = over
        """The path of a file that it is written over."""
        self.holders = 0
        self.stays = False
        """Further rows of its recording probably follow."""

    @property
    def has_failed(self) -> bool:
        return self.fetching.cancelled() or self.fetching.exception() is not None

    def outcome(self) -> str | AttemptError | None:
        """The path of the copy, or the recording's error; None where there was no room. Raises any other error."""
        error = self.fetching.exception()
        if error is None:
            return self.path
        if isinstance(error, NoRoom):
            return None
        if isinstance(error, AttemptError):
            return error.bare()
        raise error


def make_folder(folder: Path) -> None:
    """Makes the folder of copies. Raises OutputError."""
    try:
        folder.parent.mkdir(exist_ok=True)  # without parents: a removed output folder stays removed
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be created: {error.strerror}") from error
