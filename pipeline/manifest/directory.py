"""Recordings of a folder as a manifest: all that a search finds below it, or those named one by one.

Lists folders; opens no file.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator
from operator import attrgetter
from typing import NamedTuple

from pipeline.errors import AttemptError, EmptyFolder, ManifestError
from pipeline.formats import AUDIO_EXTENSIONS
from pipeline.manifest.audio_folder import TABLES, Metadata
from pipeline.manifest.rows import MAX_ID_CHARS, Warn, is_id, printable
from pipeline.manifest.search import Search
from pipeline.manifest.shards import Shards
from pipeline.model import BadRow, NamedByPath, Utterance
from pipeline.source import IRREGULAR, Entry, Sources
from pipeline.source.addresses import is_address
from pipeline.source.local import LocalFiles

ENTRIES_A_STEP = 1_000


class Level(NamedTuple):
    """A folder on the current path of the walk."""

    prefix: str
    """Of the ids of its files."""
    folder_id: Hashable
    entries: Iterator[Entry]
    """Those still to be visited."""
    tables: list[str]
    """Files in it that may be the metadata of its recordings."""


class Folder:
    """The audio files below a folder that match a search, sorted by name; an id is the path below the folder, with `/`.

    Symlinks are followed, cycles only once. Only the entries of the folders on the current path are in memory.
    """

    is_folder = True

    def __init__(self, source: str, root: str, search: Search, sources: Sources, warn: Warn) -> None:
        """`source` is the argument that names it."""
        self.source = source
        self.path = os.path.abspath(root)  # not resolved: paths keep the symlinks in the user's path
        self._top = os.path.join(self.path, "")
        self._search = search
        self._files = LocalFiles()
        self._sources = sources
        self._warn = warn
        self._metadata = Metadata(source, self._top, search, sources, warn)
        self._shards = Shards(source, self._top, search, sources, warn)

    @property
    def about(self) -> str:
        """What is to be said of a folder that is a data set, once all rows were read."""
        return self._shards.about

    @property
    def unmatched(self) -> list[str]:
        """The options --include and --exclude that matched nothing, once all rows were read."""
        return [*self._search.unmatched]

    def covers(self, id_: str) -> bool:
        """Whether a file with this id, if there were one, would be an utterance of this input."""
        has_ids = self.about != "" or self._metadata.count > 0
        return self._search.covers(id_) or (has_ids and not self._search.is_narrow)

    def __iter__(self) -> Iterator[Utterance | BadRow]:
        """Raises ManifestError where the folder cannot be listed or a glob matches nothing, EmptyFolder where nothing
        else matches."""
        self._shards = Shards(self.source, self._top, self._search, self._sources, self._warn)
        self._metadata = metadata = Metadata(self.source, self._top, self._search, self._sources, self._warn)
        try:
            levels = [self._level("", self._files.folder_id(self._top))]
        except OSError as error:
            raise ManifestError(f"{self.source}: {_unlisted(error)}") from error
        is_empty = True
        for row in metadata.rows("", levels[0].tables):
            is_empty = False
            yield row
        while levels:
            entry = next(levels[-1].entries, None)
            if entry is None:
                levels.pop()
                continue
            relative, problem = levels[-1].prefix + entry.name, entry.problem
            if entry.is_folder:
                try:
                    folder_id = self._files.folder_id(self._top + relative)
                    if all(folder_id != level.folder_id for level in levels):  # else a cycle
                        levels.append(level := self._level(f"{relative}/", folder_id))
                        for row in metadata.rows(level.prefix, level.tables):
                            is_empty = False
                            yield row
                    continue
                except OSError as error:
                    problem = _unlisted(error)
            is_empty = False
            if problem or not metadata.names(relative):
                yield record(self.source, self._top, relative, problem)
        if is_empty:
            for row in self._shards.rows():
                is_empty = False
                yield row
        if is_empty:
            raise nothing_found(self.source, self._search, "folder")

    def _level(self, prefix: str, folder_id: Hashable) -> Level:
        tables: list[str] = []
        return Level(prefix, folder_id, iter(self._entries(prefix, tables)), tables)

    def _entries(self, prefix: str, tables: list[str]) -> list[Entry]:
        """The entries of one folder that match the search, sorted by name. Adds to `tables`. Raises OSError."""
        search, wanted = self._search, []
        search.on_step()
        for number, entry in enumerate(self._files.list(self._top + prefix)):
            if number % ENTRIES_A_STEP == ENTRIES_A_STEP - 1:
                search.on_step()
            name, is_folder, _ = entry
            if name in TABLES:
                tables.append(name)
            if search.takes(prefix, name, is_folder=is_folder):
                wanted.append(entry)
            elif not is_folder and name not in TABLES:
                self._shards.note(prefix + name)
        wanted.sort(key=attrgetter("name"))  # sorting entries takes four times as long, uninterruptibly
        return wanted


class Recordings:
    """Recordings of one folder or prefix, named one by one."""

    is_folder = True

    def __init__(self, root: str, names: Iterable[str]) -> None:
        self.source = self.path = root
        self._names = dict.fromkeys(names)

    def __iter__(self) -> Iterator[Utterance | BadRow]:
        top = f"{self.path}/" if is_address(self.path) else os.path.join(self.path, "")
        for name in self._names:
            try:
                problem = "" if is_address(top) or LocalFiles().stat(top + name).is_regular else IRREGULAR
            except AttemptError:
                problem = ""  # reported when it is prepared
            yield record(self.source, top, name, problem)

    def covers(self, id_: str) -> bool:
        """Whether the file was named."""
        return id_ in self._names


def record(source: str, top: str, relative: str, problem: str) -> Utterance | BadRow:
    """The record of one file, or the BadRow of a folder that cannot be listed."""
    name = printable(relative)
    if not problem and any(0xDC80 <= ord(char) <= 0xDCFF for char in relative):
        problem = "the name is not UTF-8, which the output cannot hold; rename it."
    elif not problem and name != relative:
        problem = "the name holds control characters, which no id may; rename it."
    elif not problem and not is_id(relative):
        problem = (
            f"the path is over {MAX_ID_CHARS:,} characters, too long for an id; use a manifest with an `id` column."
        )
    if problem:
        return BadRow(manifest=source, line=None, message=f"{name}: {problem}", id=name if is_id(name) else None)
    return NamedByPath(id=relative, audio=top + relative)


def _unlisted(error: OSError) -> str:
    return f"the folder cannot be listed: {error.strerror}; check its rights."


def nothing_found(source: str, search: Search, kind: str) -> ManifestError:
    """The error for a folder, or another `kind` of place, where nothing was found."""
    ignored = f" ({search.ignored})" if str(search.ignored) else ""
    if search.has_glob:
        return ManifestError(f"{source}: no recording matches{ignored}.")
    return EmptyFolder(f"{source}: no audio below this {kind}{ignored}; looked for {' '.join(AUDIO_EXTENSIONS)}.")
