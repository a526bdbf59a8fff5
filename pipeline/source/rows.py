"""Recordings inside of Parquet files, as Hugging Face data sets have them: `FILE.parquet#row=17`, from 0."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pipeline.source.protocol import FileInfo

if TYPE_CHECKING:
    from pipeline.source.sources import Sources


class ParquetRows:
    """Reads them from files that are local or elsewhere, by `sources`."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def stat(self, path: str) -> FileInfo:
        """The version is that of the file."""
        raise NotImplementedError

    def fetch(self, path: str, file: io.FileIO, max_bytes: int) -> FileInfo:
        """Writes the recording into an empty file. Raises as `Sources.fetch`."""
        raise NotImplementedError
