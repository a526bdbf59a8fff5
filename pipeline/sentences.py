"""Parts of sentences that are said in many places: counted nouns, and ids. Pure."""

from __future__ import annotations

from pipeline.outside import visible

ID_CHARS = 60


def plural(count: int, noun: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shown_id(id_: str) -> str:
    """An id within a sentence: escaped where it cannot be seen, cut where it is long."""
    return visible(id_[:ID_CHARS]) + "…" * (len(id_) > ID_CHARS)
