"""What can still be read of a damaged checkpoint: transcripts and attempts that were in no part yet.

Reads as far as SQLite goes; a page that it cannot read ends the reading, not the program.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from pipeline.model import Attempt, Transcript


def salvaged_results(path: Path) -> Iterator[Transcript]:
    """Unpublished transcripts that can be read."""
    decode = msgspec.msgpack.Decoder(Transcript).decode
    for row in _rows(path, "SELECT row FROM results WHERE row IS NOT NULL ORDER BY n"):
        yield decode(row)


def salvaged_attempts(path: Path) -> Iterator[Attempt]:
    """Attempts that can be read and are in no part yet."""
    decode = msgspec.msgpack.Decoder(Attempt).decode
    for row in _rows(path, "SELECT row FROM attempts ORDER BY n"):
        yield decode(row)


def salvaged_formats(path: Path) -> str | None:
    """The formats that the output was begun with, where that can be read."""
    return next((str(value) for value in _rows(path, "SELECT value FROM facts WHERE key = 'formats'")), None)


def _rows(path: Path, query: str) -> Iterator[Any]:
    try:
        connection = sqlite3.connect(path)
    except sqlite3.Error:
        return
    try:
        for (row,) in connection.execute(query):
            yield row
    except (sqlite3.Error, msgspec.DecodeError):
        return
    finally:
        connection.close()
