"""The recordings below a prefix of an object store as a manifest, as `directory` has those of a local folder."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import AttemptError, ManifestError, SourceOut
from pipeline.manifest.directory import ENTRIES_A_STEP, nothing_found, record
from pipeline.manifest.rows import Warn
from pipeline.manifest.search import Search
from pipeline.manifest.shards import Shards
from pipeline.model import BadRow, Utterance
from pipeline.source import Sources


class Prefix:
    """The audio files below a prefix that match a search, sorted by their keys; an id is the key below the prefix.

    A `/` in a key separates folders, as in a local path. A part of the listing is in memory at a time.
    """

    is_folder = True

    def __init__(self, source: str, root: str, search: Search, sources: Sources, warn: Warn) -> None:
        """`source` is the argument that names it, `root` the address, with or without `/` at its end."""
        self.source = source
        self._top = root if root.endswith("/") else f"{root}/"
        self.path = self._top.removesuffix("/")
        self._search = search
        self._sources = sources
        self._warn = warn
        self._shards = Shards(source, self._top, search, sources, warn)

    @property
    def about(self) -> str:
        """What is to be said of a prefix that is a data set, once all rows were read."""
        return self._shards.about

    @property
    def unmatched(self) -> list[str]:
        """The options --include and --exclude that matched nothing, once all rows were read."""
        return [*self._search.unmatched]

    def covers(self, id_: str) -> bool:
        """Whether a file with this id, if there were one, would be an utterance of this input."""
        return self._search.covers(id_) or (self.about != "" and not self._search.is_narrow)

    def __iter__(self) -> Iterator[Utterance | BadRow]:
        """Raises ManifestError where the prefix cannot be listed or a glob matches nothing, EmptyFolder where nothing
        else matches."""
        self._shards = Shards(self.source, self._top, self._search, self._sources, self._warn)
        is_empty = True
        try:
            for key in self._found():
                is_empty = False
                yield record(self.source, self._top, key, "")
        except (AttemptError, SourceOut) as error:
            raise ManifestError(f"{self.source}: the prefix cannot be listed: {error}") from error
        if is_empty:
            for row in self._shards.rows():
                is_empty = False
                yield row
        if is_empty:
            raise nothing_found(self.source, self._search, "prefix")

    def _found(self) -> Iterator[str]:
        """The keys that match the search."""
        search = self._search
        folders: list[str] = []
        """Those around the last key, each with `/` at its end, up to the first one that is skipped."""
        skipped = False
        for number, (key, _) in enumerate(self._sources.list(self._top)):
            if number % ENTRIES_A_STEP == 0:
                search.on_step()
            while folders and not key.startswith(folders[-1]):
                folders.pop()
                skipped = False
            while not skipped and (end := key.find("/", len(folders[-1]) if folders else 0)) >= 0:
                above = folders[-1] if folders else ""
                folders.append(key[: end + 1])
                skipped = not search.takes(above, key[len(above) : end], is_folder=True)
            above = folders[-1] if folders else ""
            # some stores hold an empty object for each folder, whose key ends in /
            if skipped or len(key) == len(above):
                continue
            if search.takes(above, key[len(above) :], is_folder=False):
                yield key
            else:
                self._shards.note(key)
