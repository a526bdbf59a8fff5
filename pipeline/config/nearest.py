"""The nearest right name for a misspelt one. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, known: Sequence[str], *, cutoff: float = 0.5) -> str | None:
    """The known name most like `word`; None where none is like it by `cutoff`, of 1."""
    return next(iter(nearest_few(word, known, 1, cutoff=cutoff)), None)


def nearest_few(word: str, known: Sequence[str], count: int = 3, *, cutoff: float = 0.5) -> list[str]:
    """The known names most like `word`, the nearest first; none that are not like it by `cutoff`, of 1."""
    return difflib.get_close_matches(word, known, n=count, cutoff=cutoff)
