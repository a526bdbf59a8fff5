"""Reads a folder as a manifest: every audio file below it is one utterance.

Lists folders and asks what their entries are; opens no file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from pipeline.errors import EmptyFolder, ManifestError
from pipeline.manifest.rows import MAX_ID_CHARS, is_id, printable
from pipeline.model import BadRow, NamedByPath, Utterance

AUDIO_EXTENSIONS = (
    ".3gp",
    ".aac",
    ".aif",
    ".aiff",
    ".amr",
    ".caf",
    ".flac",
    ".m4a",
    ".m4b",
    ".mka",
    ".mp3",
    ".mp4",
    ".oga",
    ".ogg",
    ".opus",
    ".wav",
    ".wave",
    ".webm",
    ".wma",
)
"""Endings of the file names a folder is searched for, in any case."""


ENTRIES_A_STEP = 1_000


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


def read(source: str, extensions: Sequence[str], on_step: Callable[[], None] = go_on) -> Iterator[Utterance | BadRow]:
    """The audio files below a folder, in the order of their names; an id is the path below it, with `/`.

    Hidden entries are left out; symlinks are followed, a loop once. Only the names of the folders on the current
    path are in memory. `on_step` is called for each folder and for every thousand entries of one.
    Raises `ManifestError` when the folder cannot be listed or nothing below it is audio.
    """
    endings = normalized(extensions)
    # abspath, not resolve: the symlinks in the user's path stay
    top = os.path.join(os.path.abspath(source), "")  # noqa: PTH100, PTH118  the walk works on plain strings
    try:
        levels = [Level("", identity(top), iter(entries(top, endings, on_step)))]
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
                    levels.append(Level(f"{relative}/", at, iter(entries(top + relative, endings, on_step))))
                continue
            except OSError as error:
                problem = f"the folder cannot be listed: {error.strerror}; check its rights."
        empty = False
        yield record(source, top, relative, problem)
    if empty:
        raise EmptyFolder(f"{source}: no audio below this folder; looked for {' '.join(endings)}.")


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


def entries(folder: str, endings: tuple[str, ...], on_step: Callable[[], None]) -> list[Found]:
    """The subfolders and audio files of one folder, sorted by name; raises OSError when it cannot be listed."""
    on_step()
    found = []
    with os.scandir(folder) as listing:
        for number, entry in enumerate(listing):
            if number % ENTRIES_A_STEP == ENTRIES_A_STEP - 1:
                on_step()
            if entry.name.startswith("."):
                continue
            audio = entry.name.lower().endswith(endings)
            try:
                if entry.is_dir():
                    found.append(Found(entry.name, below=True))
                elif audio:
                    # a dangling symlink stays in: its utterance says that the audio is missing
                    usable = entry.is_file() or entry.is_symlink()
                    problem = "" if usable else "not a regular file; remove or rename it."
                    found.append(Found(entry.name, below=False, problem=problem))
            except OSError as error:  # a symlink to itself, a disk that fails
                if audio:
                    found.append(Found(entry.name, below=False, problem=f"{error.strerror}; repair or remove it."))
    found.sort(key=attrgetter("name"))  # whole entries would take four times as long, which nothing can interrupt
    return found


def identity(folder: str) -> tuple[int, int]:
    """What tells one folder from another, whatever the path that leads to it."""
    status = os.stat(folder)  # noqa: PTH116  the walk works on plain strings
    return status.st_dev, status.st_ino
