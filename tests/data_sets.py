"""Writes Parquet files with recordings inside, by pyarrow, and the layout of a data set by `datasets` itself.

rows = [Row(path="a.flac", audio=b"...", text="hello")]
write_rows(tmp_path / "x.parquet", rows, group_rows=2)
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {"audio": {"_type": "Audio"}}


class Row(NamedTuple):
    """A row of a data set."""

    path: str | None
    audio: bytes | None
    text: str = ""


def write_rows(
    path: Path,
    rows: Sequence[Row],
    group_rows: int = 100,
    column: str = "audio",
    kind: Any = AUDIO,
    more: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Writes them with pyarrow, with the metadata of `datasets` for `column`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = pa.array([{"bytes": row.audio, "path": row.path} for row in rows], kind)
    features = json.dumps({"info": {"features": {column: FEATURES["audio"]}}})
    table = pa.table({column: audio, "text": [row.text for row in rows]} | (more or {}))
    pq.write_table(table.replace_schema_metadata({"huggingface": features}), path, row_group_size=group_rows, **options)
    return path


def data_set(rows: Sequence[Row], **columns: list[Any]) -> Any:
    """A data set of `datasets`, whose audio it does not decode."""
    from datasets import Audio, Dataset

    audio = [{"bytes": row.audio, "path": row.path} for row in rows]
    made = Dataset.from_dict({"audio": audio, "text": [row.text for row in rows]} | columns)
    return made.cast_column("audio", Audio(decode=False))


def write_shards(folder: Path, rows: Sequence[Row], count: int, split: str = "train", **columns: list[Any]) -> None:
    """The files that `push_to_hub` makes: its shards, in their layout."""
    made = data_set(rows, **columns)
    for number in range(count):
        path = folder / "data" / f"{split}-{number:05d}-of-{count:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        made.shard(count, number, contiguous=True).to_parquet(str(path))


def damaged(data: bytes, kind: str, chance: random.Random) -> bytes:
    """The bytes of a file cut, with zeros in it, or with other bits, anywhere or in its footer."""
    found, at = bytearray(data), chance.randrange(len(data))
    if kind == "cut":
        del found[at:]
    elif kind == "zeros":
        found[at : at + 300] = bytes(len(found[at : at + 300]))
    else:
        for _ in range(3):
            at = chance.randrange(len(found) - 700 if kind == "footer" else 0, len(found))
            found[at] ^= 1 << chance.randrange(8)
    return bytes(found)
