"""Reads the transcripts of an output in the order of its manifest, whatever formats and versions its files have.

Only reads, also while a run is at work. Memory is bounded: rows that are not in that order in their files are sorted in
a temporary database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline.checkpoint.lookup import LAST
from pipeline.errors import OutputError
from pipeline.export.places import manifest_order
from pipeline.export.rows import OutputRows
from pipeline.model import Transcript
from pipeline.sink import FolderStore, Sink
from pipeline.sink.rows import Order, in_batches

if TYPE_CHECKING:
    import pyarrow as pa

_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Transcript).decode


class OutputReader:
    """The transcripts of one output folder."""

    def __init__(self, out: Path) -> None:
        """Raises UsageError where the folder is no output."""
        self._out = out
        self._files = OutputRows(out).files
        self._sink = Sink(FolderStore(out))

    def count(self) -> int:
        """The number of transcripts."""
        return sum(len(ids) for file in self._files() for ids in self._ids(file))

    def rows(self) -> Iterator[Transcript]:
        """All of them, in the order of the manifest."""
        files = self._files()
        if self._is_in_order(files):
            for file in files:
                yield from self._sink.rows(file)
            return
        with _sorting() as sorting:
            sorting.execute("CREATE TABLE rows (place INTEGER, row BLOB)")
            sorting.execute("BEGIN")
            with self._order() as order:
                for batch in in_batches(row for file in files for row in self._sink.rows(file)):
                    places = order([row.id for row in batch])
                    rows = zip(places, map(_encode, batch), strict=True)
                    sorting.executemany("INSERT INTO rows VALUES (?, ?)", rows)
            sorting.execute("COMMIT")
            held: tuple[int, bytes] | None = None
            for place, row in sorting.execute("SELECT place, row FROM rows ORDER BY place, rowid"):
                # one that a run replaces meanwhile may have been read twice: the last one counts
                if held is not None and held[0] != place:
                    yield _decode(held[1])
                held = place, row
            if held is not None:
                yield _decode(held[1])

    def table(self, columns: Collection[str] = ()) -> pa.Table:
        """All of them, or some of their columns, as a table in the order of the manifest."""
        import pyarrow as pa

        from pipeline.sink.schema import TRANSCRIPTS, indices

        wanted = [name for name in TRANSCRIPTS.names if name in {"id", *(columns or TRANSCRIPTS.names)}]
        schema = pa.schema([TRANSCRIPTS.field(name) for name in wanted])
        found = [table.select(wanted).cast(schema) for file in self._files() for table in self._tables(file, wanted)]
        rows = pa.concat_tables([schema.empty_table(), *found])
        with self._order() as order:
            places = order(rows["id"].to_pylist())
        last = {place: number for number, place in enumerate(places)}
        chosen = [last[place] for place in sorted(last)]
        return rows if chosen == [*range(rows.num_rows)] else rows.take(indices(chosen))

    def _tables(self, file: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        from pipeline.sink.schema import as_table

        if file and not self._sink.is_format_1(file):
            yield from self._sink.parts.table(file).tables(columns)
        else:
            yield from (as_table(batch, Transcript) for batch in in_batches(self._sink.rows(file)))

    def _is_in_order(self, files: Sequence[int]) -> bool:
        before = -1
        with self._order() as order:
            for file in files:
                for ids in self._ids(file):
                    places = order(ids)
                    if places and (places[0] <= before or list(places) != sorted(set(places))):
                        return False
                    before = places[-1] if places else before
        return True

    def _ids(self, file: int) -> Iterator[list[str]]:
        if file:
            yield from (table["id"].to_pylist() for table in self._sink.parts.table(file).tables(["id"]))
        else:
            yield from ([row.id for row in batch] for batch in in_batches(self._sink.rows(file)))

    @contextmanager
    def _order(self) -> Iterator[Order]:
        """Yields what gives ids their places, each row another. Raises CheckpointError."""
        unknown = count(LAST)
        with manifest_order(self._out) as known:
            # those that no manifest has come last, as the files have them
            yield lambda ids: [place if place < LAST else next(unknown) for place in known(ids)]


@contextmanager
def _sorting() -> Iterator[sqlite3.Connection]:
    """A temporary database, which grows as large as the transcripts. Raises OutputError where it has no room."""
    with closing(sqlite3.connect("", isolation_level=None, check_same_thread=False)) as sorting:
        try:
            yield sorting
        except sqlite3.Error as error:
            raise OutputError(
                f"the transcripts cannot be sorted in a temporary file ({error}); make room in the folder for "
                "temporary files, or name another one in SQLITE_TMPDIR"
            ) from error
