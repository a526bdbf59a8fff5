"""Rows a few at a time: no more at once than a number of rows, or of bytes, since a row's metadata may be large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

AT_ONCE_BYTES = 4 << 20
"""As they are encoded; as records, and then as a table, they take a few times as much."""
T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode


def in_batches(rows: Iterable[T], most: int, most_bytes: int = AT_ONCE_BYTES) -> Iterator[list[T]]:
    """The rows in lists, each of which ends with the row that reaches a bound."""
    batch: list[T] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(_encode(row))
        if len(batch) >= most or size >= most_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
