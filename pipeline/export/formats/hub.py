"""A Hugging Face data set: the shards' columns and row groups, and their names. Pure: no I/O.

A shard is a Parquet file of the row groups from `row_groups`, written with `writer_options`. `hub_splits` says into
which split a row goes, `hub_card` has the files that tell readers how to load the folder.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import msgspec
import pyarrow as pa

from pipeline.model import Transcript
from pipeline.sink.features import features_of
from pipeline.sink.schema import TRANSCRIPTS, as_table

GROUP_BYTES = 32 << 20
"""Of audio, after which a row group ends: writers and readers have a group in memory as a whole. The viewer of Hugging
Face takes groups of up to 300 MB."""
GROUP_ROWS = 1_000
AUDIO, AUDIO_PATH = "audio", "audio_path"
_COLUMNS = (
    *("id", "text", "reference", "wer", "duration_s", "offset_s", "span_s", "channel", "language"),
    *("words", "segments", "status", "issues", "model", "metadata"),
)
"""Of the output: what one trains and evaluates with. Not what identifies requests, runs and settings."""
_KEPT_IN_MEMORY = {
    "use_dictionary": ["language", "status", "model", "words.list.element.timing"],
    "write_statistics": ["id", "wer", "duration_s", "language", "status"],  # what rows are filtered by
}
"""By column, because of audio both would be copies."""
_FILE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])


class AudioBytes(msgspec.Struct, frozen=True, kw_only=True):
    """The audio of a row, as a file."""

    data: bytes
    name: str
    """Of the file, without a folder; its ending tells the format."""


HubRow = tuple[Transcript, AudioBytes | None]
"""A row, with its audio where the data set has that."""


def schema(*, with_audio: bool) -> pa.Schema:
    """The columns of a shard.

    `audio` is of Hugging Face's own type, which their viewer plays. A data set without the bytes has the text
    `audio_path` in its place: a column of that type whose files are elsewhere would fail in each reader.
    """
    path = TRANSCRIPTS.field("audio").with_name(AUDIO_PATH)
    # nullable, although no row is without it: `datasets` knows its type only so
    first = pa.field(AUDIO, _FILE) if with_audio else path
    columns = pa.schema([first, *map(TRANSCRIPTS.field, _COLUMNS)])
    features = features_of(columns) | ({AUDIO: {"_type": "Audio"}} if with_audio else {})
    return columns.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def table_of(rows: Sequence[HubRow], *, with_audio: bool) -> pa.Table:
    """Some rows as a table. Those of a data set with audio all have theirs."""
    columns = schema(with_audio=with_audio)
    text = as_table([row for row, _ in rows], Transcript)
    files = [audio for _, audio in rows if audio is not None] if with_audio else []
    first = _files(files) if with_audio else text["audio"]
    return pa.Table.from_arrays([first, *map(text.column, _COLUMNS)], schema=columns)


def row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows of tables, each of which is no larger than a row group, as tables that are to be one row group each."""
    group: list[pa.Table] = []
    for table in tables:
        if group and not _is_room(group, table):
            yield pa.concat_tables(group)
            group = []
        group.append(table)
    if group:
        yield pa.concat_tables(group)


def _is_room(group: Sequence[pa.Table], table: pa.Table) -> bool:
    rows, size = (sum(getattr(one, what) for one in (*group, table)) for what in ("num_rows", "nbytes"))
    return bool(rows <= GROUP_ROWS and size <= GROUP_BYTES)


def writer_options(*, with_audio: bool) -> dict[str, Any]:
    """The schema and the options of `pyarrow.parquet.ParquetWriter`."""
    return {"schema": schema(with_audio=with_audio), "compression": "zstd"} | _KEPT_IN_MEMORY


def shard_name(split: str, number: int) -> str:
    """The path of a shard in the folder: `data/train-00000.parquet`. It does not say how many there are, because
    shards are added later."""
    return f"data/{split}-{number:05d}.parquet"


def shard_pattern(split: str) -> str:
    """The glob for all shards of a split. It matches those of no other, because no name of a split has a hyphen."""
    return f"data/{split}-*.parquet"


def _files(files: Sequence[AudioBytes]) -> pa.Array:
    # from buffers: pa.array() imports pandas where that is installed
    parts = [_binary(pa.binary(), [file.data for file in files])]
    parts.append(_binary(pa.string(), [file.name.encode() for file in files]))
    return pa.StructArray.from_arrays(parts, fields=[*_FILE])


def _binary(kind: pa.DataType, values: Sequence[bytes]) -> pa.Array:
    ends = array("i", accumulate(map(len, values), initial=0))
    data = values[0] if len(values) == 1 else b"".join(values)  # one may be large: not copied
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(ends), pa.py_buffer(data)])
