"""A Hugging Face data set: the shards' columns and row groups, their names and splits. Pure: no I/O.

A shard is a Parquet file of row groups from `row_groups`, written with `writer_options`. `hub_card` has the files that
tell readers how to load the folder.
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
"""Of audio in a row group, which writers and readers have in memory as a whole; the group ends with the row that reaches
it. The viewer of Hugging Face wants less than 300 MB."""
GROUP_ROWS = 1_000
_TEXT_COLUMNS = (
    "id",
    "text",
    "reference",
    "wer",
    "duration_s",
    "offset_s",
    "span_s",
    "channel",
    "language",
    "words",
    "segments",
    "status",
    "issues",
    "model",
    "metadata",
)
_AUDIO = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])


class AudioBytes(msgspec.Struct, frozen=True, kw_only=True):
    """The audio of a row, as a file."""

    data: bytes
    name: str
    """Of the file, without a folder: its ending tells the format."""


HubRow = tuple[Transcript, AudioBytes | None]
"""A row with its audio, or without it in a data set that has none."""


def schema(*, with_audio: bool) -> pa.Schema:
    """The columns of a shard. `audio` is a file in Hugging Face's own type, which their viewer plays. Without the bytes
    there is `audio_path` instead, a text: a column of that type whose files are not there would break every reader."""
    text = [TRANSCRIPTS.field(name) for name in _TEXT_COLUMNS]
    first = (
        pa.field("audio", _AUDIO, nullable=False) if with_audio else TRANSCRIPTS.field("audio").with_name("audio_path")
    )
    columns = pa.schema([first, *text])
    features = features_of(columns) | ({"audio": {"_type": "Audio"}} if with_audio else {})
    return columns.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def row_groups(rows: Iterable[HubRow], *, with_audio: bool) -> Iterator[pa.Table]:
    """The rows as tables, each of which is to be one row group; none where there are no rows.

    `rows` is taken one by one, so that no more than a group is in memory. Raises ValueError for a row without audio
    in a data set that has it.
    """
    group: list[HubRow] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row[1].data) if row[1] else 0
        if size >= GROUP_BYTES or len(group) >= GROUP_ROWS:
            yield _table(group, with_audio=with_audio)
            group, size = [], 0
    if group:
        yield _table(group, with_audio=with_audio)


def writer_options(*, with_audio: bool) -> dict[str, Any]:
    """The options of `pyarrow.parquet.ParquetWriter`: audio is compressed already, and statistics of it are copies."""
    raise NotImplementedError


def shard_name(split: str, number: int) -> str:
    """The path of a shard in the folder: `data/train-00000.parquet`. Its pattern is `shard_pattern(split)`: no other
    split's files fit that, because no name of a split has a hyphen."""
    return f"data/{split}-{number:05d}.parquet"


def shard_pattern(split: str) -> str:
    """The glob of all shards of a split."""
    return f"data/{split}-*.parquet"


def _table(group: Sequence[HubRow], *, with_audio: bool) -> pa.Table:
    raise NotImplementedError


_ = array, accumulate, as_table
