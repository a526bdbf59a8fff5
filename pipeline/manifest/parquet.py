"""Reads Parquet manifests, a batch of rows at a time. Imports pyarrow, which is slow, only when called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from pipeline.errors import ManifestError
from pipeline.manifest.columns import check, utterance
from pipeline.manifest.rows import Rows
from pipeline.model import BadRow, Utterance

BATCH_ROWS = 2_000
BATCH_BYTES = 8 << 20
BUFFER_BYTES = 1 << 18
TEXT = ("audio", "audio_filepath", "file_name", "language", "reference", "text")
NUMBERS = ("offset_s", "offset", "duration_s", "duration", "channel")


def read(stream: BinaryIO, rows: Rows) -> Iterator[Utterance | BadRow]:
    """The rows of a Parquet file; a row's `line` is its number from 1.

    Raises `ManifestError` for a file that is no Parquet or is damaged, and for known columns of a wrong type.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    line = 1
    try:
        # without pre_buffer and buffer_size, all columns of a row group, often the whole file, would be read at once
        metadata = pq.read_metadata(stream)
        texts = texts_of(metadata.schema.to_arrow_schema())
        file = pq.ParquetFile(
            stream, metadata=metadata, pre_buffer=False, buffer_size=BUFFER_BYTES, read_dictionary=texts
        )
        check(file.schema_arrow.names, rows, None)
        wanted = [field.name for field in file.schema_arrow if is_wanted(field, rows.manifest)]
        row_bytes = sum(file.metadata.row_group(n).total_byte_size for n in range(file.num_row_groups))
        at_once = max(1, min(BATCH_ROWS, BATCH_BYTES * file.metadata.num_rows // max(1, row_bytes)))
        for batch in file.iter_batches(at_once, columns=wanted, use_threads=False):
            for row in rows_in(batch):
                yield utterance(line, row, rows)
                line += 1
    # the last four: values that Python cannot represent, or text that is not UTF-8
    except (pa.ArrowException, OSError, UnicodeError, ValueError, OverflowError, TypeError) as error:
        where = rows.manifest if line == 1 else f"{rows.manifest}: after row {line - 1}"
        raise ManifestError(f"{where}: not readable as Parquet: {error}; export the file again.") from error


def rows_in(batch: Any) -> Iterator[dict[str, Any]]:
    """The rows of a batch, a few at a time as Python's values."""
    few = max(1, BATCH_BYTES // max(1, _longest(batch)))
    for start in range(0, batch.num_rows, few):
        yield from readable(batch.slice(start, few)).to_pylist()


def texts_of(schema: Any) -> list[str]:
    """The text columns. They are read dictionary-encoded, so that a text that many rows share is in memory once."""
    from pyarrow import types

    return [field.name for field in schema if types.is_string(field.type) or types.is_large_string(field.type)]


def _longest(batch: Any) -> int:
    """An upper bound of the bytes of a row: its share of the batch, and the longest text of each column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    longest = batch.nbytes // max(1, batch.num_rows)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and len(column.dictionary):
            longest += pc.max(pc.binary_length(column.dictionary)).as_py() or 0
    return int(longest)


def is_wanted(field: Any, manifest: str) -> bool:
    """Whether a column is read. Raises `ManifestError` for a known column of a wrong type."""
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    number = types.is_integer(kind) or types.is_floating(kind)
    if types.is_null(kind) and field.name not in ("audio", "audio_filepath"):
        return True
    if field.name in TEXT and not text:
        raise ManifestError(f"{manifest}: column `{field.name}` is {kind}; it must be text.")
    if field.name in NUMBERS and not number:
        raise ManifestError(f"{manifest}: column `{field.name}` is {kind}; it must be numbers.")
    if field.name == "id" and not (text or types.is_integer(kind)):
        raise ManifestError(f"{manifest}: column `id` is {kind}; it must be text or whole numbers.")
    # metadata is text: not raw bytes, and not pandas' row numbers
    return not _has_bytes(kind) and not field.name.startswith("__index_level_")


def _has_bytes(kind: Any) -> bool:
    """Whether values of a type are or hold raw bytes, such as images."""
    from pyarrow import types

    if types.is_nested(kind):
        return any(_has_bytes(kind.field(number).type) for number in range(kind.num_fields))
    binary = types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    return bool(binary or types.is_binary_view(kind))


def readable(batch: Any) -> Any:
    """The batch with times as text, because pyarrow needs pandas for values with nanoseconds."""
    import pyarrow as pa

    for index, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) or pa.types.is_time(field.type):
            batch = batch.set_column(index, field.name, batch.column(index).cast(pa.string()))
    return batch
