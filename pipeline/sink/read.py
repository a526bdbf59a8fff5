"""Rows of the output files read back: for rows that get the same transcript, or the same one with other metadata; and
for a new checkpoint.

What holds other bytes than were written raises DamagedFile, and what the system does not let be read OSError: a row
that is taken for one that was never there is paid for again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from pipeline.model import Attempt, Failure, KeptClip, Transcript
from pipeline.sink.damage import DamagedFile, reading
from pipeline.sink.folder import part_path

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 500
Which = Callable[[list[str]], Collection[str]]
"""Says which of some ids are meant: of many rows no list of ids is ever whole in memory."""
AttemptKey = tuple[str, str, int, int, datetime]
T = TypeVar("T", bound=msgspec.Struct)
_OF_LINE: dict[type, Callable[[bytes], Any]] = {
    Transcript: msgspec.json.Decoder(Transcript).decode,
    Failure: msgspec.json.Decoder(Failure).decode,
    KeptClip: msgspec.json.Decoder(KeptClip).decode,
}
_OF_ROW: dict[type, Callable[[dict[str, Any]], Any]] = {
    Transcript: lambda row: msgspec.convert(row, Transcript),
    Failure: lambda row: msgspec.convert(row, Failure),
    Attempt: lambda row: msgspec.convert(row, Attempt),
}


def tables_in(
    path: Path, schema: pa.Schema, *, optional: Collection[str] = (), columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """The columns of `schema` of a Parquet file, a row group at a time.

    Other types of the same meaning are taken (tools write `large_string`), and no others. `optional` columns may be
    missing: older versions did not write them. With `columns` no others are read, nor found to be damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(path), path.open("rb") as source:
        # not by threads of Arrow, which a damaged file may leave behind
        file = pq.ParquetFile(source, pre_buffer=False)
        names = file.schema_arrow.names
        schema = pa.schema([field for field in schema if field.name in names or field.name not in optional])
        for group in range(file.num_row_groups) or (None,):
            if group is None:
                rows = file.read(columns, use_threads=False)
            else:
                rows = file.read_row_group(group, columns, use_threads=False)
            rows = rows.select(schema.names)
            for field in schema:
                found = rows.schema.field(field.name).type
                if _is_text(found) != _is_text(field.type):  # Arrow would write numbers as text
                    raise DamagedFile(path, f"its column {field.name} is of the type {found}")
            rows = rows.cast(schema)  # which finds nulls where none may be
            rows.validate(full=True)  # and this finds text that is no UTF-8
            yield rows


