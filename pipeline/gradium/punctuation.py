"""What is punctuation, and how it stands beside words. Pure."""

from __future__ import annotations

from unicodedata import category, normalize

_SPOKEN = frozenset("#%&*/@\\_\xa7\u2030\u2031\u066a")
"""Unicode's punctuation that is read aloud: number sign, percent, and, …"""
_OPENING = frozenset("\xbf\xa1")
"""The Spanish marks in front of a question and an exclamation, …"""
_EITHER = frozenset("\"'")
"""… and what opens and closes."""


def is_punctuation(token: str) -> bool:
    """Whether nothing in the token is read aloud: no letter, digit or symbol. Combining marks and characters that show
    nothing are read aloud with a letter only."""
    if token[:1].isalnum():
        return False
    return all(map(_is_silent, normalize("NFKC", token)))


def is_opening(token: str) -> bool:
    """Whether this punctuation belongs to what follows: an opening bracket, quotation mark, or the like."""
    kinds = [char in _OPENING or category(char) in ("Ps", "Pi") for char in token if char not in _EITHER]
    return bool(kinds) and all(kinds)


def space_between(before: str, after: str) -> str:
    """What belongs between two tokens that came in messages of their own: closing punctuation stands at the word before
    it, opening punctuation at the word after, a dash alone."""
    if is_punctuation(before) and is_opening(before):
        return ""
    closes = is_punctuation(after) and not is_opening(after) and category(after[0]) != "Pd"
    return "" if closes else " "


def _is_silent(char: str) -> bool:
    kind = category(char)
    return (kind[0] in "PMZ" or kind in ("Cc", "Cf") or char == "`") and char not in _SPOKEN
