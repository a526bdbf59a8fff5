"""Short ways to write a manifest and read it back, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline.manifest import inputs_of
from pipeline.model import BadRow, Utterance
from pipeline.source import Sources


def read_manifest(source: str, **options: Any) -> Iterator[Utterance | BadRow]:
    """The rows of one argument in their order, with options of `inputs_of`."""
    return chain.from_iterable(inputs_of([source], Sources(), **options))


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
