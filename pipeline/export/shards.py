"""The export to a Hugging Face data set: Parquet files of rows, its shards, by split and in the order of the manifest.

Each shard has the rows of a range of places. One in which rows changed is made of the old one and of these rows, so
that the audio of the other rows is not needed again; rows behind its end go into the last shard until that is full.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import tee
from pathlib import Path

import msgspec

from pipeline.export.audio_of import AudioOf, NoAudio
from pipeline.export.changes import Changed, changes_of, drop_rows, rows_table
from pipeline.export.data_set import BEHIND_ALL, FIRST, Change, DataSet, Keep
from pipeline.export.exported import Exported
from pipeline.export.filters import RowFilter
from pipeline.export.formats.hub_splits import Splits
from pipeline.export.rows import OutputRows
from pipeline.export.state import SPOOL, UNREAD, ExportState, hash_of
from pipeline.export.writing import remove_unfinished
from pipeline.model import Transcript
from pipeline.report.rows_bar import RowsBar
from pipeline.sink.rows import Order
from pipeline.source import Sources
from pipeline.source.addresses import is_address
from pipeline.texts import visible

log = logging.getLogger(__name__)
VALUES = "splits"
"""The fact of the state that has the values which name its splits."""
NOWHERE = ""
"""The split of rows that are not in the data set."""
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Transcript).decode
Range = tuple[str, int, int]
"""A split, and the places from the one to before the other."""
_RANGE = "sort = ? AND place >= ? AND place < ?"
_CHANGES = f"""SELECT place, max(number) FROM (SELECT place, 0 AS number FROM temp.dropped WHERE {_RANGE}
    UNION ALL SELECT place, rowid FROM temp.changed WHERE {_RANGE}) GROUP BY place ORDER BY place"""  # noqa: S608


class ShardExport:
    """One export of this kind, whose files are in `folder`."""

    def __init__(
        self,
        state: ExportState,
        folder: Path,
        sources: Sources,
        *,
        with_audio: bool,
        split_by: str | None,
        overwrite: bool,
    ) -> None:
        """`split_by` is the column that names the splits. `overwrite` also what others wrote."""
        self._state = state
        self._sources = sources
        self._db = state.db
        self._folder = folder
        self._with_audio = with_audio
        self._splits = Splits(split_by)
        self._data_set = DataSet(state, folder, with_audio=with_audio, overwrite=overwrite)
        self._no_audio = Counter[str]()
        with state.failing():
            self._db.execute(rows_table("shard INTEGER"))

    def update(self, rows: OutputRows, order: Order, wanted: RowFilter, progress: RowsBar) -> Exported:
        """Writes what changed. Raises UsageError where a file is there that the export did not write as it is, or
        where rows give no name of a split."""
        with self._state.failing():
            self._forget_damaged()
            versions = rows.versions()
            changed, gone = self._state.changed_sources(versions)
            progress.start(rows.count(changed))
            with changes_of(self._state, (*changed, *gone)) as changes, self._gathering():
                for file in changed:
                    for some in changes.read(rows, file, order, wanted, progress, words=True):
                        self._gather(file, some)
                self._db.execute(f"INSERT INTO temp.dropped {changes.unseen()}")
                self._splits.check(self._other_splits())
                self._note(self._splits.values)
                [count, removed] = self._db.execute(
                    "SELECT (SELECT count(*) FROM temp.changed WHERE sort <> ''), (SELECT count(*) FROM temp.dropped)"
                ).fetchone()
                progress.start(count)
                self._write(progress)
                without = [file for (file,) in self._db.execute("SELECT DISTINCT file FROM temp.without_audio")]
            with self._state.transaction():
                # those with rows without audio are read again by the next export
                self._state.set_sources(versions | dict.fromkeys(without, UNREAD))
            self._data_set.describe()
            [total] = self._db.execute("SELECT count(*) FROM rows WHERE shard IS NOT NULL").fetchone()
        left = {f"rows left out, because their recording is {why}": n for why, n in sorted(self._no_audio.items())}
        written = count - sum(self._no_audio.values())
        return Exported(where=str(self._folder), unit="row", total=total, written=written, removed=removed, left=left)

    def remove(self, ids: Sequence[int]) -> list[str]:
        """Takes rows out of the shards, by the hashes of their ids, and those that a killed export left in them."""
        with self._state.failing(), self._gathering():
            self._forget_damaged()
            drop_rows(self._state, ids)
            for shard, count in self._data_set.files():
                remove_unfinished(self._folder, [shard.name])
                [known] = self._db.execute("SELECT count(*) FROM rows WHERE shard = ?", (shard.n,)).fetchone()
                if count not in (None, known):  # is written anew, though none of its rows may be dropped
                    self._db.execute("INSERT INTO temp.dropped VALUES (?, ?)", (shard.split, shard.first))
            self._note(self._other_splits())
            self._write(RowsBar())
            self._data_set.describe()
        return []

    # -- finding what changed -----------------------------------------------------------------------------------------

    def _forget_damaged(self) -> None:
        """Has all rows read again where a shard is missing, or was changed and is to be overwritten."""
        if damaged := self._data_set.damaged():
            with self._state.transaction():
                self._db.executemany("DELETE FROM rows WHERE shard = ?", ((n,) for n in damaged))
                self._state.read_again()

    def _gathering(self) -> AbstractContextManager[None]:
        changed = "sort, place, file, id, digest, row BLOB"
        return self._state.temporary(changed=changed, dropped="sort, place", without_audio="sort, place, file")

    def _gather(self, file: int, some: Sequence[Changed]) -> None:
        found, dropped = [], []
        for one in some:
            split, content = (self._splits.of(one.row), _encode(one.row)) if one.is_wanted else (NOWHERE, b"")
            found.append((split, one.place, file, hash_of(one.row.id), one.digest, content))
            dropped += one.left(split)
        self._db.executemany("INSERT INTO temp.changed VALUES (?, ?, ?, ?, ?, ?)", found)
        self._db.executemany("INSERT INTO temp.dropped VALUES (?, ?)", dropped)

    def _other_splits(self) -> dict[str, str | None]:
        """The splits with rows that stay as they are, and their values."""
        known = msgspec.json.decode(self._state.fact(VALUES) or "{}", type=dict[str, str | None])
        query = """SELECT value FROM json_each(?) AS split WHERE EXISTS (SELECT 1 FROM rows
            WHERE sort = split.value AND (sort, place) NOT IN (
                SELECT sort, place FROM temp.dropped UNION ALL SELECT sort, place FROM temp.changed))"""
        return {name: known[name] for (name,) in self._db.execute(query, (msgspec.json.encode([*known]).decode(),))}

    def _note(self, values: Mapping[str, str | None]) -> None:
        """Notes the values of the splits, for rows of later exports."""
        self._state.set_facts(**{VALUES: msgspec.json.encode(values).decode()})

    # -- writing ------------------------------------------------------------------------------------------------------

    def _write(self, progress: RowsBar) -> None:
        """Writes the shards in which rows changed, split by split."""
        for table in ("changed", "dropped"):
            self._db.execute(f"CREATE INDEX temp.{table}_at ON {table} (sort, place)")
        with self._state.transaction():
            self._record((NOWHERE, FIRST, BEHIND_ALL), None)
        splits = self._db.execute(
            "SELECT sort FROM temp.changed UNION SELECT sort FROM temp.dropped EXCEPT SELECT '' ORDER BY 1"
        ).fetchall()
        with AudioOf(self._state.path.with_suffix(SPOOL), self._sources) as audio:
            for (split,) in splits:
                shards = self._data_set.shards(split)
                ends = [*(shard.first for shard in shards[1:]), BEHIND_ALL]
                for shard, end in zip(shards, ends, strict=True):
                    at = (split, shard.first, end)
                    if self._db.execute(_CHANGES, (*at, *at)).fetchone() is None:
                        continue
                    changes = self._changes(at, audio, progress)
                    for written, following in self._data_set.write(shard, changes, is_last=end == BEHIND_ALL):
                        behind = end if following is None else following.first
                        with self._state.transaction():
                            self._record((split, written.first, behind), written.n)
                            if following is not None:
                                moved = f"UPDATE rows SET shard = ? WHERE {_RANGE}"  # noqa: S608 fixed texts
                                self._db.execute(moved, (following.n, split, behind, end))
                            self._data_set.written(written)

    def _changes(self, at: Range, audio: AudioOf, progress: RowsBar) -> Iterator[Change]:
        """What is at the places that changed, with its audio."""
        rows, asked = tee(self._changed_rows(at))
        found = audio.of(row for _, _, row in asked if row is not None) if self._with_audio else None
        for place, number, row in rows:
            if row is None:
                yield place, None
                continue
            _, got = next(found) if found is not None else (row, None)
            if isinstance(got, NoAudio):
                self._no_audio[got.why] += 1
                if self._no_audio[got.why] == 1 and got.why == "unreadable":
                    hint = "; its run may have had other settings of [sources]: see --config" * is_address(row.audio)
                    log.warning("%s cannot be read for the export: %s%s", visible(row.id), got.message, hint)
                insert = "INSERT INTO temp.without_audio SELECT sort, place, file FROM temp.changed WHERE rowid = ?"
                self._db.execute(insert, (number,))
                yield place, Keep()
            else:
                yield place, (row, got)
            progress.advance(1)

    def _changed_rows(self, at: Range) -> Iterator[tuple[int, int, Transcript | None]]:
        """(place, number, row) at the places that changed; None for a row that is no longer there."""
        for place, number in self._db.execute(_CHANGES, (*at, *at)):
            found = self._db.execute("SELECT row FROM temp.changed WHERE rowid = ?", (number,)).fetchone()
            yield place, number, None if found is None else _decode(found[0])

    def _record(self, at: Range, shard: int | None) -> None:
        """Records the changed rows of a range of places as those of a shard, within a transaction of the caller."""
        self._db.execute(
            f"DELETE FROM rows WHERE {_RANGE} AND (sort, place) IN (SELECT sort, place FROM temp.dropped)",  # noqa: S608
            at,
        )
        self._db.execute(
            f"""INSERT OR REPLACE INTO rows SELECT sort, place, file, id, digest, ? FROM temp.changed
                WHERE {_RANGE} AND (sort, place) NOT IN (SELECT sort, place FROM temp.without_audio)
                ORDER BY sort, place, rowid""",  # noqa: S608 fixed texts
            (shard, *at),
        )
