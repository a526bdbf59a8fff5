"""What sclite reads as something else than a word, written so that it is one. Pure."""

from __future__ import annotations

from pipeline.export.formats.fields import word

IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"
"""In place of a reference: the words of that time are not scored."""
_WIDE = {ord(char): chr(ord(char) + 0xFEE0) for char in "{};\\"}
"""Alternatives, tags of a word, and the escape: as their full-width forms, which NFKC turns back."""
_NULL = {"@": "\uff20", IGNORED: IGNORED.replace("_", "-")}


def scored_word(text: str) -> str:
    """The word as one field that sclite takes for a word, in references and hypotheses alike."""
    if text.isalnum():
        return text  # most words, and fast
    found = _NULL.get(text) or word(text).translate(_WIDE)
    return f"\uff1c{found[1:]}" if found[0] == "<" else found  # a label, or the begin of alternatives
