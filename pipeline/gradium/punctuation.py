"""What is punctuation, and how it stands beside words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from unicodedata import category, normalize

Role = Literal["word", "opening", "closing", "dash"]
"""What a token is: a word, or punctuation that stands at the word after it, at the word before it, or alone."""

_SPOKEN = frozenset("#%&*/@\\_\xa7\u2030\u2031\u066a")
"""Unicode's punctuation that is read aloud: number sign, percent, and, …"""
_OPENING = frozenset("\xbf\xa1")
"""The Spanish marks in front of a question and an exclamation, …"""
_EITHER = frozenset("\"'")
"""… and what opens and closes."""
_LOW_CLOSED_BY = {
    **dict.fromkeys('\u201c\u201d"', "\u201e"),
    **dict.fromkeys("\u2018\u2019'", "\u201a"),
}
"""By mark: the low quotation mark that it closes. The first of each opens where no such mark is open: English “…”
against German „…“."""
_LOW = frozenset(_LOW_CLOSED_BY.values())
_ANGLES = (("\xab", "\xbb"), ("\u2039", "\u203a"))
"""Quotation marks that point outwards in French, «…», and in many German books inwards, »…«."""


def is_punctuation(token: str) -> bool:
    """Whether nothing in the token is read aloud: no letter, digit or symbol. Combining marks and characters that show
    nothing are read aloud with a letter only."""
    if token[:1].isalnum():
        return False
    return all(map(_is_silent, normalize("NFKC", token)))


def roles_of(tokens: Sequence[str]) -> list[Role]:
    """The role of each token of a text, which has to be whole: of some quotation marks only the others tell whether
    they open or close."""
    inwards = frozenset(mark for pair in _ANGLES if _points_inwards(tokens, *pair) for mark in pair)
    low: set[str] = set()
    """The low quotation marks that are open."""
    return [_role(token, low, inwards) for token in tokens]


def space_between(before: Role, after: Role) -> str:
    """What belongs between two tokens that came in messages of their own."""
    return "" if before == "opening" or after == "closing" else " "


def _role(token: str, low: set[str], inwards: frozenset[str]) -> Role:
    if not is_punctuation(token):
        if not (token[0].isalnum() and token[-1].isalnum()):
            read = [place for place, char in enumerate(token) if char.isalnum()]
            for char in token[: read[0]] + token[read[-1] + 1 :] if read else token:  # no apostrophe within the word
                _opens(char, low, inwards)
        return "word"
    opens = [opening for char in token if (opening := _opens(char, low, inwards)) is not None]
    if opens and all(opens):
        return "opening"
    return "dash" if category(token[0]) == "Pd" else "closing"


def _opens(char: str, low: set[str], inwards: frozenset[str]) -> bool | None:
    """Whether the next character of a text opens something; None where nothing tells."""
    closed = _LOW_CLOSED_BY.get(char)
    if closed in low:
        low.remove(closed)
        return False
    if char in _LOW:
        low.add(char)
    if char in _EITHER:
        return None
    return char in _OPENING or category(char) in ("Ps", "Pf" if char in inwards else "Pi")


def _points_inwards(tokens: Sequence[str], left: str, right: str) -> bool:
    """Whether a text opens its quotations with the right one of these marks: as words have it at their edges, else as
    the text begins and ends."""
    found = [token for token in tokens if left in token or right in token]
    edges = [(token[0], token[-1]) for token in found if not is_punctuation(token)]
    votes = sum((first == right) + (last == left) - (first == left) - (last == right) for first, last in edges)
    if votes:
        return votes > 0
    marks = [char for char in "".join(found) if char in (left, right)]
    return bool(marks) and marks[0] == right and marks[-1] == left


def _is_silent(char: str) -> bool:
    kind = category(char)
    return (kind[0] in "PMZ" or kind in ("Cc", "Cf") or char == "`") and char not in _SPOKEN
