"""Makes a file of lines of parts of the old one and of new lines."""

from __future__ import annotations

from typing import IO, BinaryIO

COPY_BYTES = 1 << 20


class Splice:
    """A file that is made of parts of an old one and of new lines."""

    def __init__(self, old: IO[bytes] | None, new: BinaryIO, start: int) -> None:
        """`start` is where the lines of the old file begin."""
        self._old = old
        self._new = new
        self._at = start
        self._copied: int | None = None
        """Up to where the old file is read."""

    def copy(self, count: int) -> None:
        if not count or self._old is None:
            return
        if self._copied != self._at:
            self._old.seek(self._at)
        self._at += count
        while count:
            if not (block := self._old.read(min(count, COPY_BYTES))):
                raise EOFError("the old file of an export ends too early")  # its stamp was compared: not possible
            self._new.write(block)
            count -= len(block)
        self._copied = self._at

    def skip(self, count: int) -> None:
        self._at += count

    def write(self, lines: bytes) -> None:
        self._new.write(lines)
