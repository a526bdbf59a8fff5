"""Word error rate of a transcript against its reference, counted the way open speech leaderboards do.

Pure. Case and punctuation do not count; words do.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec

_PUNCTUATION = re.compile(r"[^\w\s']|_")
_LOOSE_APOSTROPHE = re.compile(r"(?<!\w)'|'(?!\w)")
_TYPOGRAPHIC_APOSTROPHE = re.compile(r"[\u2018\u2019\u02bc]")


class WordErrors(msgspec.Struct, frozen=True, kw_only=True):
    """Substitutions, deletions and insertions, and the reference words they are counted against."""

    errors: int
    words: int

    @property
    def wer(self) -> float | None:
        """Errors per reference word; None where the reference has no words."""
        return self.errors / self.words if self.words else None


def compare(reference: str, hypothesis: str) -> WordErrors:
    """Aligns two texts word by word."""
    import jiwer  # only where there are references

    expected, actual = normalized(reference), normalized(hypothesis)
    if not expected or not actual:
        return WordErrors(errors=len(expected.split()) + len(actual.split()), words=len(expected.split()))
    found = jiwer.process_words(expected, actual)
    return WordErrors(
        errors=found.substitutions + found.deletions + found.insertions,
        words=found.hits + found.substitutions + found.deletions,
    )


def normalized(text: str) -> str:
    """Lower case, composed letters, no punctuation except apostrophes within words, single spaces."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = _PUNCTUATION.sub(" ", _TYPOGRAPHIC_APOSTROPHE.sub("'", text))
    return " ".join(_LOOSE_APOSTROPHE.sub(" ", text).split())
