"""Checks the values of rows that come with types (JSON objects, Parquet rows) and hands them on as fields.

Looks at values only. Wrong types are refused and not converted: a list in `language` is a mistake upstream.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.manifest.columns import meant_audio
from pipeline.manifest.rows import RowProblem, Rows, shown
from pipeline.model import BadRow, Utterance

TYPES = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


def utterance(line: int, row: dict[str, Any], rows: Rows) -> Utterance | BadRow:
    """The record for a row; takes its known keys out of `row`, what remains is metadata. null counts as absent."""
    take = row.pop
    name = take("id", None)
    try:
        if type(name) is int:  # a number is no text, but as an id there is only one way to write it
            name = str(name)
        id = text(name, "id")
    except RowProblem as problem:
        return rows.bad(line, str(problem))
    try:
        if "audio" not in row and "audio_filepath" not in row:
            raise RowProblem(no_audio(row))
        audio = text(take("audio") if "audio" in row else take("audio_filepath"), "audio")
        reference = text(take("reference") if "reference" in row else take("text", None), "reference")
        language = text(take("language", None), "language")
        offset_s = number(take("offset_s") if "offset_s" in row else take("offset", None), "offset_s")
        if "duration_s" in row:
            duration_s = number(take("duration_s"), "duration_s")
        else:
            # NeMo's duration is the recording's length; it means a span only together with an offset
            length_s = take("duration", None)
            duration_s = None if offset_s is None else number(length_s, "duration")
        channel = number(take("channel", None), "channel")
    except RowProblem as problem:
        return rows.bad(line, str(problem), id.strip())
    other = {key: as_text(value) for key, value in row.items() if value is not None} if row else {}
    return rows.utterance(line, audio, id, language, reference, offset_s, duration_s, channel, other)


def text(value: object, name: str) -> str:
    """The value where it is text, "" where it is null."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    raise RowProblem(f"`{name}` is {kind(value)} ({shown(value)}); it must be text.")


def number(value: object, name: str) -> float | None:
    """The value where it is a number or null."""
    if value is None or type(value) is float or type(value) is int:
        return value
    hint = "; write it without quotes" if isinstance(value, str) else ""
    raise RowProblem(f"`{name}` is {kind(value)} ({shown(value)}); it must be a number{hint}.")


def as_text(value: object) -> str:
    """A metadata value as text: text as it is, anything else as compact JSON."""
    if type(value) is str:
        return value
    written = msgspec.json.encode(value).decode()
    # dates, decimals and the like become JSON strings: keep what they say without the quotes
    return msgspec.json.decode(written, type=str) if written.startswith('"') else written


def kind(value: object) -> str:
    """What a value is, in JSON's words."""
    return TYPES.get(type(value), type(value).__name__)


def no_audio(row: dict[str, Any]) -> str:
    """Says that a row names no recording, and which key was probably meant to."""
    nearest = meant_audio(row)
    if nearest is not None:
        return f"the row has no `audio`; rename `{nearest}`, which looks like it."
    keys = ", ".join(f"`{key[:40]}`" for key in list(row)[:8]) or "none"
    return f"the row has no `audio`, which names its recording; its other keys: {keys}."
