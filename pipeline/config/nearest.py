"""The nearest right name for a misspelt one. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known name most like `word`; None where none is much like it."""
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.5)), None)
