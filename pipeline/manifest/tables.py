"""Manifests with rows: chooses the reader by a file's extension, and yields the rows of a file or of stdin."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import ManifestError
from pipeline.manifest import delimited, jsonl, parquet
from pipeline.manifest.rows import Rows, Warn
from pipeline.model import BadRow, Utterance
from pipeline.source import Sources
from pipeline.source.local import local_version
from pipeline.source.spelling import hint

STDIN = "-"
Reader = Callable[[BinaryIO, Rows], Iterator[Utterance | BadRow]]

READERS: dict[str, Reader] = {
    ".csv": delimited.read,
    ".tsv": partial(delimited.read, delimiters=("\t",)),
    ".jsonl": jsonl.read,
    ".ndjson": jsonl.read,
    ".json": jsonl.read,  # NeMo's manifests are JSONL under this name
    ".parquet": parquet.read,
}
KINDS = "a folder, a recording, a glob, a .csv, .tsv, .jsonl or .parquet file, or - for JSONL on stdin"


class Table:
    """A manifest file, or JSONL on stdin for `-`, in constant memory."""

    is_folder = False

    def __init__(self, source: str, sources: Sources, warn: Warn) -> None:
        """Raises ManifestError where it is missing or of no known kind; reading its rows does for a wrong header, a
        truncated file, or one that is not UTF-8."""
        self.source = self.path = source
        if source == STDIN:
            if sys.stdin is None:
                raise ManifestError("The manifest is - (stdin), but this process has no stdin; name a file instead.")
            self._rows = jsonl.read(sys.stdin.buffer, Rows("stdin", ".", sources.signatures, warn))
            return
        path = Path(source)
        try:
            path.stat()
        except OSError as error:
            reason = "there is no such file or folder" if isinstance(error, FileNotFoundError) else error.strerror
            raise ManifestError(f"{source}: {reason}{hint(source)}; a manifest is {KINDS}.") from error
        self._rows = rows_of(path, source, reader_for(path), sources, warn)

    def __iter__(self) -> Iterator[Utterance | BadRow]:
        return self._rows

    def covers(self, id_: str) -> bool:
        """Whether a row with this id, if there were one, would be an utterance of this input."""
        return True


def reader_for(path: Path) -> Reader:
    """The reader for a file of this name."""
    suffix = path.suffix.lower()
    if suffix in READERS:
        return READERS[suffix]
    if suffix in (".gz", ".bz2", ".xz", ".zst", ".zip"):
        advice = "unpack it first"
    elif suffix in (".xlsx", ".xls", ".ods"):
        advice = "save the sheet as CSV (UTF-8)"
    else:
        advice = "the extension decides the kind; a recording with another can be a row of a manifest"
    raise ManifestError(f"{path}: not a known kind of manifest; {advice}. A manifest is {KINDS}.")


def rows_of(path: Path, source: str, read: Reader, sources: Sources, warn: Warn) -> Generator[Utterance | BadRow]:
    """The rows of a file. Warns of one that is still being written, whose last row may be cut."""
    try:
        with path.open("rb") as stream:
            before = local_version(os.fstat(stream.fileno()))
            yield from read(stream, Rows(source, str(path.parent), sources.signatures, warn))
            if local_version(os.fstat(stream.fileno())) != before:
                warn(f"{source} changed while it was read: rows may be missing or cut; run again once it is written")
    except OSError as error:
        raise ManifestError(
            f"{source}: cannot be read: {error.strerror or error}; check the file's permissions and its disk."
        ) from error
