"""The shards of a Hugging Face data set below a folder or prefix: which files they are, and their rows."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple, cast

import msgspec

from pipeline.errors import AttemptError, ManifestError
from pipeline.manifest.audio_rows import AudioTable, table_of
from pipeline.manifest.once import Once
from pipeline.manifest.rows import Rows, Warn
from pipeline.model import BadRow, Utterance
from pipeline.source import Sources
from pipeline.source.tables import open_at
from pipeline.texts import plural

SUFFIX = ".parquet"
DATA = "data"
"""The folder of a data set's only configuration."""
SPLITS = ("train", "test", "validation", "valid", "dev", "eval")
"""Names of files without a number that are those of splits."""
_NUMBERED = re.compile(r"(.+?)-(\d{5})(?:-of-(\d{5}))?(?:-[0-9a-f]{16})?\.parquet")
BLOCK_BYTES = 256 << 10


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
    """The rows of shards of one data set, in their order."""

    def __init__(self, source: str, top: str, shards: Sequence[Shard], sources: Sources, warn: Warn) -> None:
        """`source` is the argument that names the folder, `top` its path or address with a slash at the end."""
        self._source, self._top, self._shards, self._sources, self._warn = source, top, shards, sources, warn

    def is_data_set(self) -> bool:
        """Whether one of them holds recordings: other tables are left alone."""
        for shard in self._shards:
            try:
                with self._opened(shard) as table:
                    if table is not None:
                        return True
            except ManifestError:
                continue  # raised again where another one makes it a data set
        return False

    def __str__(self) -> str:
        splits = sorted({shard.split for shard in self._shards if shard.split})
        of = f" ({', '.join(splits)})" if splits else ""
        return f"read as a data set of Hugging Face, {plural(len(self._shards), 'file')}{of}"

    def rows(self) -> Iterator[Utterance | BadRow]:
        """Raises ManifestError for a shard that is damaged, cannot be read, or has no recordings."""
        self._warn_of_missing()
        once = Once()
        configs, splits = {shard.config for shard in self._shards}, {shard.split for shard in self._shards}
        for number, shard in enumerate(self._shards):
            more = {"config": shard.config} if len(configs) > 1 and shard.config else {}
            more |= {"split": shard.split} if len(splits) > 1 and shard.split else {}
            name = posixpath.basename(shard.path)
            with self._opened(shard, self._warn if not number else _nothing) as table:
                if table is None:
                    raise ManifestError(
                        f"{self._source}: {shard.path} has no column of recordings, unlike other files there; "
                        "name the files to read one by one, or in a glob"
                    )
                for row in table.rows(f"{shard.config}/{name}" if shard.config else name, once):
                    yield self._of_folder(shard, row, more)

    def _of_folder(self, shard: Shard, row: Utterance | BadRow, more: dict[str, str]) -> Utterance | BadRow:
        if isinstance(row, BadRow):
            message = f"{shard.path}: row {row.line}: {row.message}"
            return msgspec.structs.replace(row, manifest=self._source, line=None, message=message)
        return msgspec.structs.replace(row, line=None, metadata=more | row.metadata)

    @contextmanager
    def _opened(self, shard: Shard, warn: Warn | None = None) -> Iterator[AudioTable | None]:
        path = self._top + shard.path
        rows = Rows(path, path[: path.rindex("/") + 1], self._sources.signatures, warn or _nothing)
        try:
            with open_at(self._sources, path, self._sources.stat(path), BLOCK_BYTES) as stream:
                yield table_of(cast("BinaryIO", stream), rows)
        except AttemptError as error:
            raise ManifestError(f"{path}: cannot be read: {error}.") from error

    def _warn_of_missing(self) -> None:
        """Where names tell that there are more shards: their rows would count as removed."""
        found: dict[tuple[str, str, int], int] = defaultdict(int)
        for shard in self._shards:
            found[shard.config, shard.split, shard.of] += 1
        for (config, split, of), count in found.items():
            if of > count:
                name = f"{config}/{split}" if config else split
                self._warn(f"{self._source}: only {count:,} of the {of:,} files of {name} are there")


def _nothing(_: str) -> None:
    pass
