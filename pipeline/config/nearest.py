"""The nearest right name for a misspelt one. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known name most like `word`; None where none is much like it."""
    return next(iter(nearest_few(word, known, 1)), None)


def nearest_few(word: str, known: Sequence[str], count: int = 3) -> list[str]:
    """The known names most like `word`, the nearest first; none that are not much like it."""
    return difflib.get_close_matches(word, known, n=count, cutoff=0.5)
