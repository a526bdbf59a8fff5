"""Recordings of a folder as a manifest: all that a search finds below it, or those that were named one by one.

Lists folders and asks what their entries are; opens no file.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator
from operator import attrgetter
from typing import NamedTuple

from pipeline.errors import AttemptError, EmptyFolder, ManifestError
from pipeline.formats import AUDIO_EXTENSIONS
from pipeline.manifest.rows import MAX_ID_CHARS, is_id, printable
from pipeline.manifest.search import EXCLUDED, HIDDEN, Search
from pipeline.model import BadRow, NamedByPath, Utterance
from pipeline.source import IRREGULAR, Entry, source_of

ENTRIES_A_STEP = 1_000


class Level(NamedTuple):
    """A folder on the current path: what its files' ids start with, which folder it is, what is left of it."""

    prefix: str
    folder_id: Hashable
    entries: Iterator[Entry]


class Folder:
    """The audio files below a folder, or those that are picked, in the order of their names; an id is the path below
    it, with `/`.

    Symlinks are followed, a loop once. Only the names of the folders on the current path are in memory.
    """

    is_folder = True

    def __init__(self, source: str, root: str, search: Search) -> None:
        """`source` is how the user calls it."""
        self.source = source
        self.path = os.path.abspath(root)  # not resolved: the symlinks in the user's path stay
        self._top = os.path.join(self.path, "")
        self._search = search
        self._files = source_of(self.path)

    @property
    def unmatched(self) -> list[str]:
        """The options --include and --exclude that nothing was named like, once all rows were read."""
        return self._search.unmatched

    def covers(self, id_: str) -> bool:
        """Whether the file of this path below the folder would be a row, were it there."""
        return self._search.covers(id_)

    def __iter__(self) -> Iterator[Utterance | BadRow]:
        """Raises ManifestError where the folder cannot be listed or a glob names nothing below it, EmptyFolder where
        nothing else there is wanted."""
        try:
            levels = [self._level("", self._files.folder_id(self._top))]
        except OSError as error:
            raise ManifestError(f"{self.source}: {_unlisted(error)}") from error
        is_empty = True
        while levels:
            entry = next(levels[-1].entries, None)
            if entry is None:
                levels.pop()
                continue
            relative, problem = levels[-1].prefix + entry.name, entry.problem
            if entry.is_folder:
                try:
                    folder_id = self._files.folder_id(self._top + relative)
                    if all(folder_id != level.folder_id for level in levels):  # else a link back to one we are in
                        levels.append(self._level(f"{relative}/", folder_id))
                    continue
                except OSError as error:
                    problem = _unlisted(error)
            is_empty = False
            yield _record(self.source, self._top, relative, problem)
        if is_empty:
            search = self._search
            left_out = f" ({search.ignored})" if str(search.ignored) else ""
            if search.has_glob:
                raise ManifestError(f"{self.source}: no recording is named like that{left_out}.")
            looked_for = " ".join(AUDIO_EXTENSIONS)
            raise EmptyFolder(f"{self.source}: no audio below this folder{left_out}; looked for {looked_for}.")

    def _level(self, prefix: str, folder_id: Hashable) -> Level:
        return Level(prefix, folder_id, iter(self._entries(prefix)))

    def _entries(self, prefix: str) -> list[Entry]:
        """What is wanted of one folder, sorted by name; raises OSError when it cannot be listed."""
        search, ignored, wanted = self._search, self._search.ignored, []
        search.on_step()
        has_glob, is_narrow = search.has_glob, search.is_narrow
        for number, entry in enumerate(self._files.list(self._top + prefix)):
            if number % ENTRIES_A_STEP == ENTRIES_A_STEP - 1:
                search.on_step()
            name, is_folder, _ = entry
            if has_glob and not is_folder and not search.is_named(prefix + name):
                continue
            if search.unmatched:
                search.note(f"{prefix}{name}{'/' * is_folder}")
            if name[0] == "." and not search.wants_hidden:
                (ignored.folders if is_folder else ignored.files)[HIDDEN] += 1
            elif is_folder:
                if not (is_narrow and search.skips(prefix + name)):
                    wanted.append(entry)
            elif not name.lower().endswith(search.endings):
                ignored.note(name)
            elif is_narrow and not search.takes(prefix + name):
                ignored.files[HIDDEN if name[0] == "." else EXCLUDED] += 1
            else:
                wanted.append(entry)
        wanted.sort(key=attrgetter("name"))  # whole entries would take four times as long, which nothing can interrupt
        return wanted


class Recordings:
    """Recordings that were named one by one, of one folder."""

    is_folder = True

    def __init__(self, root: str, names: Iterable[str]) -> None:
        self.source = self.path = root
        self._names = dict.fromkeys(names)

    def __iter__(self) -> Iterator[Utterance | BadRow]:
        top = os.path.join(self.path, "")
        for name in self._names:
            try:
                problem = "" if source_of(top + name).stat(top + name).is_regular else IRREGULAR
            except AttemptError:
                problem = ""  # its utterance says what is wrong
            yield _record(self.source, top, name, problem)

    def covers(self, id_: str) -> bool:
        """Whether the file was named."""
        return id_ in self._names


def _record(source: str, top: str, relative: str, problem: str) -> Utterance | BadRow:
    """The record of one file, or of a folder that cannot be used."""
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
