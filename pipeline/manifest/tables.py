"""Manifests with rows: chooses the reader by a file's extension, and yields the rows of a file or of stdin."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from pipeline.errors import ManifestError
from pipeline.manifest import audio_rows, delimited, jsonl
from pipeline.manifest.download import downloaded
from pipeline.manifest.rows import Rows, Warn
from pipeline.manifest.seen_names import SeenNames
from pipeline.model import BadRow, Utterance
from pipeline.source import Sources
from pipeline.source.addresses import folder_of, is_address, path_in
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
    ".parquet": audio_rows.read,
}
ZIPPED = ".gz"
_ZIPPED = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
SUFFIXES = (*READERS, *(f"{suffix}{ZIPPED}" for suffix in _ZIPPED))
KINDS = (
    "a folder, a recording, a glob, a .csv, .tsv, .jsonl (each also as .gz) or .parquet file, or - for JSONL on stdin"
)


PACKED, SHEETS = (ZIPPED, ".bz2", ".xz", ".zst", ".zip"), (".xlsx", ".xls", ".ods")
"""Files whose rows cannot be read."""


class Table:
    """A manifest file here or at an address, or JSONL on stdin for `-`, in constant memory."""

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
        if is_address(source):
            self._rows = rows_at(source, reader_for(path_in(source)), sources, warn)
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


def suffix_of(name: str) -> str:
    """The suffix that tells the kind of a manifest, such as `.csv.gz`, in lower case; "" for none."""
    name = os.path.basename(name).lower()
    return next((one for one in SUFFIXES if name.endswith(one) and name != one), "")


def reader_for(path: Path | str) -> Reader:
    """The reader for a file of this name. Raises ManifestError."""
    suffix = suffix_of(str(path))
    if suffix.endswith(ZIPPED):
        return partial(unpacked, READERS[suffix.removesuffix(ZIPPED)])
    if suffix:
        return READERS[suffix]
    other = os.path.splitext(path)[1].lower()
    if other in PACKED:
        advice = "unpack it first"
    elif other in SHEETS:
        advice = "save the sheet as CSV (UTF-8)"
    else:
        advice = "the extension decides the kind; a recording with another can be a row of a manifest"
    raise ManifestError(f"{path}: not a known kind of manifest; {advice}. A manifest is {KINDS}.")


def unpacked(read: Reader, stream: BinaryIO, rows: Rows) -> Iterator[Utterance | BadRow]:
    """The rows of a file that gzip packed, unpacked as far as they are read. Raises ManifestError for a damaged one."""
    try:
        with gzip.GzipFile(fileobj=stream) as plain:
            yield from read(cast("BinaryIO", plain), rows)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ManifestError(
            f"{rows.manifest}: no whole gzip file: {str(error).rstrip('.')}; nothing of it was taken: copy it again."
        ) from None


def rows_at(address: str, read: Reader, sources: Sources, warn: Warn) -> Generator[Utterance | BadRow]:
    """The rows of a remote manifest; of one that holds its recordings only what is asked for is read."""
    if suffix_of(path_in(address)) == ".parquet":
        with audio_rows.audio_table(address, sources, warn) as table:
            if table is not None:
                yield from table.rows(os.path.basename(path_in(address)), SeenNames())
                return
    with downloaded(address, sources) as stream:
        yield from read(stream, Rows(address, folder_of(address), sources.signatures, warn))


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
