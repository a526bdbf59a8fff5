"""Takes secrets out of a text: whole or in part, plain or escaped, as hex or base64; and signatures out of URLs in it.

Takes time linear in the text's length. Remembers the secrets to hide for the rest of the process.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate

from pipeline.queries import without_signatures

MARK = "[API key]"
KEY_PREFIXES = ("gd_", "gsk_")
_LOOKS_LIKE_KEY = re.compile(rf"(?:{'|'.join(KEY_PREFIXES)})(?=[A-Za-z]*[0-9])[A-Za-z0-9]{{20,}}")
"""A key that is not among the hidden secrets, for instance one in the wrong place of the configuration."""
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
    """Hides the secret in all texts from now on."""
    if secret:
        _hidden.add(secret)


def redacted(text: str, *secrets: str) -> str:
    """The text without these secrets, those that are hidden, what looks like a key, and what signs a URL."""
    return without_signatures(_LOOKS_LIKE_KEY.sub(MARK, _without(text, secrets)))


def redacted_words(words: Sequence[str], *secrets: str) -> list[str]:
    """The words of a text, each as by `redacted`, and without those that a secret is spread over."""
    text = " ".join(words)
    clean = [redacted(word, *secrets) for word in words] if redacted(text, *secrets) != text else [*words]
    ends = [*accumulate(map(len, words))]
    forms = _forms(frozenset(_hidden.union(secrets)))
    for start, end in _spans("".join(words), forms, NESTED):
        for place in range(bisect_right(ends, start), bisect_left(ends, end) + 1):
            if clean[place] == words[place]:
                clean[place] = MARK
    return clean


def _without(text: str, secrets: Iterable[str]) -> str:
    known = _hidden.union(secrets)
    for secret in known:
        if len(secret) < END_PART and secret and secret in text:  # no real one is as short
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", MARK, text)
    forms = _forms(frozenset(known))
    if not forms or len(text) < END_PART:
        return text
    done, pieces = 0, []
    for start, end in sorted(_spans(text, forms, NESTED)):
        if start > done or not done:
            pieces += [text[done:start], MARK]
        done = max(done, end)
    return "".join([*pieces, text[done:]]) if pieces else text


_Forms = dict[str, list[tuple[str, int]]]
"""For each piece of _SEED characters the forms of secrets that hold it, in lower case, and where in them it is."""


@lru_cache(maxsize=64)
def _forms(secrets: frozenset[str]) -> _Forms:
    forms: _Forms = {}
    for text in sorted({form.lower() for secret in secrets for form in _forms_of(secret)}):
        for place in range(len(text) - _SEED + 1):
            forms.setdefault(text[place : place + _SEED], []).append((text, place))
    return forms


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
        plain, places = _unescaped(text)
        found += [(places[start], places[end]) for start, end in _spans(plain, forms, depth - 1)]
    return found


def _character(escape: re.Match[str]) -> str:
    *in_hex, decimal, octal, other, backslashes = escape.groups()
    code = next(filter(None, in_hex), None)
    if code or decimal or octal:
        return chr(int(code, 16) if code else int(decimal) if decimal else int(octal, 8))
    return "\\" if backslashes else other or ""


def _unescaped(text: str) -> tuple[str, list[int]]:
    """The text with its escapes undone; and where in it each character, and the end, was before."""
    pieces: list[str] = []
    places: list[int] = []
    done = 0
    for escape in _ESCAPE.finditer(text):
        char = _character(escape)
        pieces += [text[done : escape.start()], char]
        places += [*range(done, escape.start()), *[escape.start()] * len(char)]
        done = escape.end()
    return "".join([*pieces, text[done:]]), [*places, *range(done, len(text) + 1)]


def _parts(text: str, forms: _Forms) -> Iterator[tuple[int, int]]:
    low = text.replace(_LONGER, " ").lower()
    ends: dict[tuple[str, int], int] = {}
    """How far a form was followed that would begin at a place."""
    for at in [at for at in range(0, len(low) - _SEED + 1, _STEP) if low[at : at + _SEED] in forms]:
        for form, place in forms[low[at : at + _SEED]]:
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
