"""Exports to formats of one file for each recording, whose names mirror the folders of the recordings.

Rows of changed files of the output are read, and those of recordings whose files are to be written anew. A recording
with one row is written when that is read; the rows of others wait in a temporary database until all are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import msgspec

from pipeline.export.changes import places_in
from pipeline.export.exported import Exported
from pipeline.export.files import RecordingFiles, Written
from pipeline.export.filters import RowFilter
from pipeline.export.formats.format import Document, DocumentFormat, Recording
from pipeline.export.recordings import Recordings
from pipeline.export.rows import OutputRows
from pipeline.export.state import ExportState, hash_of
from pipeline.export.writing import remove, stands
from pipeline.model import Transcript
from pipeline.report.rows_bar import RowsBar
from pipeline.sink.rows import Order

_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Transcript).decode
Kept = tuple[int, bytes, bool, bytes]
"""(place, digest, is_wanted, encoded row) of a row that waits."""
SHARED_S = 0.1
"""Rows that share less than this do not overlap: spans are measured, not what a manifest says."""


class DocumentExport:
    """One export of this kind, whose files are in `folder`, or `beside` the recordings (then it is the root)."""

    def __init__(
        self, state: ExportState, folder: Path, kind: DocumentFormat, *, beside: bool, overwrite: bool
    ) -> None:
        """`overwrite` also what others wrote, or changed."""
        self._state = state
        self._db = state.db
        self._folder = folder
        self._format = kind
        self._overwrite = overwrite
        self._beside = beside
        self._where = "the folders of the recordings" if beside else str(folder)
        self._recordings = Recordings(state, beside=beside)

    def update(self, rows: OutputRows, order: Order, wanted: RowFilter, progress: RowsBar) -> Exported:
        """Writes what changed. Raises UsageError where a file is there that the export did not write."""
        files = RecordingFiles(
            self._state, self._folder, self._format.suffix, beside=self._beside, overwrite=self._overwrite
        )
        with self._state.failing():
            self._recordings.mark_stale(files.look())
            versions = rows.versions()
            changed, gone = self._state.changed_sources(versions)
            self._recordings.update(rows, changed, gone, order)
            files.begin()
            reading = sorted({*changed, *self._recordings.files_of_stale()})
            progress.start(rows.count(reading))
            # for rows that wait for others of their recordings
            kept = "place INTEGER PRIMARY KEY, digest BLOB, is_wanted INTEGER, row BLOB"
            with self._state.temporary(kept=kept):
                for file in reading:
                    self._read(rows, file, order, wanted, files, progress)
                self._read_rest(rows, wanted)
                for one in self._kept():
                    files.add(one)
                files.flush()
            with self._state.transaction():
                self._recordings.drop_empty()
                self._state.set_sources(versions)
        return Exported(
            where=self._where, unit="file", total=files.count(), written=files.written, removed=files.removed,
            exceeded=files.exceeded, left=files.left,
        )  # fmt: skip

    def remove(self, ids: Sequence[int]) -> list[str]:
        """Removes rows, by the hashes of their ids, and all files of their recordings, also where these were changed
        since they were written. What else these recordings have, the next export writes. Returns the files of
        recordings without rows that somebody changed."""
        with self._state.failing():
            found = self._recordings.files_of(ids)
            stamps = {name: stamp for name, *stamp, _ in self._state.files()}
            edited = [
                name
                for name, is_known in found.items()
                if not is_known and stands(self._folder, name, *stamps[name]) is False
            ]
            names = [name for name in found if name not in edited]
            remove(self._folder, names)
            with self._state.transaction():
                self._recordings.remove(ids)
                self._db.executemany("DELETE FROM files WHERE name = ?", ((name,) for name in names))
                self._recordings.drop_empty()
        return edited

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(
        self, rows: OutputRows, file: int, order: Order, wanted: RowFilter, files: RecordingFiles, progress: RowsBar
    ) -> None:
        first = 0
        for batch in rows.batches(file, words=self._format.needs_words):
            places = places_in(file, range(first, first + len(batch.ids)), order([*batch.ids]))
            first += len(batch.ids)
            known = self._recordings.known(places)
            numbers = [
                number
                for number, (id_, digest, one) in enumerate(zip(batch.ids, batch.digests, known, strict=True))
                # one that is not known came since the file was looked at: that is another version of it
                if one is not None and one.id == hash_of(id_) and (one.is_stale or one.digest != digest)
            ]
            stale: list[int] = []
            kept: list[Kept] = []
            new = batch.rows(numbers)
            for number, row, is_wanted in zip(numbers, new, wanted.selects(new), strict=True):
                place, one, digest = places[number], known[number], batch.digests[number]
                if one is not None and one.is_alone:
                    documents, digests = self._documents([row] if is_wanted else []), {place: digest}
                    files.add(Written(recording=one.recording, stem=one.stem, documents=documents, digests=digests))
                elif one is not None:
                    stale.append(one.recording)
                    kept.append((place, digest, is_wanted, _encode(row)))
            self._recordings.mark_stale(stale)
            self._keep(kept)
            progress.advance(len(batch.ids))
        files.flush()

    def _read_rest(self, rows: OutputRows, wanted: RowFilter) -> None:
        """Reads the other rows of recordings of which some rows wait."""
        for file in self._recordings.files_of_stale():
            query = """SELECT id, place FROM rows WHERE file = ? AND place NOT IN (SELECT place FROM temp.kept)
                AND recording IN (SELECT n FROM recordings WHERE is_stale)
                AND 1 < (SELECT count(*) FROM (SELECT 1 FROM rows o WHERE o.recording = rows.recording LIMIT 2))"""
            places: dict[int, int] = dict(self._db.execute(query, (file,)).fetchall())
            if not places:
                continue
            for batch in rows.batches(file, words=self._format.needs_words):
                numbers = [number for number, id_ in enumerate(batch.ids) if hash_of(id_) in places]
                found = batch.rows(numbers)
                kept = zip(numbers, found, wanted.selects(found), strict=True)
                self._keep(
                    [
                        (places[hash_of(row.id)], batch.digests[number], is_wanted, _encode(row))
                        for number, row, is_wanted in kept
                    ]
                )

    def _keep(self, rows: Sequence[Kept]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO temp.kept VALUES (?, ?, ?, ?)", rows)

    def _kept(self) -> Iterator[Written]:
        """What the recordings of the rows that wait shall have written."""
        query = """SELECT r.recording, c.stem, r.place, t.digest, t.is_wanted, t.row
            FROM recordings c JOIN rows r ON r.recording = c.n JOIN temp.kept t ON t.place = r.place
            WHERE c.is_stale AND r.sort = 0 ORDER BY r.recording, r.place"""
        for (recording, stem), found in groupby(self._db.cursor().execute(query), itemgetter(0, 1)):
            rows = [*found]
            documents = self._documents([_decode(row) for *_, is_wanted, row in rows if is_wanted])
            digests = {place: digest for _, _, place, digest, *_ in rows}
            yield Written(recording=recording, stem=stem, documents=documents, digests=digests)

    # -- making -------------------------------------------------------------------------------------------------------

    def _documents(self, rows: Sequence[Transcript]) -> list[Document]:
        """The files of a recording."""
        return [self._format.document(recording) for recording in apart(rows)]


def apart(rows: Sequence[Transcript]) -> list[Recording]:
    """The rows of one recording in as few groups as hold no two rows that share time of one channel."""
    groups: list[tuple[dict[int | None, float], list[Transcript]]] = []
    for row in sorted(rows, key=lambda row: row.offset_s):
        free = (one for one in groups if _is_free(one[0], row))
        if (found := next(free, None)) is None:
            groups.append(found := ({}, []))
        ends, group = found
        ends[row.channel] = max(ends.get(row.channel, 0.0), row.offset_s + row.duration_s)
        group.append(row)
    return [Recording(audio=group[0].audio, rows=tuple(group)) for _, group in groups]


def _is_free(ends: Mapping[int | None, float], row: Transcript) -> bool:
    """Whether rows that end so, by channel (None: all of them), leave the time of another row free."""
    shared = ends.values() if row.channel is None else (ends.get(row.channel, 0.0), ends.get(None, 0.0))
    return max(shared, default=0.0) <= row.offset_s + SHARED_S