def split(rows: pa.Table, which: Which) -> tuple[pa.Table, pa.Table]:
    """The rows of the ids that are meant, and the others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = which(rows["id"].to_pylist())
    if not found:
        return rows.slice(0, 0), rows
    meant = pc.is_in(rows["id"], pa.array(list(found), pa.string()))
    return rows.filter(meant), rows.filter(pc.invert(meant))


def rows_in(path: Path, kind: type[T], which: Which | None = None, had: int | None = None) -> Iterator[T]:
    """Rows of a Parquet file: those that are meant, or all of them. Raises DamagedFile in the end where there are not
    so many as it `had`."""
    from pipeline.sink.schema import SCHEMAS

    optional = [field.name for field in msgspec.structs.fields(kind) if not field.required]
    of_row, count = _OF_ROW[kind], 0
    for rows in tables_in(path, SCHEMAS[kind], optional=optional):
        count += rows.num_rows
        if which is not None:
            rows, _ = split(rows, which)
        has_metadata = "metadata" in rows.column_names
        for batch in rows.to_batches(ROWS_AT_ONCE):
            with reading(path):
                found = [
                    of_row({**row, "metadata": dict(row["metadata"])} if has_metadata else row)
                    for row in batch.to_pylist()
                ]
            yield from found
    if had is not None:
        refuse_other(path, count, had)


def rows_in_lines(
    path: Path, kind: type[T], upto: int | None = None, harmed: Callable[[bytes], None] | None = None
) -> Iterator[T]:
    """Rows of a JSONL file, of its first `upto` bytes where that is given. Lines that are damaged go to `harmed`, and
    without one end it.

    A last line that has no newline is one that is being written, or that a crash tore; it is told to `harmed` only.
    """
    decode, read = _OF_LINE[kind], 0
    with reading(path), path.open("rb") as file:
        for number, line in enumerate(file, 1):
            read += len(line)
            if upto is not None and read > upto:
                return
            try:
                with reading(path):
                    row = decode(line)
            except DamagedFile as error:
                if harmed is not None:
                    harmed(line)
                elif line.endswith(b"\n"):
                    raise DamagedFile(path, f"line {number}: {error}") from error
            else:
                yield row


def rows_behind(path: Path, start: int, kind: type[T]) -> Iterator[tuple[int, T]]:
    """Rows of a JSONL file behind the first `start` bytes, each with the number of bytes up to its end. A last line
    that has no newline is one that is being written."""
    decode = _OF_LINE[kind]
    with reading(path), path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            start += len(line)
            yield start, decode(line)


def check_rows(folder: Path, part: int, kind: type[T], rows: int) -> None:
    """Raises DamagedFile where a part has another number of rows than it had, or one of them cannot be read."""
    path = part_path(folder, part)
    refuse_other(path, sum(1 for _ in rows_in(path, kind)), rows)


def refuse_other(path: Path, found: int, rows: int) -> None:
    """Raises DamagedFile where a part has another number of rows than it had."""
    if found != rows:
        raise DamagedFile(path, f"it has {found:,} rows and had {rows:,}")


def is_damaged(kind: type[msgspec.Struct], path: Path) -> bool:
    """Whether a Parquet file cannot be read. Raises OSError where the system does not let it be read."""
    try:
        deque(rows_in(path, kind), 0)
    except DamagedFile:
        return True
    return False


def attempts_of(folder: Path, part: int, id_: str) -> list[Attempt]:
    """The attempts of one utterance in a part of the ledger, most of which have none: only its ids are read then."""
    import pyarrow as pa

    from pipeline.sink.schema import ATTEMPTS

    path = part_path(folder, part)
    ids = tables_in(path, pa.schema([ATTEMPTS.field("id")]), columns=["id"])
    return (
        list(rows_in(path, Attempt, {id_}.intersection)) if any(id_ in rows["id"].to_pylist() for rows in ids) else []
    )


def keys_of_attempts(folder: Path, part: int) -> set[AttemptKey]:
    """What tells the attempts of a part of the ledger from all others."""
    return {key_of(attempt) for attempt in rows_in(part_path(folder, part), Attempt)}


def key_of(attempt: Attempt) -> AttemptKey:
    return attempt.run_id, attempt.id, attempt.clip, attempt.attempt, attempt.started_at


def attempts_in_part(folder: Path, part: int) -> tuple[int, dict[str, float], float]:
    """Rows of a part of the ledger, their credits by calendar month (UTC), as `2026-11`, and how many of the credits
    only may have been billed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from pipeline.sink.schema import ATTEMPTS

    path = part_path(folder, part)
    schema = pa.schema([ATTEMPTS.field("started_at"), ATTEMPTS.field("credits"), ATTEMPTS.field("billed")])
    rows = pa.concat_tables([schema.empty_table(), *tables_in(path, schema)])
    with reading(path):
        started_at = rows["started_at"].cast(pa.timestamp("us"))  # in UTC, and needs no list of time zones
        month = pc.add(pc.multiply(pc.year(started_at), 100), pc.month(started_at))
        sums = pa.table({"month": month, "credits": rows["credits"]}).group_by("month").aggregate([("credits", "sum")])
        found = {f"{row['month'] // 100:04}-{row['month'] % 100:02}": row["credits_sum"] for row in sums.to_pylist()}
        maybe = pc.sum(rows["credits"].filter(pc.not_equal(rows["billed"], "yes"))).as_py() or 0.0
    return rows.num_rows, found, maybe


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as of

    inside = kind.value_type if of.is_dictionary(kind) else kind
    return bool(of.is_string(inside) or of.is_large_string(inside) or of.is_string_view(inside))
