"""Parquet files: written whole from records, rewritten with some rows replaced, and read.

Raises DamagedFile for a file with other content than was written, OutputError for other faults.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Generic, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types

from pipeline.earlier import Transcript1, decoding_either
from pipeline.errors import DamagedFile
from pipeline.model import Attempt, Failure, Transcript
from pipeline.sink.rows import ROWS_AT_ONCE, Order, Which, damaged, decoding, in_batches
from pipeline.sink.schema import SCHEMAS, as_table, indices, is_format_1, schema_for
from pipeline.sink.store import Store

GROUP_BYTES = 8 << 20
"""The size of a row group, which is read as a whole."""
T = TypeVar("T", bound=msgspec.Struct)
_CONVERT: dict[type, Callable[[dict[str, object]], Any]] = {
    Transcript: decoding_either(
        lambda row: msgspec.convert(row, Transcript), lambda row: msgspec.convert(row, Transcript1)
    ),
    Failure: lambda row: msgspec.convert(row, Failure),
    Attempt: lambda row: msgspec.convert(row, Attempt),
}


class Table(Generic[T]):
    """A file whose rows are records of one type."""

    def __init__(self, store: Store, name: str, kind: type[T]) -> None:
        self._store = store
        self._name = name
        self._kind = kind
        self._schema = SCHEMAS[kind]
        self._optional = [field.name for field in msgspec.structs.fields(kind) if not field.required]
        self._convert: Callable[[dict[str, object]], T] = _CONVERT[kind]

    def write(self, batches: Iterable[Sequence[T]]) -> None:
        """Writes the whole file; replaces one of the same name."""
        self._write(as_table(batch, self._kind) for batch in batches)

    def count(self) -> int:
        """The number of rows."""
        with self._store.read(self._name) as source, decoding(self._store, self._name):
            return int(pq.read_metadata(source).num_rows)

    def is_format_1(self) -> bool:
        """Whether a version before 0.2 wrote the file."""
        with self._store.read(self._name) as source, decoding(self._store, self._name):
            return is_format_1(pq.read_schema(source))

    def has_columns(self) -> bool:
        """Whether the file has today's columns. Raises DamagedFile."""
        with self._store.read(self._name) as source, decoding(self._store, self._name):
            return bool(pq.read_schema(source).names == self._schema.names)

    def replace(self, which: Which, records: Iterable[T], had: int, order: Order) -> int:
        """Rewrites the file, which has `had` rows, without those that `which` selects and with `records`, in the order
        of the places that `order` gives them; returns its new number of rows. Of format 1 no row may stay.

        Idempotent, so that it can be repeated after a crash. The rows of the file are in memory at once.
        """
        found = 0
        nullable = [field.name for field in self._schema if field.nullable]
        tables = [pa.Table.from_batches([], self._schema)]
        for old in self.tables(optional=nullable):
            found += old.num_rows
            if (kept := _split(old, which)[1]).num_rows:
                tables.append(kept)
        self._check_count(found, had)  # before the file is replaced
        tables += (as_table(batch, self._kind) for batch in in_batches(records))
        rows = pa.concat_tables(tables, promote_options="default")
        places = order(rows["id"].to_pylist())
        return self._write([rows.take(indices(sorted(range(rows.num_rows), key=places.__getitem__)))])

    def drop(self, which: Which, left: int) -> None:
        """Rewrites the file, in its format, without the rows that `which` selects; `left` is how many have to stay.
        Repeated, it does the same. One row group is in memory."""
        tables = self.tables(optional=[field.name for field in self._schema if field.nullable])
        first = next(tables)

        def kept() -> Iterator[pa.Table]:
            count = 0
            for rows in chain([first], tables):
                if (others := _split(rows, which)[1]).num_rows:
                    count += others.num_rows
                    yield others
            self._check_count(count, left)  # before the file is replaced

        self._write(kept(), first.schema)

    def rows(self, which: Which | None = None, had: int | None = None) -> Iterator[T]:
        """The rows that `which` selects, or all. Raises DamagedFile at the end if the file does not have `had` rows."""
        count = 0
        for table in self.tables(optional=self._optional):
            count += table.num_rows
            selected = table if which is None else _split(table, which)[0]
            for batch in _with_text_instants(selected).to_batches(ROWS_AT_ONCE):
                yield from self.records(batch)
        if had is not None:
            self._check_count(count, had)

    def batches(self, *, without: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
        """All rows as columns, a few hundred at a time, for `records`; `without` some lists, which are not read."""
        columns = [name for name in self._schema.names if name not in without]
        for table in self.tables(columns, optional=self._optional):
            yield from _with_text_instants(table).to_batches(ROWS_AT_ONCE)

    def records(
        self, batch: pa.RecordBatch, numbers: Sequence[int] | None = None, *, without: Collection[str] = ()
    ) -> list[T]:
        """The rows of these numbers, or all, of `batches`. The lists that it is `without` are empty."""
        wanted = batch if numbers is None or len(numbers) == batch.num_rows else batch.take(indices(numbers))
        left_out: dict[str, object] = dict.fromkeys(without, ())
        with decoding(self._store, self._name):
            return [self._record(row | left_out) for row in wanted.to_pylist()]

    def is_damaged(self) -> bool:
        """Whether a row cannot be decoded. Raises OutputError where the file cannot be read."""
        try:
            deque(self.rows(), 0)
        except DamagedFile:
            return True
        return False

    def tables(self, columns: Sequence[str] = (), *, optional: Collection[str] = ()) -> Iterator[pa.Table]:
        """The rows as tables, one for each row group.

        Accepts other types of the same meaning (tools write `large_string`). `optional` columns may be missing: older
        versions did not write them. With `columns` no others are read or checked.
        """
        with self._store.read(self._name) as source, decoding(self._store, self._name):
            # without threads of Arrow, which a damaged file may leave running
            file = pq.ParquetFile(source, pre_buffer=False)
            names, expected = file.schema_arrow.names, schema_for(self._kind, file.schema_arrow)
            fields = [expected.field(name) for name in columns or expected.names]
            schema = pa.schema([field for field in fields if field.name in names or field.name not in optional])
            wanted = schema.names if columns else None
            for group in range(file.num_row_groups) or (None,):
                if group is None:
                    rows = file.read(wanted, use_threads=False)
                else:
                    rows = file.read_row_group(group, wanted, use_threads=False)
                rows = rows.select(schema.names)
                for field in schema:
                    found = rows.schema.field(field.name).type
                    if _is_text(found) != _is_text(field.type):  # Arrow would write numbers as text
                        raise damaged(self._store, self._name, f"its column {field.name} is of the type {found}")
                rows = rows.cast(schema)  # raises where a required column has nulls
                rows.validate(full=True)  # raises where text is not UTF-8
                yield rows

    def _check_count(self, found: int, had: int) -> None:
        if found != had:
            raise damaged(self._store, self._name, f"it has {found:,} rows and had {had:,}")

    def _record(self, row: dict[str, object]) -> T:
        if isinstance(metadata := row.get("metadata"), str):
            row["metadata"] = msgspec.json.decode(metadata)
        elif metadata is not None:  # of format 1: a map, of which Arrow makes pairs
            row["metadata"] = dict(metadata)  # type: ignore[call-overload]
        return self._convert(row)

    def _write(self, tables: Iterable[pa.Table], schema: pa.Schema | None = None) -> int:
        """Writes the whole file; returns its rows."""
        count, schema = 0, schema or self._schema
        with self._store.put(self._name) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for rows in tables:
                writer.write_table(rows, row_group_size=max(1, rows.num_rows * GROUP_BYTES // max(1, rows.nbytes)))
                count += rows.num_rows
        return count


def _split(rows: pa.Table, which: Which) -> tuple[pa.Table, pa.Table]:
    """The rows that `which` selects, and the others."""
    ids = rows["id"].to_pylist()
    found = frozenset(which(ids))
    if not found:
        return rows.slice(0, 0), rows
    selected = [number for number, id_ in enumerate(ids) if id_ in found]
    others = [number for number, id_ in enumerate(ids) if id_ not in found]
    return rows.take(indices(selected)), rows.take(indices(others))


def _with_text_instants(rows: pa.Table) -> pa.Table:
    """The rows with their instants as text, which msgspec converts: Arrow imports pandas for them, where installed."""
    for place, field in enumerate(rows.schema):
        if pyarrow.types.is_timestamp(field.type):
            rows = rows.set_column(place, field.name, rows.column(place).cast(pa.string()))
    return rows


def _is_text(kind: pa.DataType) -> bool:
    of = pyarrow.types
    inside = kind.value_type if of.is_dictionary(kind) else kind
    return bool(of.is_string(inside) or of.is_large_string(inside) or of.is_string_view(inside))
