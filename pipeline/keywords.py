"""The keywords of a manifest row: words to prefer in its recording, as the row has them. Pure: no I/O."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

KEYWORDS = "keywords"
"""The column of metadata that shapes the answer."""


@lru_cache(maxsize=1_024)
def keywords_in(written: str) -> tuple[str, ...]:
    """The words of a field: a JSON list, as lists in manifests are kept, or text with commas, semicolons or blanks
    between them; sorted and distinct. Empty if it is neither."""
    try:
        is_list = written.lstrip().startswith(("[", "{"))
        words = msgspec.json.decode(written, type=list[str]) if is_list else re.split(r"[\s,;]+", written)
    except (msgspec.DecodeError, RecursionError):
        return ()
    return tuple(sorted({*words} - {""}))
