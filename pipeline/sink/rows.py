"""What rows of the output are in any format: which ones are meant, a few at a time, and files of them that are damaged.

Whatever goes wrong while a file is read and decoded is damage, unless the system refused to read it, which it says with
a number. A row that is taken for one that was never there would be paid for again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from pipeline.errors import DamagedFile, OutputError
from pipeline.sink.store import Store

AT_ONCE_BYTES = 4 << 20
"""Of rows as they are encoded; as records, and then as a table, they take a few times as much."""
ROWS_AT_ONCE = 500
MAX_REASON = 200
Which = Callable[[list[str]], Collection[str]]
"""Says which of some ids are meant: of many rows no list of ids is ever whole in memory."""
T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode


def in_batches(rows: Iterable[T], most: int = ROWS_AT_ONCE, most_bytes: int = AT_ONCE_BYTES) -> Iterator[list[T]]:
    """The rows in lists, each of which ends with the row that reaches a bound: a row's metadata may be large."""
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


def damaged(store: Store, name: str, why: object) -> DamagedFile:
    """The error of a file that cannot be read for what is in it; its reason is one line."""
    text = " ".join(str(why).split()) or type(why).__name__
    reason = text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]} …"
    return DamagedFile(
        f"{store.location(name)} is damaged: {reason}; restore it, or run gradium-batch rebuild {store.location()}, "
        "which goes on with what the other files hold"
    )


@contextmanager
def decoding(store: Store, name: str) -> Iterator[None]:
    """Around what decodes a file. Raises DamagedFile; faults of the system are for the store to tell."""
    try:
        yield
    except (OutputError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the libraries' own complaints have no number
            raise
        raise damaged(store, name, error) from error
