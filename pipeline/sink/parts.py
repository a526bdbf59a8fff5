"""Parquet parts: numbered files that are written whole, or rewritten whole with some rows replaced.

Touches OUT/<kind>/part-NNNNNN.parquet and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.durable import replacing
from pipeline.sink.folder import part_path
from pipeline.sink.read import refuse_other, table_in


def write_part(folder: Path, part: int, rows: pa.Table) -> None:
    """Publishes a part, in place of one of the same number."""
    folder.mkdir(exist_ok=True)
    write_tables(part_path(folder, part), rows.schema, [rows])


def write_tables(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """One Parquet file from any number of tables, atomically."""
    with replacing(path) as temp, pq.ParquetWriter(temp, schema, compression="zstd") as writer:
        for rows in tables:
            writer.write_table(rows)


def replace_rows(folder: Path, part: int, ids: Collection[str], rows: pa.Table, had: int) -> int:
    """Rewrites a part, which has `had` rows, without `ids` and with `rows`; returns how many rows it has now.

    Doing it twice gives the same part, so a crash in between is mended by doing it again.
    """
    import pyarrow.compute as pc  # 75 ms to load, and most runs replace nothing

    nullable = [field.name for field in rows.schema if field.nullable]
    old = table_in(part_path(folder, part), rows.schema, optional=nullable)
    refuse_other(part_path(folder, part), old.num_rows, had)
    kept = old.filter(pc.invert(pc.is_in(old["id"], pa.array(list(ids), pa.string()))))
    new = pa.concat_tables([rows.schema.empty_table(), kept, rows], promote_options="default")
    write_part(folder, part, new)
    return int(new.num_rows)
