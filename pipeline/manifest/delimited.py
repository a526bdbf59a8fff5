"""Reads CSV and TSV manifests: a header line, then rows, with the quotes of spreadsheets."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from pipeline.errors import ManifestError
from pipeline.manifest.columns import FILE_NAME, NEMO, Header, header_of
from pipeline.manifest.lines import MAX_ROW_BYTES, decoded, read_lines
from pipeline.manifest.rows import RowProblem, Rows
from pipeline.model import BadRow, Utterance
from pipeline.source.spelling import cleaned

DELIMITERS = (",", ";", "\t")
SEPARATOR = re.compile(rb'"?sep=([,;|\t])"?[,;|\t]*\s*', re.IGNORECASE)
"""A first line of spreadsheets that names the delimiter."""
DECIMAL_COMMA = re.compile(r"\s*-?\d*,\d+\s*")


def read(stream: BinaryIO, rows: Rows, delimiters: tuple[str, ...] = DELIMITERS) -> Iterator[Utterance | BadRow]:
    """The rows of a file with whichever of these delimiters its header has.

    Raises `ManifestError` for a file without a usable header or not in UTF-8.
    """
    # references of long recordings exceed the csv module's default of 131,072 characters
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    lines = read_lines(stream, rows.manifest, rows.warn)
    line = 1
    for first in lines:
        if named := SEPARATOR.fullmatch(first):
            delimiters = (named[1].decode(),)
        elif first.strip():
            break
        line += 1
    else:
        raise ManifestError(
            f"{rows.manifest}: the file is empty; its first line must name the columns, such as audio,reference."
        )
    delimiter = sniff(first, delimiters)
    found = records(chain([first], lines), delimiter, line, rows.manifest)
    line, header = next(found)
    if isinstance(header, str):
        raise ManifestError(f"{rows.manifest}:{line}: the header cannot be read: {header}")
    return utterances(found, header_of([cleaned(name) for name in header], rows, line), delimiter, rows)


def utterances(
    found: Iterator[tuple[int, list[str] | str]], header: Header, delimiter: str, rows: Rows
) -> Iterator[Utterance | BadRow]:
    """Turns records into utterances. Optimized, because it runs for each row of a million."""
    width, known, names, metadata = header.width, header.known, header.names, header.metadata
    nemo_duration, build = header.nemo_duration, rows.utterance
    has_decimal_commas = delimiter == ";"  # as spreadsheets with `;` write numbers
    for line, fields in found:
        if isinstance(fields, str):
            yield rows.bad(line, fields)
            continue
        if len(fields) != width:
            if fields and any(fields):
                yield rows.bad(line, wrong_width(fields, width, delimiter))
            continue
        other = dict(zip(names, metadata(fields)))  # noqa: B905  not strict: `metadata` selects two more
        fields.append("")  # for absent columns
        audio, id, language, reference, offset_s, duration_s, channel = known(fields)
        if nemo_duration and not offset_s:
            duration_s = ""
        if not audio and not any(fields):
            continue  # a line of delimiters only, as spreadsheets leave at the end
        if has_decimal_commas:
            offset_s, duration_s = with_point(offset_s), with_point(duration_s)
        yield build(line, audio, id, language, reference, offset_s, duration_s, channel, other)


def with_point(number: str) -> str:
    """A number with a point in place of a decimal comma; any other text unchanged."""
    return number.replace(",", ".") if "," in number and DECIMAL_COMMA.fullmatch(number) else number


def wrong_width(fields: list[str], width: int, delimiter: str) -> str:
    """The message for a row with too many or too few fields."""
    name = {"\t": "a tab"}.get(delimiter, f"`{delimiter}`")
    hint = f'put text that holds {name} in "quotes"' if len(fields) > width else "add the missing ones, empty"
    return f"the row has {len(fields)} fields, the header has {width}; {hint}."


def sniff(header: bytes, delimiters: tuple[str, ...]) -> str:
    """The delimiter that yields an audio column, or else the most columns; the first of equals."""

    def score(delimiter: str) -> tuple[bool, int]:
        names = [cleaned(name.strip(' \r\n"')) for name in header.decode("utf-8", "replace").split(delimiter)]
        return not {"audio", NEMO["audio"], FILE_NAME}.isdisjoint(names), len(names)

    return max(delimiters, key=score)


def records(lines: Iterator[bytes], delimiter: str, line: int, manifest: str) -> Iterator[tuple[int, list[str] | str]]:
    """Pairs of the line on which a record starts, and its fields or an error message.

    After a record with an error, reading resumes at its second line, so that an unclosed quote costs one row only.
    """
    seen: list[bytes] = []  # the lines of the current record
    again: deque[bytes] = deque()  # lines of a record with an error, to be read again

    def feed() -> Iterator[str]:
        size = 0
        while True:
            raw = again.popleft() if again else next(lines, None)
            if raw is None:
                return
            size = size + len(raw) if seen else len(raw)
            seen.append(raw)
            if size > MAX_ROW_BYTES:
                raise RowProblem(f"the row is longer than {MAX_ROW_BYTES // 1_000_000} MB; is a quote not closed?")
            if b"\0" in raw:
                raise RowProblem("the row holds a NUL byte; is the file damaged, or not UTF-8?")
            yield decoded(raw, manifest, line + len(seen) - 1)

    while True:
        # strict: without it a quote closed in the wrong place silently joins rows
        reader = csv.reader(feed(), delimiter=delimiter, strict=True, skipinitialspace=True)
        try:
            for fields in reader:
                yield line, fields
                line += len(seen)
                seen.clear()
        except (csv.Error, RowProblem) as problem:
            yield line, explain(problem, line + len(seen) - 1)
            again.extendleft(reversed(seen[1:]))
            line += 1
            seen.clear()
        else:
            return


def explain(problem: Exception, last_line: int) -> str:
    """The csv module's error as a message for users; `last_line` is the line of the error."""
    text = str(problem)
    if "unexpected end of data" in text:
        return 'a quote opened in this row is never closed; close it, or write "" for a quote inside the text.'
    if "expected after" in text:
        return (
            f'text goes on after a closing quote (line {last_line}); write "" for a quote inside quoted text, '
            "or close the one opened in this row."
        )
    return text
