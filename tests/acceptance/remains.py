"""Looks for words in every byte of an output: in raw files and their names, in Parquet as it is read, in rows of
SQLite, in gzip."""

from __future__ import annotations

import gzip
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def found_in(out: Path, words: Iterable[str]) -> dict[str, list[str]]:
    """The words that are found anywhere below a folder, by file."""
    wanted = {word: word.encode() for word in words}
    assert wanted
    found = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file() or path.is_symlink()):
        contents = [*_contents(path)]
        if left := [word for word, encoded in wanted.items() if any(encoded in content for content in contents)]:
            found[path.relative_to(out).as_posix()] = left
    return found


def _contents(path: Path) -> Iterator[bytes]:
    raw = path.read_bytes()
    yield raw
    yield path.name.encode()
    if raw.startswith(b"\x1f\x8b"):
        yield gzip.decompress(raw)
    if b"PAR1" in (raw[:4], raw[-4:]):
        with suppress(pa.ArrowException, OSError):
            for row in pq.read_table(path).to_pylist():
                yield repr(row).encode()
    if raw.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in db.execute(f"SELECT * FROM {name}"):  # noqa: S608
                    for value in row:
                        yield value if isinstance(value, bytes) else str(value).encode()
                        if isinstance(value, bytes):
                            with suppress(zlib.error):  # replaced transcripts are compressed
                                yield zlib.decompress(value)
