"""Texts as they are kept and shown: those from outside (a service, a manifest, a file's name) without secrets and
control characters, counted nouns and ids in sentences, and the nearest right name for a misspelt one. Pure.

`presentable` before a text is kept in an error or a file, `visible` before a person sees it, `json_line` before a
machine does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from unicodedata import category

from pipeline.redaction import redacted

MAX_MESSAGE = 2_000
"""No message of an error is longer than that, in characters."""
SHRINKS = 32
"""A secret may take up to so many times the place of what is shown instead."""
ID_CHARS = 60
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Python's stand-in for a byte that is no text: in headers and paths. No file or database takes it."""
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line ends of any kind, and what turns the direction of writing."""


def presentable(text: str, *secrets: str, limit: int = MAX_MESSAGE) -> str:
    """The text for errors and files: without secrets (these and all hidden ones), cut at `limit`, and encodable.

    Takes little time however long the text is.
    """
    # secrets go before the text is cut, or a part of one would stay; of a very long text the rest is not looked at
    return _SURROGATE.sub("\ufffd", redacted(text[: SHRINKS * limit], *secrets)[:limit])


def visible(text: str) -> str:
    """The text for a terminal, in one line and without secrets: what cannot be seen is escaped, beside the blanks of
    other languages."""
    text = redacted(text)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or category(char) == "Zs" else escape(char) for char in text)


def escape(char: str) -> str:
    """One character as an escape; a surrogate that stands for an undecodable byte as that byte."""
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def json_line(value: Any) -> str:
    """The value as JSON in one line, without secrets; it reads as the same text, and moves no cursor."""
    import msgspec  # not needed for most of what is shown

    encoded = msgspec.json.encode(_cleaned(msgspec.to_builtins(value))).decode()
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", redacted(value))
    if isinstance(value, dict):
        return {_cleaned(name): _cleaned(part) for name, part in value.items()}
    return [_cleaned(part) for part in value] if isinstance(value, list | tuple) else value


def plural(count: int, noun: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shown_id(id_: str) -> str:
    """An id within a sentence: escaped where it cannot be seen, cut where it is long."""
    return visible(id_[:ID_CHARS]) + "…" * (len(id_) > ID_CHARS)


def nearest(word: str, known: Sequence[str], *, cutoff: float = 0.5) -> str | None:
    """The known name most like `word`; None where none is like it by `cutoff`, of 1."""
    return next(iter(nearest_few(word, known, 1, cutoff=cutoff)), None)


def nearest_few(word: str, known: Sequence[str], count: int = 3, *, cutoff: float = 0.5) -> list[str]:
    """The known names most like `word`, the nearest first; none that are not like it by `cutoff`, of 1."""
    import difflib  # only for a mistake

    return difflib.get_close_matches(word, known, n=count, cutoff=cutoff)
