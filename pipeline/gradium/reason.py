"""Reads why a request was refused out of what the service sent: the documented form, JSON, or plain text. Pure.

    error from server 1008: API key is revoked or expired        also Some(1008), or None
    {"detail": "…"}   {"detail": [{"loc": ["query", "json_config"], "msg": "…"}]}   {"error": {"code": 1008, …}}

One form may hold another. Only the first line of a text is its reason: the lines after it are a footer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

MAX_CHARS = 4_000
"""Characters of a reason."""
MAX_DEPTH = 8
"""Of JSON, and of texts in it that are JSON again."""
MAX_ITEMS = 16
"""Items of a list that are read."""
_TEXT_KEYS = ("message", "msg", "detail", "error", "errors", "description", "reason", "title")
"""Where JSON has its text, the most telling first: `error` may be no more than the status in words."""
_HTTP_STATUSES = range(100, 600)
_BLANK = "\ufeff \t\r\n\v\f"
_FORM = re.compile(r"error from server[ \t]+(?:(\d{1,9})|Some\((\d{1,9})\)|None)[ \t]*:[ \t]*", re.IGNORECASE)
_LINE = re.compile(r"[^\r\n]*")
_MARKUP = re.compile(r"^\W*<|<(!doctype|html|head|body)\b", re.IGNORECASE)
_json = json.JSONDecoder(strict=False)


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a request was refused."""

    text: str = ""
    """One line, without what is around it. Several texts of one JSON body are joined with `; `."""
    code: int | None = None
    codes: frozenset[int | str] = frozenset()
    """All codes that are named, in any form."""
    is_formal: bool = False
    """In the documented form or in JSON: not any text that something on the way may have written."""

    @property
    def is_page(self) -> bool:
        """The text is HTML."""
        return _MARKUP.search(self.text) is not None

    def with_code(self, code: int | str) -> Reason:
        """The reason with one more code that is named, which counts where there is no other."""
        number = _as_number(code)
        named = self.codes | {code if number is None else number}
        return replace(self, code=number if self.code is None else self.code, codes=named)


def read(said: str) -> Reason:
    """The reason in a text."""
    return _read(said, MAX_DEPTH)


def _read(said: str, depth: int) -> Reason:
    said = said.lstrip(_BLANK)
    form = _FORM.match(said)
    rest = said[form.end() :] if form else said
    reason = _in_json(rest, depth) or Reason(text=_LINE.match(rest)[0].strip()[:MAX_CHARS])  # type: ignore[index]
    if form is None:
        return reason
    code = form[1] or form[2]
    return replace(reason if code is None else replace(reason, code=None).with_code(code), is_formal=True)


def _in_json(said: str, depth: int) -> Reason | None:
    """The reason in a JSON value, whatever follows on other lines; None if there is no such value."""
    if said[:1] not in ("{", "[", '"') or not depth:
        return None
    try:
        value, end = _json.raw_decode(said)
    except (ValueError, RecursionError):
        return None
    if said[end:].lstrip(" \t")[:1] not in ("", "\r", "\n"):
        return None
    parts = list(_parts(value, depth))
    texts = "; ".join(dict.fromkeys(part.text for part in parts if part.text)) or " ".join(said[:end].split())
    return Reason(
        text=texts[:MAX_CHARS],
        code=next((part.code for part in reversed(parts) if part.code is not None), None),  # the innermost
        codes=frozenset().union(*(part.codes for part in parts)),
        is_formal=True,
    )


def _parts(value: Any, depth: int) -> Iterator[Reason]:
    """The reasons in a JSON value, the outer ones first."""
    match value:
        case str():
            yield _read(value, depth - 1)
        case list() if depth:
            for each in value[:MAX_ITEMS]:
                yield from _parts(each, depth - 1)
        case dict() if depth:
            code, place = value.get("code"), value.get("loc")
            if isinstance(code, int | str) and _as_number(code) not in _HTTP_STATUSES:
                yield Reason().with_code(code)
            if isinstance(place, list):  # what a check of the request found fault with
                yield Reason(text=".".join(map(str, place[:MAX_ITEMS])))
            for key in _TEXT_KEYS:
                yield from _parts(value.get(key), depth - 1)


def _as_number(code: int | str) -> int | None:
    try:
        number = int(code)
    except ValueError:
        return None
    return number if abs(number) < 1 << 31 else None
