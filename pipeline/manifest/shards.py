"""The shards of a Hugging Face data set below a folder or prefix: which files they are, and their rows."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from pipeline.errors import ManifestError
from pipeline.manifest.audio_rows import audio_table
from pipeline.manifest.rows import Warn
from pipeline.manifest.search import Search
from pipeline.manifest.seen_names import SeenNames
from pipeline.model import BadRow, Utterance
from pipeline.source import Sources
from pipeline.texts import plural

SUFFIX = ".parquet"
DATA = "data"
"""The folder of a data set's only configuration."""
SPLITS = ("train", "test", "validation", "valid", "dev", "eval")
"""Names of files without a number that are those of splits."""
_NUMBERED = re.compile(r"(.+?)-(\d{5})(?:-of-(\d{5}))?(?:-[0-9a-f]{16})?\.parquet")


class Shard(NamedTuple):
    """One file of a data set."""

    path: str
    """Below the folder, with `/`."""
    config: str = ""
    split: str = ""
    of: int = 0
    """So many files the split has, where the name tells."""


def shards_among(paths: Sequence[str]) -> list[Shard]:
    """Those of the files below a folder that are shards by their names, in order: `data/train-00000-of-00002.parquet`,
    `CONFIG/train-00000.parquet`, else `*.parquet` in the folder itself."""
    own, below = [], []
    for path in sorted(paths):
        folder, name = posixpath.split(path)
        found = _NUMBERED.fullmatch(name)
        stem = name.removesuffix(SUFFIX)
        split = found[1] if found else stem if stem in SPLITS else ""
        shard = Shard(path, "" if folder == DATA else folder, split, int(found[3] or 0) if found else 0)
        if not folder:
            own.append(shard)
        elif "/" not in folder and found:
            below.append(shard)
    return below or own


class Shards:
    """The Parquet files below a folder or prefix, which may be the shards of a data set."""

    def __init__(self, source: str, top: str, search: Search, sources: Sources, warn: Warn) -> None:
        """`source` is the argument that names the folder, `top` its path or address with a slash at the end; `search`
        chooses among the shards."""
        self._source, self._top, self._search, self._sources, self._warn = source, top, search, sources, warn
        self._files: list[str] = []
        self.about = ""
        """What is to be said of the folder, once it is known to be a data set."""

    def note(self, path: str) -> None:
        """Takes the path of a file below the folder that is no recording."""
        is_hidden = posixpath.basename(path)[:1] == "." and not self._search.finds_hidden
        if path.endswith(SUFFIX) and path.count("/") < 2 and not is_hidden:
            self._files.append(path)

    def rows(self) -> Iterator[Utterance | BadRow]:
        """The rows of the data set; none where no file holds recordings: other tables are left alone. Raises
        ManifestError for a shard that is damaged, cannot be read, or has no recordings."""
        shards = [] if self._search.has_glob else shards_among([*filter(self._search.is_included, self._files)])
        if not any(map(self._holds_recordings, shards)):
            return
        for shard in shards:
            self._search.ignored.used(shard.path)
        self._warn_of_missing(shards)
        splits = sorted({shard.split for shard in shards if shard.split})
        of = f" ({', '.join(splits)})" if splits else ""
        self.about = f"{self._source}: read as a data set of Hugging Face, {plural(len(shards), 'file')}{of}"
        seen, warn = SeenNames(), self._warn
        has_configs = len({shard.config for shard in shards}) > 1
        for shard in shards:
            more = {"config": shard.config} if has_configs and shard.config else {}
            more |= {"split": shard.split} if len(splits) > 1 and shard.split else {}
            name = posixpath.basename(shard.path)
            with audio_table(self._top + shard.path, self._sources, warn) as table:
                if table is None:
                    raise ManifestError(
                        f"{self._source}: {shard.path} has no column of recordings, unlike other files there; "
                        "name the files to read one by one, or in a glob"
                    )
                for row in table.rows(f"{shard.config}/{name}" if shard.config else name, seen):
                    yield self._of_folder(shard, row, more)
            warn = _nothing  # the columns of the others are the same

    def _holds_recordings(self, shard: Shard) -> bool:
        self._search.on_step()
        try:
            with audio_table(self._top + shard.path, self._sources, _nothing) as table:
                return table is not None
        except ManifestError:
            return False  # raised again where another one makes it a data set

    def _of_folder(self, shard: Shard, row: Utterance | BadRow, more: dict[str, str]) -> Utterance | BadRow:
        if isinstance(row, BadRow):
            message = f"{shard.path}: row {row.line}: {row.message}"
            return msgspec.structs.replace(row, manifest=self._source, line=None, message=message)
        return msgspec.structs.replace(row, line=None, metadata=more | row.metadata)

    def _warn_of_missing(self, shards: Sequence[Shard]) -> None:
        """Where names tell that there are more shards: their rows would count as removed."""
        found: dict[tuple[str, str, int], int] = defaultdict(int)
        for shard in shards:
            found[shard.config, shard.split, shard.of] += 1
        for (config, split, of), count in found.items():
            if of > count:
                name = f"{config}/{split}" if config else split
                self._warn(f"{self._source}: only {count:,} of the {of:,} files of {name} are there")


def _nothing(_: str) -> None:
    pass
