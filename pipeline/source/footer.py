"""What the footer of a Parquet file says of one column: in each row group its bytes, and how many of its values are
null.

pyarrow knows it too, but a damaged footer ends the process there. The footer is a struct in the compact protocol of
Thrift; what is not asked for is passed over.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MAGIC = b"PAR1"
MAX_DEPTH = 32
TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = 1, 2, 3, 7, 8, 9, 10, 11, 12, 13
INTEGERS = (4, 5, 6)
ROW_GROUPS, COLUMNS, ROWS, METADATA = 4, 1, 3, 3
"""Fields of the footer, of a row group (two), of a column in it, …"""
PATH, PACKED_BYTES, STATISTICS, NULLS = 3, 7, 12, 3
"""… of its metadata, and of its statistics."""


class Chunk(NamedTuple):
    """A column in one row group."""

    rows: int
    bytes: int
    """As they lie in the file."""
    nulls: int | None
    """None where that is not told."""


def chunks_of(stream: BinaryIO | io.RawIOBase, column: str) -> list[Chunk]:
    """The column of a path such as `audio.bytes` in each row group. Raises ValueError for a damaged footer, and what
    the stream does."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 8))
    end = stream.read(8) or b""
    length = int.from_bytes(end[:4], "little")
    if len(end) < 8 or end[4:] != MAGIC or length > size - 8:
        raise ValueError("it does not end as a Parquet file does")
    stream.seek(size - 8 - length)
    try:
        return [*_row_groups(_Compact(stream.read(length) or b""), column)]
    except IndexError:
        raise ValueError("its footer ends early") from None


def _row_groups(footer: _Compact, column: str) -> Iterator[Chunk]:
    for field, kind in footer.fields():
        if field != ROW_GROUPS or kind != LIST:
            footer.skip(kind)
            continue
        for _ in range(footer.count_of(STRUCT)):
            rows, found = -1, None
            for inner, kind in footer.fields():
                if inner == ROWS and kind in INTEGERS:
                    rows = footer.integer()
                elif inner == COLUMNS and kind == LIST:
                    for _ in range(footer.count_of(STRUCT)):
                        found = _column(footer, column) or found
                else:
                    footer.skip(kind)
            if rows < 0 or found is None:
                raise ValueError(f"a row group has no column {column}")
            yield Chunk(rows, *found)


def _column(footer: _Compact, column: str) -> tuple[int, int | None] | None:
    """Bytes and nulls of a column; None for another one."""
    path, size, nulls = "", 0, None
    for field, kind in footer.fields():
        if field != METADATA or kind != STRUCT:
            footer.skip(kind)
            continue
        for inner, kind in footer.fields():
            if inner == PATH and kind == LIST:
                names = [footer.binary() for _ in range(footer.count_of(BINARY))]
                path = b".".join(names).decode("utf-8", "replace")
            elif inner == PACKED_BYTES and kind in INTEGERS:
                size = max(0, footer.integer())
            elif inner == STATISTICS and kind == STRUCT:
                for about, kind in footer.fields():
                    if about == NULLS and kind in INTEGERS:
                        nulls = footer.integer()
                    else:
                        footer.skip(kind)
            else:
                footer.skip(kind)
    return (size, nulls) if path == column else None


class _Compact:
    """Reads values one after another. Raises ValueError or IndexError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and kind of each field of a struct. Its value is to be read or skipped before the next one."""
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self.integer()
            yield field, head & 15

    def count_of(self, wanted: int) -> int:
        """The number of elements of a list, which are of this kind."""
        count, kind = self._list()
        if count and kind != wanted:
            raise ValueError("its footer has a list of another kind")
        return count

    def integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        size = self._varint()
        self._pass(size)
        return self._data[self._at - size : self._at]

    def skip(self, kind: int, depth: int = 0) -> None:
        """Passes over a value, which is the field of a struct."""
        if depth > MAX_DEPTH:
            raise ValueError("its footer is nested too deep")
        if kind in (TRUE, FALSE):
            return
        if kind in INTEGERS:
            self._varint()
        elif kind == BINARY:
            self._pass(self._varint())
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind in (LIST, SET):
            count, inner = self._list()
            for _ in range(count):
                self._skip_element(inner, depth + 1)
        elif kind == MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            for _ in range(count):
                self._skip_element(kinds >> 4, depth + 1)
                self._skip_element(kinds & 15, depth + 1)
        elif kind in (BYTE, DOUBLE, UUID):
            self._pass({BYTE: 1, DOUBLE: 8, UUID: 16}[kind])
        else:
            raise ValueError("its footer has a value of no known kind")

    def _skip_element(self, kind: int, depth: int) -> None:
        self.skip(BYTE if kind in (TRUE, FALSE) else kind, depth)

    def _list(self) -> tuple[int, int]:
        head = self._byte()
        return (head >> 4 if head >> 4 < 15 else self._varint()), head & 15

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) >= 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("its footer has a number that is too large")
        return value | byte << shift

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _pass(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise ValueError("its footer ends early")
