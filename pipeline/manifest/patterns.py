"""Globs as they stand in a .gitignore, for paths below a folder. Pure.

Without a slash a pattern is of names at any depth, with one of paths from the folder; what matches a folder matches
all below it. `*` and `?` match no slash, `**` any folders.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from pipeline.errors import ManifestError

MAGIC = re.compile(r"[*?[]")
_TOKENS = re.compile(r"\\(.)|((?:(?<=/)|^)\*\*(?:/|$))|(\*+)|(\?)|\[([!^]?)(\]?[^\]]*)\]|(.)", re.DOTALL)


def is_glob(text: str) -> bool:
    """Whether text has what stands for other characters in a glob."""
    return bool(MAGIC.search(text))


def ending(pattern: str) -> str:
    """The ending that a pattern names, such as `.dat` of `*.dat`, in lower case; "" where it leaves that open."""
    found = os.path.splitext(pattern)[1]
    return "" if is_glob(found) or "/" in found else found.lower()


def compiled(patterns: Sequence[str], *, hides_dots: bool) -> re.Pattern[str] | None:
    """What matches the paths that one of these patterns names, and with `hides_dots` hidden ones only where it names
    their dot, as in shells; None for no patterns. Raises ManifestError for a pattern that cannot be one."""
    if not patterns:
        return None
    try:
        return re.compile("|".join(f"(?:{_translated(one, hides_dots=hides_dots)})" for one in patterns), re.DOTALL)
    except re.error as error:
        raise ManifestError(f"{', '.join(map(repr, patterns))}: no pattern that can be read: {error}") from None


def _translated(pattern: str, *, hides_dots: bool) -> str:
    if not pattern.strip("/") or pattern.startswith("!"):
        raise ManifestError(f"{pattern!r} is no pattern; name files or folders, as in '*.wav', 'calls/**' or 'tmp/'")
    no_dot = r"(?!\.)" if hides_dots else ""
    folders = f"(?:{no_dot}[^/]+/)*"
    body = pattern.removeprefix("./").strip("/")
    written = "" if "/" in pattern.removeprefix("./").rstrip("/") else folders
    at_start = True
    for escaped, deep, many, one, negated, members, plain in _TOKENS.findall(body):
        dot = no_dot if at_start else ""
        if escaped or plain:
            written += re.escape(escaped or plain)
        elif deep:
            written += folders if deep.endswith("/") else f"{folders}{no_dot}[^/]+"
        elif many:
            written += f"{dot}[^/]*"
        elif one:
            written += f"{dot}[^/]"
        else:
            members = re.sub(r"([\\\[\]^&~|])", r"\\\1", members)
            written += f"{dot}(?!/)[{'^' if negated else ''}{members}]"
        at_start = plain == "/" or bool(deep)
    below = f"(?:/{no_dot}[^/]+)*/?$"
    return written + (f"(?=/){below}" if pattern.endswith("/") else below)
