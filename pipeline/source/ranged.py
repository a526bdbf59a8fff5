"""A remote recording or table as a file that can be read in any order, by ranged reads."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from pipeline.errors import AudioUnreadable, SourceFault
from pipeline.source.protocol import FileInfo

if TYPE_CHECKING:
    from pipeline.source.sources import Sources


class BeyondLimit(Exception):
    """More would have to be read than was to be. Never reaches a user."""


class RangedFile(io.RawIOBase):
    """Reads at least `block_bytes` at a time, and keeps the last blocks for the reads that follow. For one thread.

    Reading raises as `Sources.read`: SourceChanged once the file has another version.
    """

    def __init__(
        self,
        sources: Sources,
        address: str,
        info: FileInfo,
        block_bytes: int,
        *,
        blocks_kept: int = 1,
        max_bytes: int | None = None,
        failed_before: bool = False,
    ) -> None:
        """`info` is what `Sources.stat` says of it. With `max_bytes` no more is ever asked for: reading raises
        BeyondLimit before. `failed_before` is as in `Sources.read`. Raises AudioUnreadable where the server does not
        tell its size."""
        super().__init__()
        if info.size_bytes is None:
            raise AudioUnreadable("the server does not tell its size, without which its parts cannot be read")
        self.size_bytes = info.size_bytes
        self.max_bytes = max_bytes
        self._failed_before = failed_before
        self._sources, self._address, self._version = sources, address, info.version
        self._block_bytes, self._blocks_kept = block_bytes, blocks_kept
        self._blocks: list[tuple[int, bytes]] = []
        """Each with its place, the last one that was used at the end."""
        self._at = self._asked = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Raises OSError for a place before the start, as files do."""
        at = offset + {os.SEEK_CUR: self._at, os.SEEK_END: self.size_bytes}.get(whence, 0)
        if at < 0:
            raise OSError("a place before the start of the file")
        self._at = at
        return at

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes: so many, or all up to the end."""
        stop = self.size_bytes if size is None or size < 0 else min(self.size_bytes, self._at + size)
        parts = []
        while self._at < stop:
            start, block = self._block(self._at, stop)
            parts.append(block[self._at - start : stop - start])
            self._at += len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override] # any writable buffer
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self.read()

    def _block(self, at: int, stop: int) -> tuple[int, bytes]:
        """The block with the byte at `at`; if it has to be read, up to `stop`."""
        for number in reversed(range(len(self._blocks))):
            start, block = self._blocks[number]
            if start <= at < start + len(block):
                self._blocks.append(self._blocks.pop(number))
                return start, block
        end = min(
            [self.size_bytes, max(stop, at + self._block_bytes), *(start for start, _ in self._blocks if start > at)]
        )
        found = at, self._get(at, end)
        self._blocks.append(found)
        del self._blocks[: -self._blocks_kept]
        return found

    def _get(self, start: int, stop: int) -> bytes:
        size = stop - start
        if self.max_bytes is not None and self._asked + size > self.max_bytes:
            raise BeyondLimit(f"{self._address}: more than {self.max_bytes:,} bytes would have to be read")
        self._asked += size
        data = self._sources.read(self._address, start, stop, self._version, failed_before=self._failed_before)
        if len(data) != size:
            raise SourceFault(f"{len(data):,} bytes were answered where {size:,} were asked for")
        return data
