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
    found = os.path.splitext(pattern)[1]  # noqa: PTH122
    return "" if is_glob(found) or "/" in found else found.lower()


class Pick:
    """Which files below a folder are wanted. Hidden ones are only where an include names their dot, as in shells."""

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        """Raises ManifestError for a pattern that cannot be one."""
        self._include = _together(include, hides_dots=True)
        self._exclude = _together(exclude, hides_dots=False)
        self.endings = tuple({found for one in include if (found := ending(one))})
        """Those that an include names: such files are recordings to it, whatever else has that ending."""
        self.wants_hidden = any(_names_a_dot(one) for one in include)
        self._unmatched = {f"--include {one!r}": _together([one], hides_dots=True) for one in include} | {
            f"--exclude {one!r}": _together([one], hides_dots=False) for one in exclude
        }

    @property
    def unmatched(self) -> list[str]:
        """The patterns that nothing was named like so far, as options of the command."""
        return [*self._unmatched]

    def note(self, path: str) -> None:
        """Takes notice of a file, or of a folder, whose path ends in a slash."""
        for option in [option for option, one in self._unmatched.items() if one and one.match(path)]:
            del self._unmatched[option]

    def takes(self, path: str) -> bool:
        """Whether a file of this path below the folder is wanted."""
        if self._exclude is not None and self._exclude.match(path):
            return False
        return self._include is None or bool(self._include.match(path))

    def skips(self, folder: str) -> bool:
        """Whether nothing below a folder is wanted."""
        return self._exclude is not None and bool(self._exclude.match(f"{folder}/"))


class Glob:
    """A glob that files are named by, as a shell would expand it, and all below the folders that it names."""

    def __init__(self, pattern: str) -> None:
        """Raises ManifestError for a pattern that cannot be one."""
        self._whole = _together([f"/{pattern}"], hides_dots=True)
        names = pattern.strip("/").split("/")
        known = names[: names.index("**")] if "**" in names else names
        self._beginnings = [_together([f"/{'/'.join(known[: n + 1])}"], hides_dots=True) for n in range(len(known))]
        self.ending = ending(pattern)
        self.wants_hidden = _names_a_dot(pattern)

    def takes(self, path: str) -> bool:
        """Whether it names a file of this path."""
        return self._whole is not None and bool(self._whole.match(path))

    def may_hold(self, folder: str) -> bool:
        """Whether it may name something below a folder; asked of the folders above it before."""
        depth = folder.count("/")
        return depth >= len(self._beginnings) or bool((one := self._beginnings[depth]) and one.match(folder))


def _names_a_dot(pattern: str) -> bool:
    return "/." in f"/{pattern.removeprefix('./')}"


def _together(patterns: Sequence[str], *, hides_dots: bool) -> re.Pattern[str] | None:
    if not patterns:
        return None
    try:
        return re.compile("|".join(f"(?:{_translated(one, hides_dots=hides_dots)})" for one in patterns), re.DOTALL)
    except re.error as error:
        raise ManifestError(f"{', '.join(map(repr, patterns))}: no pattern that can be read: {error}") from None


def _translated(pattern: str, *, hides_dots: bool) -> str:
    """The regular expression for a pattern."""
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
            written += f"{dot}(?!/)[{'^' if negated else ''}{_members(members)}]"
        at_start = plain == "/" or bool(deep)
    below = f"(?:/{no_dot}[^/]+)*/?$"
    return written + (f"(?=/){below}" if pattern.endswith("/") else below)


def _members(text: str) -> str:
    """What stands in the brackets of a glob, for those of a regular expression."""
    return re.sub(r"([\\\[\]^&~|])", r"\\\1", text)
