"""The files of an export of one file for each recording: writes those of some recordings at a time, removes those that
are no longer wanted, and leaves alone what somebody changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from pipeline.export.formats.format import Document
from pipeline.export.names import is_named, named
from pipeline.export.state import ExportState
from pipeline.export.writing import holds, refuse_foreign, remove, stands, write_all
from pipeline.texts import visible

AT_ONCE = 256
"""Recordings whose files are written together, …"""
AT_ONCE_CHARS = 4 << 20
"""… or fewer, when their files have so many characters."""
NAMED = 3
NO_FOLDER = "files not written, because the folder of the recording is not there"


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What the files of a recording shall hold."""

    recording: int
    stem: str
    documents: Sequence[Document]
    digests: Mapping[int, bytes]
    """The digest of each of its rows, by place."""


class RecordingFiles:
    """The files of one export in its folder."""

    def __init__(self, state: ExportState, folder: Path, suffix: str, *, beside: bool, overwrite: bool) -> None:
        """`beside`: they lie beside their recordings. `overwrite` also what others wrote, or changed."""
        self._state = state
        self._db = state.db
        self._folder = folder
        self._suffix = suffix
        self._beside = beside
        self._overwrite = overwrite
        self._edited: set[str] = set()
        self._waiting: list[Written] = []
        self._chars = 0
        self._without_folder = 0
        self.written = self.removed = 0
        self.exceeded = Counter[str]()

    @property
    def left(self) -> dict[str, int]:
        """What was left alone, by the reason."""
        names = [visible(name) for name in sorted(self._edited)[:NAMED]] + ["\u2026"] * (len(self._edited) > NAMED)
        edited = f"files left as changed by hand ({', '.join(names)}; --overwrite replaces such files)"
        found = {edited: len(self._edited), NO_FOLDER: self._without_folder}
        return {reason: count for reason, count in found.items() if count}

    def look(self) -> list[int]:
        """The recordings of which a file is missing, or was changed and is to be overwritten."""
        stale = []
        for name, size, mtime_ns, recording in self._state.files():
            is_there = stands(self._folder, name, size, mtime_ns)
            if is_there is False and not self._overwrite:
                self._edited.add(name)
            elif not is_there:
                stale.append(recording)
        return stale

    def begin(self) -> None:
        """Removes files whose recording has another name now or is gone, so that another one may have theirs."""
        query = """SELECT name, stem, n IN (SELECT recording FROM rows) FROM files
            LEFT JOIN recordings ON n = owner WHERE is_stale OR n IS NULL OR n NOT IN (SELECT recording FROM rows)"""
        had = self._db.execute(query).fetchall()
        self._remove([name for name, stem, is_in in had if not (is_in and is_named(name, stem, self._suffix))])

    def add(self, written: Written) -> None:
        """Writes files, some recordings at a time."""
        self._waiting.append(written)
        self._chars += sum(len(document.text) for document in written.documents)
        if len(self._waiting) >= AT_ONCE or self._chars >= AT_ONCE_CHARS:
            self.flush()

    def flush(self) -> None:
        """Writes the files of all recordings that were added. Raises UsageError where one is there that the export did
        not write, unless it holds the same."""
        waiting = [one for one in self._waiting if self._has_folder(one)]
        self._without_folder += len(self._waiting) - len(waiting)
        self._waiting, self._chars = [], 0
        contents: dict[str, bytes] = {}
        owners: dict[str, int] = {}
        needless: list[str] = []
        for one in waiting:
            names = [self._free_name(one, number, owners) for number in range(1, len(one.documents) + 1)]
            had = self._db.execute("SELECT name FROM files WHERE owner = ?", (one.recording,)).fetchall()
            needless += [name for (name,) in had if name not in names]
            for name, document in zip(names, one.documents, strict=True):
                if name not in self._edited:
                    contents[name] = document.text.encode()
                    self.exceeded.update(document.exceeded)
        changed = self._without_same(contents)
        for owner in dict.fromkeys(owners.values()):
            self._state.claim([name for name in changed if owners[name] == owner], owner)
        write_all(self._folder, changed)
        self._remove(needless)
        with self._state.transaction():
            for name in contents:
                self._state.written(self._folder, name, owners[name])
            digests = ((digest, place) for one in waiting for place, digest in one.digests.items())
            self._db.executemany("UPDATE rows SET digest = ? WHERE sort = 0 AND place = ?", digests)
            done = ((one.recording,) for one in waiting)
            self._db.executemany("UPDATE recordings SET is_stale = 0 WHERE n = ?", done)
        self.written += len(changed)

    def count(self) -> int:
        """How many files there are."""
        return int(self._db.execute("SELECT count(*) FROM files").fetchone()[0])

    def _remove(self, names: Collection[str]) -> None:
        """Removes files, but for what somebody changed: that stays, and stays known."""
        own = [name for name in names if name not in self._edited]
        remove(self._folder, own)
        with self._state.transaction():
            self._db.executemany("DELETE FROM files WHERE name = ?", ((name,) for name in own))
        self.removed += len(own)

    def _has_folder(self, one: Written) -> bool:
        """Whether a file can be beside its recording; of one that is gone no folder is made."""
        return not (self._beside and one.documents) or (self._folder / one.stem).parent.is_dir()

    def _without_same(self, contents: Mapping[str, bytes]) -> dict[str, bytes]:
        """The files without those that are not known and hold the same already: of an export that was moved."""
        query = "SELECT 1 FROM files WHERE name = ?"
        foreign = [name for name in contents if not self._db.execute(query, (name,)).fetchone()]
        same = {name for name in foreign if holds(self._folder / name, contents[name])}
        if not self._overwrite:
            refuse_foreign(self._folder, [name for name in foreign if name not in same])
        return {name: content for name, content in contents.items() if name not in same}

    def _free_name(self, one: Written, number: int, taken: dict[str, int]) -> str:
        """The name of the first file of a recording, or of a further one, that no other file has; added to `taken`."""
        while True:
            name = named(one.stem, number, self._suffix)
            owner = self._db.execute("SELECT owner FROM files WHERE name = ?", (name,)).fetchone()
            if name not in taken and (owner is None or owner[0] == one.recording):
                taken[name] = one.recording
                return name
            number += 1
