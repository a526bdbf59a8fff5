"""Parquet parts: numbered files that are written whole, or rewritten whole with some rows replaced.

Touches OUT/<kind>/part-NNNNNN.parquet and nothing else.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.durable import replacing


def part_path(folder: Path, part: int) -> Path:
    return folder / f"part-{part:06d}.parquet"


def parts_in(folder: Path) -> list[int]:
    """Numbers of the parts in a folder."""
    names = (path.name.removeprefix("part-").removesuffix(".parquet") for path in folder.glob("part-*.parquet"))
    return sorted(int(name) for name in names if name.isdigit())


def write_part(folder: Path, part: int, rows: pa.Table) -> None:
    """Publishes a part, in place of one of the same number."""
    folder.mkdir(exist_ok=True)
    write_tables(part_path(folder, part), rows.schema, [rows])


def write_tables(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """One Parquet file from any number of tables, atomically."""
    with replacing(path) as temp, pq.ParquetWriter(temp, schema, compression="zstd") as writer:
        for rows in tables:
            writer.write_table(rows)


def replace_rows(folder: Path, part: int, ids: Collection[str], rows: pa.Table) -> int:
    """Rewrites a part without `ids` and with `rows`; returns how many rows it has now.

    Doing it twice gives the same part, so a crash in between is mended by doing it again.
    """
    import pyarrow.compute as pc  # 75 ms to load, and most runs replace nothing

    path = part_path(folder, part)
    try:
        old = pq.read_table(path, schema=rows.schema)
    except pa.ArrowInvalid as error:
        raise OSError(errno.EIO, f"a published part is damaged: {error}", str(path)) from error
    kept = old.filter(pc.invert(pc.is_in(old["id"], pa.array(list(ids), pa.string()))))
    new = pa.concat_tables([kept, rows])
    write_part(folder, part, new)
    return int(new.num_rows)


def settle_parts(folder: Path, known: Collection[int]) -> None:
    """Removes what a crash left: the one part that was written and not noted, whose rows are still to be published, and
    temporary files. Raises FileNotFoundError where a part that was noted is gone, and FileExistsError for any other
    part that nobody knows of: that is somebody's data.
    """
    there = parts_in(folder)
    for part in sorted(set(known) - set(there)):
        raise FileNotFoundError(errno.ENOENT, "a published part is gone", str(part_path(folder, part)))
    unnoted = max(known, default=0) + 1
    for part in sorted(set(there) - set(known)):
        if part != unnoted:
            raise FileExistsError(errno.EEXIST, "a part is not in the checkpoint", str(part_path(folder, part)))
        part_path(folder, part).unlink()
    for path in folder.glob(".part-*.tmp"):
        path.unlink()
