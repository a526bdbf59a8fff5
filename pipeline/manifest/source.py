"""Decides what kind of manifest a source is and hands it to that kind's reader.

May look at the source's name and ask the file system what it is; reads no rows itself.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import ManifestError
from pipeline.manifest import delimited, directory, jsonl, parquet
from pipeline.manifest.rows import Rows, printable
from pipeline.model import BadRow, Utterance

log = logging.getLogger(__name__)
Reader = Callable[[BinaryIO, Rows], Iterator[Utterance | BadRow]]

READERS: dict[str, Reader] = {
    ".csv": delimited.read,
    ".tsv": delimited.read_tabs,
    ".jsonl": jsonl.read,
    ".ndjson": jsonl.read,
    ".json": jsonl.read,  # NeMo's manifests are JSONL under this name
    ".parquet": parquet.read,
}
KINDS = "a folder, a .csv, .tsv, .jsonl or .parquet file, or - for JSONL on stdin"


def read_manifest(
    source: str,
    *,
    extensions: Sequence[str] = directory.AUDIO_EXTENSIONS,
    on_step: Callable[[], None] = directory.go_on,
) -> Iterator[Utterance | BadRow]:
    """Streams the rows of a manifest in its order; memory does not grow with their number.

    `source` is a folder, a .csv, .tsv, .jsonl or .parquet file, or `-` for JSONL on stdin. `extensions` are the
    file names a folder is searched for. A row that cannot be an utterance comes as a `BadRow` in its place.
    `on_step` is called now and then while a folder is searched, and may raise to end it: the first row may be far off.

    Raises `ManifestError` when the manifest as a whole cannot be read: at the call for a source that is missing or
    of no known kind, at the first row for a wrong header, later for a file that breaks off or is not UTF-8.
    """
    if source == "-":
        if sys.stdin is None:
            raise ManifestError("The manifest is - (stdin), but this process has no stdin; name a file instead.")
        return jsonl.read(sys.stdin.buffer, Rows("stdin", "."))
    if uri := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        raise ManifestError(
            f"{source}: manifests at {uri[0]} addresses are not supported yet; copy it here and name the file."
        )
    path = existing(source)
    if path.is_dir():
        return directory.read(source, extensions, on_step)
    return rows_of(path, source, reader_for(path, extensions))


def existing(source: str) -> Path:
    """The source as a path that is there and whose name later records can hold."""
    if not source or printable(source) != source:
        raise ManifestError(
            f"{printable(source)!r} cannot name a manifest: it is empty, holds control characters or is not UTF-8."
        )
    path = Path(source)
    try:
        path.stat()
    except OSError as error:
        reason = "there is no such file or folder" if isinstance(error, FileNotFoundError) else error.strerror
        raise ManifestError(f"{source}: {reason}; a manifest is {KINDS}.") from error
    return path


def reader_for(path: Path, extensions: Sequence[str]) -> Reader:
    """The reader for a file of this name."""
    suffix = path.suffix.lower()
    if suffix in READERS:
        return READERS[suffix]
    if suffix in (".gz", ".bz2", ".xz", ".zst", ".zip"):
        hint = "unpack it first"
    elif suffix in directory.normalized(extensions):
        hint = "this looks like a recording: name its folder, or a manifest with a row for it"
    elif suffix in (".xlsx", ".xls", ".ods"):
        hint = "save the sheet as CSV (UTF-8)"
    else:
        hint = "the name's ending decides the kind"
    raise ManifestError(f"{path}: not a known kind of manifest; {hint}. A manifest is {KINDS}.")


def tell_changed(stream: BinaryIO, before: os.stat_result, source: str) -> None:
    """Warns of a file that is still being written: the last row may be cut, and others to come."""
    now = os.fstat(stream.fileno())
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        log.warning("%s changed while it was read: rows may be missing or cut; run again once it is written", source)


def rows_of(path: Path, source: str, read: Reader) -> Generator[Utterance | BadRow]:
    """Holds the file open for as long as its rows are wanted."""
    try:
        with path.open("rb") as stream:
            before = os.fstat(stream.fileno())
            yield from read(stream, Rows(source, str(path.parent)))
            tell_changed(stream, before, source)
    except OSError as error:
        raise ManifestError(
            f"{source}: cannot be read: {error.strerror or error}; check the file's permissions and its disk."
        ) from error
