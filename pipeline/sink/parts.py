"""Parquet parts: numbered files that are written whole, or rewritten whole with some rows replaced.

Touches OUT/<kind>/part-NNNNNN.parquet and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.durable import replacing
from pipeline.sink.batches import AT_ONCE_BYTES
from pipeline.sink.folder import part_path
from pipeline.sink.read import Which, refuse_other, split, tables_in
from pipeline.sink.schema import TRANSCRIPTS

GROUP_BYTES = 8 << 20
"""Of a row group: it is read as a whole."""


def write_part(folder: Path, part: int, rows: pa.Table) -> None:
    """Publishes a part, in place of one of the same number."""
    folder.mkdir(exist_ok=True)
    write_tables(part_path(folder, part), rows.schema, [rows])


def write_tables(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """One Parquet file from any number of tables, atomically, in row groups that can be read one at a time."""
    with replacing(path) as temp, pq.ParquetWriter(temp, schema, compression="zstd") as writer:
        for rows in tables:
            writer.write_table(rows, row_group_size=max(1, rows.num_rows * GROUP_BYTES // max(1, rows.nbytes)))


def replace_rows(folder: Path, part: int, which: Which, rows: Iterable[pa.Table], had: int) -> int:
    """Rewrites a part, which has `had` rows, without those that are meant and with `rows`; returns how many rows it has
    now.

    Doing it twice gives the same part, so a crash in between is mended by doing it again.
    """
    path, found, count = part_path(folder, part), 0, 0
    nullable = [field.name for field in TRANSCRIPTS if field.nullable]

    def new() -> Iterator[pa.Table]:
        nonlocal found
        for old in tables_in(path, TRANSCRIPTS, optional=nullable):
            found += old.num_rows
            _, kept = split(old, which)
            yield pa.concat_tables([TRANSCRIPTS.empty_table(), kept], promote_options="default")
        refuse_other(path, found, had)  # before it is replaced
        yield from rows

    def counted() -> Iterator[pa.Table]:
        nonlocal count
        for table in _joined(new()):
            count += table.num_rows
            yield table

    write_tables(path, TRANSCRIPTS, counted())
    return count


def _joined(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Few tables of many small ones: each becomes a row group or more."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(one.nbytes for one in waiting) >= AT_ONCE_BYTES:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
