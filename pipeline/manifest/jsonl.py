"""Reads JSONL manifests, NeMo's among them: one JSON object a line.

Reads from the open stream it is given, a file or stdin; what the values mean is decided in `columns` and `rows`.
"""

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
"""So many different keys of rows are looked at for misspelt ones."""


def read(stream: BinaryIO, rows: Rows) -> Iterator[Utterance | BadRow]:
    """The rows of a JSONL stream; a line that is no JSON object is a BadRow that says where it goes wrong.

    Raises `ManifestError` for bytes that are not UTF-8, and for one JSON document spread over many lines.
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
            decoded(raw, rows.manifest, line)  # which raises for another encoding: it can fail as bad JSON first
            yield rows.bad(line, explain(raw, str(error)))
        else:
            yield utterance(line, row, rows)


def refuse_document(raw: bytes, manifest: str) -> None:
    """Raises `ManifestError` when the first line opens a JSON document that goes on below."""
    if raw.strip() in (b"[", b"{") or raw.lstrip().startswith((b"[{", b"[ {")):
        raise ManifestError(
            f"{manifest}: this is one JSON document, not one object a line; jq -c '.[]' makes lines of a list."
        )


def explain(raw: bytes, words: str) -> str:
    """The decoder's words as a sentence for the user, with the column in characters from 1."""
    if b"\0" in raw:
        return f"the line holds a NUL byte (column {column(raw, raw.index(0))}); is the file damaged?"
    if found := re.search(r"(.*) \(byte (\d+)\)$", words):
        at = int(found[2]) - ("trailing" in words)  # of what trails it names the second byte
        hint = "; JSON has no NaN, write null" if raw[at : at + 3] == b"NaN" or raw[at - 1 : at + 2] == b"NaN" else ""
        return f"no JSON: {found[1].removeprefix('JSON is malformed: ')} at column {column(raw, at)}{hint}."
    if "truncated" in words:
        return f"no JSON: it breaks off at column {column(raw, len(raw.rstrip()))}; is the line cut?"
    return f"no JSON that can be read: {words}."


def column(raw: bytes, at: int) -> int:
    """The column, in characters from 1, of a byte of the line."""
    return len(raw[:at].decode("utf-8", "replace")) + 1
