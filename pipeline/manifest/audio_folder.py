"""The metadata of Hugging Face's AudioFolder: a table in a folder that names recordings in and below it in a column
`file_name`, and says more of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from pipeline.errors import ManifestError
from pipeline.manifest.columns import FILE_NAME
from pipeline.manifest.delimited import DELIMITERS, SEPARATOR, sniff
from pipeline.manifest.lines import read_lines
from pipeline.manifest.rows import Warn, fragment
from pipeline.manifest.search import Search
from pipeline.manifest.seen_names import SeenNames
from pipeline.manifest.tables import reader_for, rows_of
from pipeline.model import BadRow, NamedByPath, Utterance
from pipeline.source import Sources
from pipeline.source.spelling import cleaned

TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""The first of them that has the column counts."""
_OUTSIDE = "is not below the folder of this file; name the file itself as the manifest, or move it up"


class Metadata:
    """The rows of the metadata below one folder, and which recordings they name."""

    def __init__(self, source: str, top: str, search: Search, sources: Sources, warn: Warn) -> None:
        """`source` is the argument that names the folder, `top` its path with a slash at the end."""
        self._source, self._top, self._search, self._sources, self._warn = source, top, search, sources, warn
        self._named = SeenNames()
        self.count = 0
        """Tables that were read."""

    def names(self, relative: str) -> bool:
        """Whether a recording was named, by its path below the folder."""
        return self.count > 0 and self._named.owner(relative) is not None

    def rows(self, prefix: str, tables: Collection[str]) -> Iterator[Utterance | BadRow]:
        """The rows of a folder's metadata, without recordings that the metadata of a folder above it names, and those
        that the search leaves out. Raises ManifestError."""
        name = next((name for name in TABLES if name in tables and self._has_file_names(prefix + name)), None)
        if name is None:
            return
        self.count += 1
        self._search.ignored.used(name)
        path = Path(self._top + prefix + name)
        for row in rows_of(path, str(path), reader_for(path), self._sources, self._warn):
            if isinstance(row, Utterance) and not row.audio.startswith(self._top + prefix):
                row = BadRow(manifest="", line=row.line, message=f"{row.audio} {_OUTSIDE}", id=row.id)
            if isinstance(row, BadRow):
                message = f"{prefix}{name}:{row.line}: {row.message}"
                yield msgspec.structs.replace(row, manifest=self._source, line=None, message=message)
            elif self._is_wanted(relative := row.audio[len(self._top) :]):
                if isinstance(row, NamedByPath):  # as it is called without metadata
                    span = fragment(row.offset_s, row.duration_s, row.channel)
                    row = msgspec.structs.replace(row, id=relative + span)
                yield msgspec.structs.replace(row, line=None)

    def _is_wanted(self, relative: str) -> bool:
        """Whether no metadata of a folder above names it, and the search finds it. Notes that it is named."""
        if self._search.is_narrow and not self._search.covers(relative):
            return False
        return self._named.add(relative, self.count) or self._named.owner(relative) == self.count

    def _has_file_names(self, relative: str) -> bool:
        """Whether a table has the column, and none of another name for recordings."""
        path = self._top + relative
        try:
            names = _columns_of(path)
        except OSError as error:
            self._warn(f"{path} cannot be read ({error.strerror or error}): the folder is read without it")
            return False
        return FILE_NAME in names and not {"audio", "audio_filepath"} & {*names}


def _columns_of(path: str) -> list[str]:
    """The names of a table's columns, or the keys of its first row; none where they cannot be read. Raises OSError."""
    with open(path, "rb") as stream:
        if path.endswith(".parquet"):
            return _columns_of_parquet(stream.name)
        try:
            for line in read_lines(stream, path, lambda _: None):
                if path.endswith(".jsonl") and line.strip():
                    return [*msgspec.json.decode(line, type=dict[str, msgspec.Raw])]
                if line.strip() and not SEPARATOR.fullmatch(line):
                    text = line.decode("utf-8", "replace")
                    return [cleaned(name.strip(' \r\n"')) for name in text.split(sniff(line, DELIMITERS))]
        except (ManifestError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    return []


def _columns_of_parquet(path: str) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return [*pq.read_schema(path).names]
    except (pa.ArrowException, ValueError):
        return []
    except OSError as error:
        if error.errno is not None:
            raise
        return []
