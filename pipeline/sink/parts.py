"""Parquet parts: numbered files that are written whole, or rewritten whole with some rows replaced.

Touches OUT/<kind>/part-NNNNNN.parquet and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.durable import replacing
from pipeline.sink.batches import AT_ONCE_BYTES
from pipeline.sink.folder import part_path
from pipeline.sink.read import refuse_other, tables_in

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


def replace_rows(folder: Path, part: int, ids: Collection[str], rows: pa.Table, had: int) -> int:
    """Rewrites a part, which has `had` rows, without `ids` and with `rows`; returns how many rows it has now.

    Doing it twice gives the same part, so a crash in between is mended by doing it again.
    """
    import pyarrow.compute as pc  # 75 ms to load, and most runs replace nothing

    path, schema, leaving = part_path(folder, part), rows.schema, pa.array(list(ids), pa.string())
    nullable = [field.name for field in schema if field.nullable]
    found = count = 0

    def new() -> Iterator[pa.Table]:
        nonlocal found
        for old in tables_in(path, schema, optional=nullable):
            found += old.num_rows
            kept = old.filter(pc.invert(pc.is_in(old["id"], leaving)))
            yield pa.concat_tables([schema.empty_table(), kept], promote_options="default")
        refuse_other(path, found, had)  # before it is replaced
        yield rows

    def counted() -> Iterator[pa.Table]:
        nonlocal count
        for table in _joined(new()):
            count += table.num_rows
            yield table

    write_tables(path, schema, counted())
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
