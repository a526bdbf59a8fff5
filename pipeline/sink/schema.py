"""The columns of the output tables, and the conversion of records to them. Pure: no I/O."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec
import pyarrow as pa
import pyarrow.json

from pipeline.earlier import FORMAT
from pipeline.model import Attempt, Failure, Transcript
from pipeline.sink.features import schema_key
from pipeline.sink.rows import in_batches

T = TypeVar("T", bound=msgspec.Struct)
_encode = msgspec.json.Encoder().encode
_INSTANT = pa.timestamp("us", tz="UTC")
_VERSION = {"gradium_batch": f'{{"format":{FORMAT}}}'}
"""Metadata of each schema, for readers."""


def _fields(optional: str, **kinds: pa.DataType) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=name in optional.split()) for name, kind in kinds.items()]


def _schema(optional: str, **kinds: pa.DataType) -> pa.Schema:
    schema = pa.schema(_fields(optional, **kinds))
    return schema.with_metadata(_VERSION | schema_key(schema))


def _list_of(optional: str, **kinds: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", pa.struct(_fields(optional, **kinds)), nullable=False))


_WORDS = _list_of(
    "stop_s stream_id",
    text=pa.string(),
    start_s=pa.float64(),
    stop_s=pa.float64(),
    channel=pa.int16(),
    stream_id=pa.int32(),
    clip=pa.int32(),
    timing=pa.string(),
)
_SEGMENTS = _list_of("stop_s", text=pa.string(), start_s=pa.float64(), stop_s=pa.float64(), channel=pa.int16())
TRANSCRIPTS = _schema(
    "span_s channel sample_rate channels language model service reference wer",
    id=pa.string(),
    audio=pa.string(),
    text=pa.string(),
    words=_WORDS,
    segments=_SEGMENTS,
    duration_s=pa.float64(),
    offset_s=pa.float64(),
    span_s=pa.float64(),
    channel=pa.int16(),
    sample_rate=pa.int32(),
    channels=pa.int32(),
    status=pa.string(),
    issues=pa.list_(pa.string()),
    language=pa.string(),
    model=pa.string(),
    service=pa.string(),
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
    metadata=pa.string(),
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
    metadata=pa.string(),
)
ATTEMPTS = _schema(
    "http_status code request_id residency",
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
    residency=pa.string(),
)
SCHEMAS: dict[type, pa.Schema] = {Transcript: TRANSCRIPTS, Failure: ERRORS, Attempt: ATTEMPTS}


def _format_1(schema: pa.Schema) -> pa.Schema:
    changed = {
        "issues": ("flags", pa.list_(pa.string())),
        "words": ("words", pa.list_(pa.field("element", pa.struct([*_WORDS.value_type][:-1]), nullable=False))),
        "metadata": ("metadata", pa.map_(pa.string(), pa.string())),
    }
    added = {"segments", "offset_s", "span_s", "channel", "sample_rate", "channels", "service"}
    fields = [field for field in schema if field.name not in added]
    return pa.schema(
        [pa.field(*changed.get(field.name, (field.name, field.type)), nullable=field.nullable) for field in fields]
    )


_FORMAT_1 = {kind: _format_1(schema) for kind, schema in SCHEMAS.items()}


def is_format_1(found: pa.Schema) -> bool:
    """Whether a file with these columns was written by a version before 0.2."""
    return "metadata" in found.names and pa.types.is_map(found.field("metadata").type)


def schema_for(kind: type, found: pa.Schema) -> pa.Schema:
    """The columns of a file of such records, in the format of the columns that were `found` in it."""
    return _FORMAT_1[kind] if is_format_1(found) else SCHEMAS[kind]


def as_table(records: Sequence[T], kind: type[T]) -> pa.Table:
    """The records as a table with their fields as columns."""
    schema = SCHEMAS[kind]
    tables = [_table_of(batch, schema) for batch in in_batches(records, most_bytes=1 << 20)]
    return pa.concat_tables([pa.Table.from_batches([], schema), *tables]).combine_chunks()


def _table_of(records: Sequence[T], schema: pa.Schema) -> pa.Table:
    # by way of JSON: pa.array() and what uses it import pandas where that is installed, which takes 40 MB and longer
    lines = b"\n".join(_encode(_with_text_metadata(record)) for record in records)
    parsed = pyarrow.json.read_json(
        pa.BufferReader(lines),
        pyarrow.json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )
    return parsed.cast(schema)  # raises where a required column has nulls


def _with_text_metadata(record: T) -> T:
    metadata = getattr(record, "metadata", None)
    return record if metadata is None else msgspec.structs.replace(record, metadata=_encode(metadata).decode())


def indices(places: Iterable[int]) -> pa.Array:
    """Numbers of rows as an array to take them by, made without pa.array()."""
    numbers = array("q", places)
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])
