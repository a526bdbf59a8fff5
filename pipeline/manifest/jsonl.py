"""Reads JSONL manifests, such as NeMo's: one JSON object a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from pipeline.errors import ManifestError
from pipeline.manifest.columns import kind, utterance, warn_of_misspelt
from pipeline.manifest.lines import MAX_ROW_BYTES, decoded, read_lines
from pipeline.manifest.rows import RowProblem, Rows
from pipeline.model import BadRow, Utterance

MOST_KEYS = 1_000
"""That are checked for misspelt ones."""


def read(stream: BinaryIO, rows: Rows) -> Iterator[Utterance | BadRow]:
    """The rows of a JSONL stream, with a BadRow for each line that is no JSON object.

    Raises `ManifestError` for bytes that are not UTF-8, and for a single JSON document of many lines.
    """
    decode = msgspec.json.Decoder().decode
    first = True
    keys: set[str] = set()
    for line, raw in enumerate(read_lines(stream, rows.manifest, rows.warn), start=1):
        if raw.isspace():
            continue
        if first:
            first = False
            refuse_document(raw, rows.manifest)
        if len(raw) > MAX_ROW_BYTES:
            yield rows.bad(line, f"the line is longer than {MAX_ROW_BYTES // 1_000_000} MB; is a line end missing?")
            continue
        try:
            row = decode(raw)
            if type(row) is not dict:
                raise RowProblem(f"the line is {kind(row)}; a row is an object: {{…}}.")
            if not keys.issuperset(row) and len(keys) < MOST_KEYS:
                warn_of_misspelt([*row], rows.warn, f"{rows.manifest}:{line}: key", known=keys)
                keys.update(row)
        except RowProblem as problem:
            yield rows.bad(line, str(problem))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            decoded(raw, rows.manifest, line)  # raises where the cause is another encoding
            yield rows.bad(line, explain(raw, str(error)))
        else:
            yield utterance(line, row, rows)


def refuse_document(raw: bytes, manifest: str) -> None:
    """Raises `ManifestError` when the first line starts a JSON document of several lines."""
    if raw.strip() in (b"[", b"{") or raw.lstrip().startswith((b"[{", b"[ {")):
        raise ManifestError(
            f"{manifest}: this is one JSON document, not one object a line; jq -c '.[]' makes lines of a list."
        )


def explain(raw: bytes, error: str) -> str:
    """The decoder's error as a message for users, with the column in characters from 1."""
    if b"\0" in raw:
        return f"the line holds a NUL byte (column {column(raw, raw.index(0))}); is the file damaged?"
    if found := re.search(r"(.*) \(byte (\d+)\)$", error):
        at = int(found[2]) - ("trailing" in error)  # that error gives the second trailing byte
        hint = "; JSON has no NaN, write null" if raw[at : at + 3] == b"NaN" or raw[at - 1 : at + 2] == b"NaN" else ""
        return f"no JSON: {found[1].removeprefix('JSON is malformed: ')} at column {column(raw, at)}{hint}."
    if "truncated" in error:
        return f"no JSON: it ends early at column {column(raw, len(raw.rstrip()))}; is the line cut?"
    return f"no JSON that can be read: {error}."


def column(raw: bytes, at: int) -> int:
    """The column, in characters from 1, of a byte."""
    return len(raw[:at].decode("utf-8", "replace")) + 1
