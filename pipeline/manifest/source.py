"""Decides what kind of manifest a source is and hands it to that kind's reader.

May look at the source's name and ask the file system what it is; reads no rows itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import ManifestError
from pipeline.manifest import delimited, jsonl, parquet
from pipeline.manifest.rows import Rows, Warn
from pipeline.model import BadRow, Utterance
from pipeline.spelling import hint

STDIN = "-"
Reader = Callable[[BinaryIO, Rows], Iterator[Utterance | BadRow]]

READERS: dict[str, Reader] = {
    ".csv": delimited.read,
    ".tsv": delimited.read_tabs,
    ".jsonl": jsonl.read,
    ".ndjson": jsonl.read,
    ".json": jsonl.read,  # NeMo's manifests are JSONL under this name
    ".parquet": parquet.read,
}
KINDS = "a folder, a recording, a glob, a .csv, .tsv, .jsonl or .parquet file, or - for JSONL on stdin"


def table(source: str, warn: Warn) -> Iterator[Utterance | BadRow]:
    """The rows of a manifest file, or of JSONL on stdin for `-`; memory does not grow with their number.

    Raises `ManifestError` when the manifest as a whole cannot be read: at the call for a source that is missing or
    of no known kind, at the first row for a wrong header, later for a file that breaks off or is not UTF-8.
    """
    if source == STDIN:
        if sys.stdin is None:
            raise ManifestError("The manifest is - (stdin), but this process has no stdin; name a file instead.")
        return jsonl.read(sys.stdin.buffer, Rows("stdin", ".", warn))
    path = existing(source)
    return rows_of(path, source, reader_for(path), warn)


def existing(source: str) -> Path:
    """The source as a path that is there and whose name later records can hold."""
    path = Path(source)
    try:
        path.stat()
    except OSError as error:
        reason = "there is no such file or folder" if isinstance(error, FileNotFoundError) else error.strerror
        raise ManifestError(f"{source}: {reason}{hint(source)}; a manifest is {KINDS}.") from error
    return path


def reader_for(path: Path) -> Reader:
    """The reader for a file of this name."""
    suffix = path.suffix.lower()
    if suffix in READERS:
        return READERS[suffix]
    if suffix in (".gz", ".bz2", ".xz", ".zst", ".zip"):
        hint = "unpack it first"
    elif suffix in (".xlsx", ".xls", ".ods"):
        hint = "save the sheet as CSV (UTF-8)"
    else:
        hint = "the name's ending decides the kind; a recording of another name can be a row of a manifest"
    raise ManifestError(f"{path}: not a known kind of manifest; {hint}. A manifest is {KINDS}.")


def tell_changed(stream: BinaryIO, before: os.stat_result, source: str, warn: Warn) -> None:
    """Warns of a file that is still being written: the last row may be cut, and others to come."""
    now = os.fstat(stream.fileno())
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        warn(f"{source} changed while it was read: rows may be missing or cut; run again once it is written")


def rows_of(path: Path, source: str, read: Reader, warn: Warn) -> Generator[Utterance | BadRow]:
    """Holds the file open for as long as its rows are wanted."""
    try:
        with path.open("rb") as stream:
            before = os.fstat(stream.fileno())
            yield from read(stream, Rows(source, str(path.parent), warn))
            tell_changed(stream, before, source, warn)
    except OSError as error:
        raise ManifestError(
            f"{source}: cannot be read: {error.strerror or error}; check the file's permissions and its disk."
        ) from error
