"""Decides which files of a folder are recordings, and counts the others by extension. No input or output.

Patterns are globs as in a .gitignore: without a slash one matches names at any depth, with one paths from the folder;
one that matches a folder matches all below it. `*` and `?` match no slash, `**` any folders.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence

from pipeline.errors import ManifestError
from pipeline.formats import AUDIO_EXTENSIONS
from pipeline.texts import plural

MAX_COUNTED, MAX_SHOWN = 1_000, 8
"""Extensions that are counted, and that are named in messages; the others are summed up."""
MAX_EXTENSION_CHARS = 16
HIDDEN, EXCLUDED, NO_EXTENSION, OTHER = "hidden", "excluded", "without an ending", "other"
LAST = (OTHER, EXCLUDED, HIDDEN)
_MAGIC = re.compile(r"[*?[]")
_TOKENS = re.compile(r"\\(.)|((?:(?<=/)|^)\*\*(?:/|$))|(\*+)|(\?)|\[([!^]?)(\]?[^\]]*)\]|(.)", re.DOTALL)


class Ignored:
    """Counts the files and folders that are no rows."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        """By extension, or by the reason for which they are ignored."""
        self.folders: Counter[str] = Counter()

    def note(self, name: str) -> None:
        """Counts a file that is no recording by its extension."""
        kind = os.path.splitext(name)[1].lower()
        is_odd = not kind.isprintable() or len(kind) > MAX_EXTENSION_CHARS or " " in kind
        is_one_too_many = kind not in self.files and len(self.files) >= MAX_COUNTED
        self.files[OTHER if is_odd or is_one_too_many else kind or NO_EXTENSION] += 1

    def used(self, name: str) -> None:
        """Takes back a file that was counted, because it is read after all."""
        kind = os.path.splitext(name)[1].lower()
        if self.files[kind] > 0:
            self.files[kind] -= 1
        self.files += Counter()  # without those that are 0

    def counts(self) -> dict[str, int]:
        """Files by extension or reason, the most first."""
        return dict(sorted(self.files.items(), key=lambda one: (one[0] in LAST, -one[1], one[0])))

    def __str__(self) -> str:
        """`ignored 3 files: .txt 2, .mkv~ 1`; empty if there are none."""
        groups = []
        if self.files:
            named = [(name, count) for name, count in self.counts().items() if name != OTHER]
            shown = [one for one in named if one[0] not in LAST][:MAX_SHOWN] + [one for one in named if one[0] in LAST]
            parts = [f"{name} {count:,}" for name, count in shown]
            if rest := self.files.total() - sum(count for _, count in shown):
                parts.append(f"{OTHER} {rest:,}")
            groups.append(f"{plural(self.files.total(), 'file')}: {', '.join(parts)}")
        if self.folders:
            parts = [f"{name} {count:,}" for name, count in sorted(self.folders.items())]
            groups.append(f"{plural(self.folders.total(), 'folder')}: {', '.join(parts)}")
        return f"ignored {'; '.join(groups)}" if groups else ""


class Search:
    """The files to find below a folder, and counts of those ignored."""

    def __init__(
        self,
        *,
        glob: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        on_step: Callable[[], None] = lambda: None,
        ignored: Ignored | None = None,
    ) -> None:
        """Without patterns a search finds all files with an audio extension that are not hidden. A glob matches as in a
        shell, and all below the folders that it matches. `on_step` is called for each folder and each thousand entries;
        it may raise to end the search. Raises ManifestError for an invalid pattern.
        """
        naming = [*include] if glob is None else [*include, glob]
        self.extensions = AUDIO_EXTENSIONS + tuple({found for one in naming if (found := extension_of(one))})
        """In lower case; a pattern may add others."""
        self.finds_hidden = any("/." in f"/{one.removeprefix('./')}" for one in naming)
        self.has_glob, self.is_narrow = glob is not None, bool(glob is not None or include or exclude)
        self.on_step = on_step
        self.ignored = Ignored() if ignored is None else ignored
        self._include = compiled(include, hides_dots=True)
        self._exclude = compiled(exclude, hides_dots=False)
        self.unmatched = {
            f"--{option} {pattern!r}": one
            for option, patterns in (("include", include), ("exclude", exclude))
            for pattern in patterns
            if (one := compiled([pattern], hides_dots=option == "include")) is not None
        }
        """The options that have matched nothing so far, with their patterns."""
        self._glob, self._folders = None, []
        if glob is not None:
            self._glob = compiled([f"/{glob}"], hides_dots=True)
            names = glob.strip("/").split("/")
            known = names[: names.index("**")] if "**" in names else names
            self._folders = [compiled([f"/{'/'.join(known[: n + 1])}"], hides_dots=True) for n in range(len(known))]

    def takes(self, above: str, name: str, *, is_folder: bool) -> bool:
        """Whether a file is found, or a folder searched, in the folder of the path `above`, "" or with `/` at its end.
        Counts what is ignored."""
        path = above + name
        if self.has_glob and not is_folder and not self.matches_glob(path):
            return False
        if self.unmatched:
            self.note(f"{path}{'/' * is_folder}")
        if name[:1] == "." and not self.finds_hidden:
            (self.ignored.folders if is_folder else self.ignored.files)[HIDDEN] += 1
            return False
        if is_folder:
            return not (self.is_narrow and self.skips(path))
        if not name.lower().endswith(self.extensions):
            self.ignored.note(name)
            return False
        if self.is_narrow and not self.is_included(path):
            self.ignored.files[HIDDEN if name[0] == "." else EXCLUDED] += 1
            return False
        return True

    def note(self, path: str) -> None:
        """Takes the path of each file found, and of each folder, with a slash at its end, for `unmatched`."""
        for option in [option for option, one in self.unmatched.items() if one.match(path)]:
            del self.unmatched[option]

    def covers(self, path: str) -> bool:
        """Whether a file with this path below the folder, if there were one, would be found."""
        is_hidden = "/." in f"/{path}" and not self.finds_hidden
        return (
            not is_hidden
            and path.lower().endswith(self.extensions)
            and self.matches_glob(path)
            and self.is_included(path)
        )

    def matches_glob(self, path: str) -> bool:
        """Whether the glob matches a file; others do not count as ignored."""
        return self._glob is None or bool(self._glob.match(path))

    def is_included(self, path: str) -> bool:
        """Whether a file is included, and not excluded."""
        if self._exclude is not None and self._exclude.match(path):
            return False
        return self._include is None or bool(self._include.match(path))

    def skips(self, folder: str) -> bool:
        """Whether nothing below a folder can match, whose parents were not skipped. Excluded ones count as ignored."""
        depth = folder.count("/")
        if depth < len(self._folders) and (one := self._folders[depth]) and not one.match(folder):
            return True
        if self._exclude is not None and self._exclude.match(f"{folder}/"):
            self.ignored.folders[EXCLUDED] += 1
            return True
        return False


def is_glob(text: str) -> bool:
    """Whether text has a wildcard of globs."""
    return bool(_MAGIC.search(text))


def extension_of(pattern: str) -> str:
    """The extension that a pattern requires, such as `.dat` for `*.dat`, in lower case; "" for none."""
    found = os.path.splitext(pattern)[1]
    return "" if is_glob(found) or "/" in found else found.lower()


def compiled(patterns: Sequence[str], *, hides_dots: bool) -> re.Pattern[str] | None:
    """A regular expression for the paths that match one of these patterns; None without patterns. With `hides_dots`
    wildcards match no dot at the start of a name, as in shells. Raises ManifestError for an invalid pattern."""
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
