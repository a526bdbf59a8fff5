"""Reads the rows of Parquet files that hold their recordings, as Hugging Face's data sets do; other Parquet files as
`parquet` does.

A row's recording is `FILE.parquet#row=N`. Its bytes are not read here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, NamedTuple, cast

import msgspec

from pipeline.errors import AttemptError, ManifestError, SourceOut
from pipeline.manifest import parquet
from pipeline.manifest.columns import REFERENCES, as_text, check, reference_in, utterance
from pipeline.manifest.rows import Rows, Warn, fragment, is_id
from pipeline.manifest.seen_names import SeenNames
from pipeline.model import BadRow, NamedByPath, Utterance
from pipeline.source import Sources
from pipeline.source.addresses import ROW, folder_of, is_address
from pipeline.source.audio_column import audio_column
from pipeline.source.footer import chunks_of
from pipeline.source.tables import open_at
from pipeline.texts import presentable

EXPORTED = frozenset(("span_s", "segments", "words"))
"""Columns that tell our own data sets, whose audio is already the part of its recording that the row asked for, …"""
OF_RECORDING = ("offset_s", "duration_s", "channel")
"""… so that these are no span of it."""
LARGE = ("segments", "words")
"""Left out of these, as are raw bytes."""
BLOCK_BYTES = 256 << 10
"""What is read at a time of remote files."""


def read(stream: BinaryIO, rows: Rows) -> Iterator[Utterance | BadRow]:
    """The rows of a Parquet file; a row's `line` is its number from 1. Raises ManifestError as `parquet.read`."""
    name = os.path.basename(rows.manifest)
    if (table := _table_of(stream, rows, rows.beside(name))) is None:
        yield from parquet.read(stream, rows)
    else:
        yield from table.rows(name, SeenNames())


@contextmanager
def audio_table(path: str, sources: Sources, warn: Warn) -> Iterator[AudioTable | None]:
    """The table of a file at a path or an address, of which only parts are read; None where it holds no recordings.
    Raises ManifestError."""
    folder = folder_of(path) if is_address(path) else os.path.dirname(path)
    try:
        with open_at(sources, path, sources.stat(path), BLOCK_BYTES) as stream:
            yield _table_of(cast("BinaryIO", stream), Rows(path, folder, sources.signatures, warn), path)
    except (AttemptError, SourceOut) as error:
        raise ManifestError(f"{path}: cannot be read: {str(error).rstrip('.')}.") from error


def _table_of(stream: BinaryIO, rows: Rows, path: str) -> AudioTable | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(stream)
        schema = metadata.schema.to_arrow_schema()
    except (pa.ArrowException, OSError, ValueError, OverflowError, TypeError) as error:
        raise _damaged(rows.manifest, error) from error
    column = audio_column(schema)
    return None if column is None else AudioTable(stream, rows, path, metadata, schema, column)


def _damaged(where: str, error: Exception) -> ManifestError:
    return ManifestError(f"{where}: not readable as Parquet: {presentable(str(error))}; write or upload it again.")


class _Read(NamedTuple):
    """What is read of a row."""

    has_bytes: bool
    path: str | None
    kept: dict[str, Any]
    """Columns that are metadata, although others of their names are known."""
    row: dict[str, Any]
    """All others."""


class AudioTable:
    """A Parquet file whose column `column` holds recordings."""

    def __init__(self, stream: BinaryIO, rows: Rows, path: str, metadata: Any, schema: Any, column: str) -> None:
        self._stream, self._rows, self._path = stream, rows, path
        self._metadata, self._schema, self._column = metadata, schema, column
        self._bytes = f"{column}.bytes"

    def rows(self, name: str, seen: SeenNames) -> Iterator[Utterance | BadRow]:
        """Its rows. One without an `id` is called as its audio is (`path`), where `seen` knows no row of that name yet,
        else by `name` and number. Raises ManifestError where the file is damaged, or a known column of a wrong type."""
        import pyarrow as pa

        number = 0
        try:
            for row in self._read():
                yield self._row(number, row, name, seen)
                number += 1
        except (pa.ArrowException, OSError, UnicodeError, ValueError, OverflowError, TypeError) as error:
            where = f"{self._rows.manifest}: after row {number}" if number else self._rows.manifest
            raise _damaged(where, error) from error

    def _read(self) -> Iterator[_Read]:
        import pyarrow.parquet as pq

        is_exported = EXPORTED.issubset(self._schema.names)
        others = [field for field in self._schema if field.name not in (self._column, "audio")]
        names = ["audio", *(field.name for field in others)]
        check(names, self._rows, None)
        wanted = [field.name for field in others if parquet.is_wanted(field, self._rows.manifest)]
        if is_exported:
            wanted = [name for name in wanted if name not in LARGE]
        texts = [name for name in parquet.texts_of(self._schema) if name in wanted]
        reference = self._reference(texts)
        file = pq.ParquetFile(
            self._stream,
            metadata=self._metadata,
            pre_buffer=False,
            buffer_size=parquet.BUFFER_BYTES,
            read_dictionary=texts,
        )
        for number, chunk in enumerate(chunks_of(self._stream, self._bytes)):
            group = self._metadata.row_group(number)
            # where only some rows have bytes, there is no other way to tell which
            is_mixed = bool(chunk.nulls) and chunk.nulls != chunk.rows
            leaves = [f"{self._column}.path", *([self._bytes] if is_mixed else [])]
            size = max(0, group.total_byte_size - (0 if is_mixed else chunk.bytes))
            at_once = max(1, min(parquet.BATCH_ROWS, parquet.BATCH_BYTES * group.num_rows // max(1, size)))
            for batch in file.iter_batches(at_once, row_groups=[number], columns=[*wanted, *leaves], use_threads=False):
                for row in parquet.rows_in(batch):
                    held = row.pop(self._column, None) or {}  # it may have no `path`
                    kept = _exported(row) if is_exported else {}
                    if reference is not None:
                        row["reference"] = row.pop(reference)
                    has_bytes = held.get("bytes") is not None if is_mixed else not chunk.nulls
                    yield _Read(has_bytes, held.get("path"), kept, row)

    def _reference(self, texts: list[str]) -> str | None:
        """The column that is to be called `reference`."""
        names = self._schema.names
        found = reference_in([name for name in names if name not in REFERENCES or name in texts])
        return found if found in REFERENCES else None

    def _row(self, number: int, read: _Read, name: str, seen: SeenNames) -> Utterance | BadRow:
        has_bytes, path, kept, row = read
        row["audio"] = f"{self._path}{ROW}{number}" if has_bytes else path
        made = utterance(number + 1, row, self._rows)
        if isinstance(made, BadRow):
            return made
        if other := {key: as_text(value) for key, value in kept.items() if value is not None}:
            made = msgspec.structs.replace(made, metadata=made.metadata | other)
        if not isinstance(made, NamedByPath):
            return made
        span = fragment(made.offset_s, made.duration_s, made.channel)
        own = path.strip() + span if path else ""
        return msgspec.structs.replace(made, id=own if is_id(own) and seen.add(own) else f"{name}{ROW}{number}{span}")


def _exported(row: dict[str, Any]) -> dict[str, Any]:
    """Takes what describes the recording out of a row of our own data sets, and the columns of its manifest."""
    kept = {name: row.pop(name, None) for name in OF_RECORDING}
    with suppress(msgspec.DecodeError, TypeError, KeyError):  # where somebody else has written it
        kept |= msgspec.json.decode(row["metadata"], type=dict[str, Any])
        del row["metadata"]
    return kept
