"""The columns of the output tables, and the conversion of records to them. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from pipeline.model import Attempt, Failure, Transcript
from pipeline.sink.rows import in_batches

T = TypeVar("T", bound=msgspec.Struct)
_INSTANT = pa.timestamp("us", tz="UTC")
_METADATA = pa.map_(pa.string(), pa.string())
_WORD = pa.struct(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("stop_s", pa.float64()),
        pa.field("channel", pa.int16(), nullable=False),
        pa.field("stream_id", pa.int32()),
        pa.field("clip", pa.int32(), nullable=False),
    ]
)


def _schema(optional: str, **kinds: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=name in optional.split()) for name, kind in kinds.items()])


TRANSCRIPTS = _schema(
    "language model reference wer",
    id=pa.string(),
    audio=pa.string(),
    text=pa.string(),
    words=pa.list_(pa.field("element", _WORD, nullable=False)),
    duration_s=pa.float64(),
    status=pa.string(),
    flags=pa.list_(pa.string()),
    language=pa.string(),
    model=pa.string(),
    audio_hash=pa.string(),
    config_hash=pa.string(),
    request_ids=pa.list_(pa.string()),
    attempts=pa.int32(),
    latency_s=pa.float64(),
    credits=pa.float64(),
    run_id=pa.string(),
    finished_at=_INSTANT,
    reference=pa.string(),
    wer=pa.float64(),
    metadata=_METADATA,
)
ERRORS = _schema(
    "http_status code clip",
    id=pa.string(),
    audio=pa.string(),
    error=pa.string(),
    message=pa.string(),
    http_status=pa.int32(),
    code=pa.int32(),
    retryable=pa.bool_(),
    kept=pa.bool_(),
    clip=pa.int32(),
    attempts=pa.int32(),
    first_seen=_INSTANT,
    last_seen=_INSTANT,
    run_id=pa.string(),
    metadata=_METADATA,
)
ATTEMPTS = _schema(
    "http_status code request_id",
    id=pa.string(),
    clip=pa.int32(),
    attempt=pa.int32(),
    run_id=pa.string(),
    started_at=_INSTANT,
    latency_s=pa.float64(),
    http_status=pa.int32(),
    code=pa.int32(),
    outcome=pa.string(),
    billed=pa.string(),
    credits=pa.float64(),
    bytes_sent=pa.int64(),
    request_id=pa.string(),
)
SCHEMAS: dict[type, pa.Schema] = {Transcript: TRANSCRIPTS, Failure: ERRORS, Attempt: ATTEMPTS}


def as_table(records: Sequence[T], kind: type[T]) -> pa.Table:
    """The records as a table with their fields as columns."""
    schema = SCHEMAS[kind]
    batches = in_batches(records, most_bytes=1 << 20)  # as dicts they take many times as much memory
    tables = [pa.Table.from_pylist(_as_dicts(batch), schema=schema) for batch in batches]
    return pa.concat_tables([schema.empty_table(), *tables]).combine_chunks()


def _as_dicts(records: Sequence[T]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = msgspec.to_builtins(records, builtin_types=(datetime,))
    for row in rows:
        if "metadata" in row:
            row["metadata"] = list(row["metadata"].items())
    return rows
