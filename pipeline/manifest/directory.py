"""Reads a folder as a manifest: every audio file below it is one utterance.

Lists folders and asks what their entries are; opens no file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from pipeline.errors import EmptyFolder, ManifestError
from pipeline.manifest.ignored import EXCLUDED, HIDDEN, Ignored
from pipeline.manifest.patterns import Glob, Pick
from pipeline.manifest.rows import MAX_ID_CHARS, is_id, printable
from pipeline.model import BadRow, NamedByPath, Utterance

ENTRIES_A_STEP = 1_000
IRREGULAR = "not a regular file; remove or rename it."


class Found(NamedTuple):
    """An entry of a folder: `below` for a folder, else a file; `problem` where it cannot be used."""

    name: str
    below: bool
    problem: str = ""


class Level(NamedTuple):
    """A folder on the current path: what its files' ids start with, which folder it is, what is left of it."""

    prefix: str
    identity: tuple[int, int]
    entries: Iterator[Found]


def normalized(extensions: Sequence[str]) -> tuple[str, ...]:
    """Extensions in lower case with their dot."""
    return tuple("." + extension.lower().lstrip(".") for extension in extensions)


def go_on() -> None:
    """The step of a search that nobody wants to end."""


class Search:
    """What is looked for below a folder, and what of it was left out."""

    def __init__(
        self,
        extensions: Sequence[str],
        *,
        glob: Glob | None = None,
        pick: Pick | None = None,
        on_step: Callable[[], None] = go_on,
        ignored: Ignored | None = None,
    ) -> None:
        """Without `glob` and `pick` everything is wanted that is audio by its name and not hidden. `on_step` is called
        for each folder and for every thousand entries of one; it may raise to end the search."""
        self.endings = normalized(extensions)
        self.glob, self.pick = glob, pick
        self.on_step = on_step
        self.ignored = Ignored() if ignored is None else ignored
        self.wants_hidden = any(one is not None and one.wants_hidden for one in (glob, pick))
        self.named = self.endings
        if glob is not None and glob.ending:
            self.named += (glob.ending,)
        if pick is not None:
            self.named += pick.endings

    def asks_for(self, path: str) -> bool:
        """Whether the file of this path below the folder would be found, were it there."""
        is_hidden = "/." in f"/{path}" and not self.wants_hidden
        return not is_hidden and path.lower().endswith(self.named) and self.is_named(path) and self.takes(path)

    def is_named(self, path: str) -> bool:
        """Whether the glob names a file; what it does not name is not left out, but was never meant."""
        return self.glob is None or self.glob.takes(path)

    def takes(self, path: str) -> bool:
        """Whether a file is picked."""
        return self.pick is None or self.pick.takes(path)

    def skips(self, folder: str) -> bool:
        """Whether nothing below a folder is wanted; where that is for the pick, it is left out."""
        if self.glob is not None and not self.glob.may_hold(folder):
            return True
        if self.pick is not None and self.pick.skips(folder):
            self.ignored.folders[EXCLUDED] += 1
            return True
        return False


def read(folder: str, search: Search, source: str) -> Iterator[Utterance | BadRow]:
    """The audio files below a folder, in the order of their names; an id is the path below it, with `/`.

    Symlinks are followed, a loop once. Only the names of the folders on the current path are in memory.
    `source` is how the user calls it. Raises `ManifestError` when the folder cannot be listed or a glob names nothing
    below it, `EmptyFolder` when nothing else there is wanted.
    """
    # abspath, not resolve: the symlinks in the user's path stay
    top = os.path.join(os.path.abspath(folder), "")  # noqa: PTH100, PTH118  the walk works on plain strings
    try:
        levels = [Level("", identity(top), iter(entries(top, "", search)))]
    except OSError as error:
        raise ManifestError(f"{source}: the folder cannot be listed: {error.strerror}; check its rights.") from error
    empty = True
    while levels:
        entry = next(levels[-1].entries, None)
        if entry is None:
            levels.pop()
            continue
        relative = levels[-1].prefix + entry.name
        problem = entry.problem
        if entry.below:
            try:
                at = identity(top + relative)
                if all(at != level.identity for level in levels):  # else a symlink back to a folder we are in
                    levels.append(Level(f"{relative}/", at, iter(entries(top, f"{relative}/", search))))
                continue
            except OSError as error:
                problem = f"the folder cannot be listed: {error.strerror}; check its rights."
        empty = False
        yield record(source, top, relative, problem)
    if empty:
        left_out = f" ({search.ignored})" if str(search.ignored) else ""
        if search.glob is not None:
            raise ManifestError(f"{source}: no recording is named like that{left_out}.")
        raise EmptyFolder(f"{source}: no audio below this folder{left_out}; looked for {' '.join(search.endings)}.")


def record(source: str, top: str, relative: str, problem: str) -> Utterance | BadRow:
    """The record of one file, or of a folder that cannot be used."""
    name = printable(relative)
    if not problem and any(0xDC80 <= ord(char) <= 0xDCFF for char in relative):
        problem = "the name is not UTF-8, which the output cannot hold; rename it."
    elif not problem and name != relative:
        problem = "the name holds control characters, which no id may; rename it."
    elif not problem and not is_id(relative):
        problem = (
            f"the path is over {MAX_ID_CHARS:,} characters, too long for an id; use a manifest with an `id` column."
        )
    if problem:
        return BadRow(manifest=source, line=None, message=f"{name}: {problem}", id=name if is_id(name) else None)
    return NamedByPath(id=relative, audio=top + relative)


def entries(top: str, prefix: str, search: Search) -> list[Found]:
    """The subfolders and audio files of one folder, sorted by name; raises OSError when it cannot be listed."""
    search.on_step()
    found, named, ignored = [], search.named, search.ignored
    has_glob, is_narrow = search.glob is not None, search.glob is not None or search.pick is not None
    with os.scandir(top + prefix) as listing:
        for number, entry in enumerate(listing):
            if number % ENTRIES_A_STEP == ENTRIES_A_STEP - 1:
                search.on_step()
            name = entry.name
            try:
                below, problem = entry.is_dir(), ""
            except OSError as error:  # a symlink to itself, a disk that fails
                below, problem = False, f"{error.strerror}; repair or remove it."
            if has_glob and not below and not search.is_named(prefix + name):
                continue
            if search.pick is not None and search.pick.unmatched:
                search.pick.note(f"{prefix}{name}{'/' * below}")
            if name[0] == "." and not search.wants_hidden:
                (ignored.folders if below else ignored.files)[HIDDEN] += 1
            elif below:
                if not (is_narrow and search.skips(prefix + name)):
                    found.append(Found(name, below=True))
            elif not name.lower().endswith(named):
                ignored.note(name)
            elif is_narrow and not search.takes(prefix + name):
                ignored.files[HIDDEN if name[0] == "." else EXCLUDED] += 1
            else:
                # a dangling symlink stays in: its utterance says that the audio is missing
                is_usable = problem or entry.is_file() or entry.is_symlink()
                found.append(Found(name, False, problem if is_usable else IRREGULAR))
    found.sort(key=attrgetter("name"))  # whole entries would take four times as long, which nothing can interrupt
    return found


def identity(folder: str) -> tuple[int, int]:
    """What tells one folder from another, whatever the path that leads to it."""
    status = os.stat(folder)  # noqa: PTH116  the walk works on plain strings
    return status.st_dev, status.st_ino
