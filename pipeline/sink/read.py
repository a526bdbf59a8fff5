"""Rows of the output files read back: for rows that get the same transcript, or the same one with other metadata; and
for a new checkpoint.

Where a single transcript cannot be read it is simply not found: the caller has another way, and a damaged output is
told where it is written.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pipeline.model import Attempt, Failure, Transcript
from pipeline.sink.folder import part_path

AttemptKey = tuple[str, str, int, int, datetime]
_KEY = ("run_id", "id", "clip", "attempt", "started_at")
T = TypeVar("T")


def transcripts_in_part(folder: Path, part: int, ids: Collection[str]) -> dict[str, Transcript]:
    """Rows of a part by id; none where it cannot be read."""
    try:
        return {row.id: row for row in rows_of_part(folder, part, ids)}
    except OSError:
        return {}


def rows_of_part(folder: Path, part: int, ids: Collection[str] | None = None) -> list[Transcript]:
    """Rows of a part: those of `ids`, or all of them. Raises OSError where it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = part_path(folder, part)
    wanted = None if ids is None else [("id", "in", list(ids))]
    try:
        return [_transcript(row) for row in pq.read_table(path, filters=wanted).to_pylist()]
    except pa.ArrowInvalid as error:
        raise OSError(errno.EIO, f"a published part is damaged: {error}", str(path)) from error


def transcripts_in_lines(path: Path, ids: Collection[str]) -> dict[str, Transcript]:
    """Rows of the JSONL by id."""
    wanted = frozenset(ids)
    decode = msgspec.json.Decoder(Transcript).decode
    try:
        with path.open("rb") as file:
            rows = [row for line in file if (row := decode(line)).id in wanted]
    except (OSError, msgspec.DecodeError):
        return {}
    return {row.id: row for row in rows}


def all_lines(path: Path, decode: Callable[[bytes], T]) -> Iterator[T]:
    """Every row of a JSONL file; lines that are torn or damaged are left out. Raises OSError."""
    with path.open("rb") as file:
        for line in file:
            try:
                row = decode(line)
            except msgspec.DecodeError:
                continue
            yield row


def damaged_lines(path: Path, upto: int | None) -> Iterator[bytes]:
    """Lines of the JSONL that are no transcript, of its first `upto` bytes (None: of all). Raises OSError."""
    decode = msgspec.json.Decoder(Transcript).decode
    read = 0
    with path.open("rb") as file:
        for line in file:
            read += len(line)
            if upto is not None and read > upto:
                return
            try:
                decode(line)
            except msgspec.DecodeError:
                yield line


def is_damaged(path: Path) -> bool:
    """Whether a Parquet file cannot be read to its end. Raises OSError where the system does not let it be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        if getattr(error, "errno", None) is not None:  # the library's own complaints have no number
            raise
        return True
    return False


def check_rows(folder: Path, part: int, rows: int) -> None:
    """Raises OSError where a part cannot be read, or has another number of rows."""
    import pyarrow.parquet as pq

    path = part_path(folder, part)
    if is_damaged(path):
        raise OSError(errno.EIO, "a published part is damaged", str(path))
    if pq.read_metadata(path).num_rows != rows:
        raise OSError(errno.EIO, "a published part has other rows than it had", str(path))


def failures_in(out: Path) -> Iterator[Failure]:
    """What errors.jsonl says, or where there is none errors.parquet. Raises OSError."""
    lines, table = out / "errors.jsonl", out / "errors.parquet"
    if lines.is_file():
        yield from all_lines(lines, msgspec.json.Decoder(Failure).decode)
    elif table.is_file() and not is_damaged(table):
        import pyarrow.parquet as pq

        for row in pq.read_table(table).to_pylist():
            yield msgspec.convert({**row, "metadata": dict(row["metadata"])}, Failure)


def keys_of_attempts(folder: Path, part: int) -> set[AttemptKey]:
    """What tells the attempts of a part of the ledger from all others. Raises OSError."""
    import pyarrow.parquet as pq

    rows = pq.read_table(part_path(folder, part), columns=list(_KEY)).to_pylist()
    return {(row["run_id"], row["id"], row["clip"], row["attempt"], row["started_at"]) for row in rows}


def key_of(attempt: Attempt) -> AttemptKey:
    return attempt.run_id, attempt.id, attempt.clip, attempt.attempt, attempt.started_at


def attempts_in_part(folder: Path, part: int) -> tuple[int, float]:
    """Rows and credits of a part of the ledger. Raises OSError."""
    import pyarrow.parquet as pq

    prices = pq.read_table(part_path(folder, part), columns=["credits"])["credits"].to_pylist()
    return len(prices), sum(prices)


def _transcript(row: dict[str, Any]) -> Transcript:
    return msgspec.convert({**row, "metadata": dict(row["metadata"])}, Transcript)
