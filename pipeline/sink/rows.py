"""Shared by the Parquet and JSONL code: selecting rows by id, batches of bounded size, and the error of a damaged file.

Any error while a file is decoded counts as damage, except an OSError with an errno. A damaged row must never pass for
a missing one, which would be paid for again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from pipeline.errors import DamagedFile, OutputError
from pipeline.sink.store import Store

AT_ONCE_BYTES = 4 << 20
"""Encoded size of a batch; as Python objects and as an Arrow table it takes a few times as much memory."""
ROWS_AT_ONCE = 500
MAX_REASON = 200
Which = Callable[[list[str]], Collection[str]]
"""Returns those of the given ids that are selected; called for one batch at a time, so that memory stays bounded."""
Order = Callable[[list[str]], Sequence[int]]
"""Returns the place of each of the given ids in the order of the manifest."""
T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode


def in_batches(rows: Iterable[T], most: int = ROWS_AT_ONCE, most_bytes: int = AT_ONCE_BYTES) -> Iterator[list[T]]:
    """The rows in lists of at most `most` rows, each ending with the row that reaches `most_bytes`."""
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
    """The error of a file with damaged content; its reason is one line."""
    text = " ".join(str(why).split()) or type(why).__name__
    reason = text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]} …"
    return DamagedFile(
        f"{store.location(name)} is damaged: {reason}; restore it, or run gradium-batch rebuild {store.location()}, "
        "which goes on with what the other files hold"
    )


@contextmanager
def decoding(store: Store, name: str) -> Iterator[None]:
    """Turns errors while decoding a file into DamagedFile. Operating-system errors pass: the store handles them."""
    try:
        yield
    except (OutputError, MemoryError, ImportError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # errors of the libraries themselves have no errno
            raise
        raise damaged(store, name, error) from error
