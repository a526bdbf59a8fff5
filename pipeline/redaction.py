"""Takes secrets out of a text: whole or in part, plain or in a form in which somebody may repeat them.

Looks at a text in one pass of its length. Beside that it holds one thing: the secrets that this process was told of.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache

MARK = "[API key]"
KEY_PREFIXES = ("gd_", "gsk_")
_LOOKS_LIKE_KEY = re.compile(rf"(?:{'|'.join(KEY_PREFIXES)})(?=[A-Za-z]*[0-9])[A-Za-z0-9]{{20,}}")
"""Somebody may have put one in a wrong place, and nobody told of it."""
LONG_PART = 12
"""A part of a secret of so many characters is taken out wherever it stands, …"""
END_PART = 8
"""… and one that is its beginning or its end where it looks cut off there."""
NESTED = 3
"""So many escapes within each other are undone."""
_SEED, _STEP = 5, 4
"""Each part of END_PART characters holds a piece of _SEED characters that begins at a multiple of _STEP."""
_ESCAPE = re.compile(
    r"\\{1,9}(?:u00|x|u\{0{0,6}|u0{6})([2-7][0-9a-f])\}?|%(?:25){0,9}([2-7][0-9a-f])|=([2-7][0-9a-f])"
    r"|&#x0{0,9}([2-7][0-9a-f]);?|&#0{0,9}([0-9]{2,3});?|\\{1,9}(0?[01][0-7]{2})|\\{1,9}([\"'/])|(\\\\)"
    r"|[\x00-\x1f\x7f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]{1,99}",
    re.IGNORECASE,
)
"""A printable ASCII character as JSON, Python, a URL, HTML or an e-mail may write it; what shows nothing is nothing."""
_END_OF_ESCAPE = re.compile(r"[ux]?[0-9a-f]{0,4};?")
"""A text that came cut may begin with that."""
_LONGER = "\u0130"
"""The only character that is longer in lower case."""
_hidden: set[str] = set()


def hide(secret: str) -> None:
    """From now on this process shows that secret nowhere."""
    if secret:
        _hidden.add(secret)


def redacted(text: str, *secrets: str) -> str:
    """The text without these secrets, those that are hidden, and what looks like a key."""
    return _LOOKS_LIKE_KEY.sub(MARK, _without(text, secrets))


def _without(text: str, secrets: Iterable[str]) -> str:
    known = _hidden.union(secrets)
    for secret in known:
        if len(secret) < END_PART and secret and secret in text:  # no real one is as short
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", MARK, text)
    forms = _forms(frozenset(known))
    if not forms.texts or len(text) < END_PART:
        return text
    done, pieces = 0, []
    for start, end in sorted(_spans(text, forms, NESTED)):
        if start > done or not done:
            pieces += [text[done:start], MARK]
        done = max(done, end)
    return "".join([*pieces, text[done:]]) if pieces else text


class _Forms:
    """The forms of some secrets in lower case, and where each piece of _SEED characters stands in them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.texts = sorted({form.lower() for secret in secrets for form in _forms_of(secret)})
        self.pieces: dict[str, list[tuple[str, int]]] = {}
        for text in self.texts:
            for place in range(len(text) - _SEED + 1):
                self.pieces.setdefault(text[place : place + _SEED], []).append((text, place))


@lru_cache(maxsize=64)
def _forms(secrets: frozenset[str]) -> _Forms:
    return _Forms(secrets)


def _forms_of(secret: str) -> Iterator[str]:
    if len(secret) < END_PART:
        return
    yield secret
    data = secret.encode("utf-8", "surrogatepass")
    yield data.hex()
    for before in range(3):  # what stands before it decides how its bits fall into base64 characters
        encoded = base64.b64encode(bytes(before) + data)
        first, last = -(-before * 8 // 6), (before + len(data)) * 8 // 6  # the characters with no other bits in them
        inner = encoded[first:last].decode()
        yield inner
        yield inner.translate(str.maketrans("+/", "-_"))


def _spans(text: str, forms: _Forms, depth: int) -> list[tuple[int, int]]:
    """Where parts of secrets stand, also behind escapes."""
    found = list(_parts(text, forms))
    if depth and _ESCAPE.search(text):
        plain = _Unescaped(text)
        found += [(plain.place(start), plain.place(end)) for start, end in _spans(plain.text, forms, depth - 1)]
    return found


def _meant(escape: re.Match[str]) -> str:
    *in_hex, decimal, octal, other, backslashes = escape.groups()
    code = next(filter(None, in_hex), None)
    if code or decimal or octal:
        return chr(int(code, 16) if code else int(decimal) if decimal else int(octal, 8))
    return "\\" if backslashes else other or ""


class _Unescaped:
    """A text with its escapes undone."""

    def __init__(self, text: str) -> None:
        pieces: list[str] = []
        done = length = 0
        self._here, self._there = [0], [0]
        """Places in this text, and where they are in the other; in between both go on alike."""
        for escape in _ESCAPE.finditer(text):
            char = _meant(escape)
            pieces += [text[done : escape.start()], char]
            length += escape.start() - done
            done = escape.end()
            self._here += [length, length + len(char)]
            self._there += [escape.start(), done]
            length += len(char)
        self.text = "".join([*pieces, text[done:]])

    def place(self, at: int) -> int:
        """Where a place in this text is in the other."""
        nearest = bisect_right(self._here, at) - 1
        return self._there[nearest] + at - self._here[nearest]


def _parts(text: str, forms: _Forms) -> Iterator[tuple[int, int]]:
    low = text.replace(_LONGER, " ").lower()
    pieces = forms.pieces
    ends: dict[tuple[str, int], int] = {}
    """How far a form was followed that would begin at a place."""
    for at in [at for at in range(0, len(low) - _SEED + 1, _STEP) if low[at : at + _SEED] in pieces]:
        for form, place in pieces[low[at : at + _SEED]]:
            begin = at - place
            if at < ends.get((form, begin), 0):
                continue
            start, end = at, at + _SEED
            while start > max(begin, 0) and low[start - 1] == form[start - 1 - begin]:
                start -= 1
            while end < min(begin + len(form), len(low)) and low[end] == form[end - begin]:
                end += 1
            ends[form, begin] = end
            is_begun = start == begin and not low[end : end + 1].isalnum()
            is_open = not low[max(start - 1, 0) : start].isalnum() or bool(_END_OF_ESCAPE.fullmatch(low, 0, start))
            is_ended = end == begin + len(form) and is_open
            if end - start >= min(LONG_PART if not (is_begun or is_ended) else END_PART, len(form)):
                yield start, end
