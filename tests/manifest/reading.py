"""Short ways to write a manifest and read it back, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

from pipeline.manifest import read_manifest
from pipeline.model import BadRow, Utterance


def rows_of(path: Path, content: str | bytes) -> list[Utterance | BadRow]:
    """Writes the manifest and reads all of its rows."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_manifest(str(path)))


def good(rows: list[Utterance | BadRow]) -> list[Utterance]:
    """The rows, all of which must be utterances."""
    assert [str(row) for row in rows if isinstance(row, BadRow)] == []
    return [row for row in rows if isinstance(row, Utterance)]


def bad(rows: list[Utterance | BadRow]) -> list[tuple[int | None, str]]:
    """Line and message of the rows that are bad."""
    return [(row.line, row.message) for row in rows if isinstance(row, BadRow)]
