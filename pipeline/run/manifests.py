"""Which manifest is which: one that is named in another way, or has moved, is the one it was; and two that share an
output may not mean different audio by one id.

Asks the file system for names; reads recordings only where an id is claimed twice and their lengths are equal.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from pipeline.audio.look import look
from pipeline.checkpoint.sharing import Claimed, Shared, claimed, manifests, shared, take_over
from pipeline.errors import AttemptError, ManifestError

STDIN = "-"
MOVED_SHARE = 0.5
"""A manifest that is no longer there has moved to where at least so many of its rows, of the same lengths, are now."""


def name_of(manifest: str) -> str:
    """A manifest's name in the checkpoint: its path without links and dots on the way to it, or - for stdin.

    A link that is the manifest itself has its own name, wherever it leads.
    """
    path = Path(manifest).absolute()
    if manifest == STDIN:
        return manifest
    # realpath, because Path.resolve raises where links go round in a circle
    if path.name in ("", ".."):
        return os.path.realpath(path)
    return str(Path(os.path.realpath(path.parent)) / path.name)


def settle_names(connection: sqlite3.Connection, name: str) -> list[str]:
    """Finds the names that the scanned manifest went by before, which become its own; returns them.

    Raises ManifestError where an id of it was sent for another manifest with other audio.
    """
    others = [known for known in manifests(connection) if known != name]
    if not others:
        return []  # nearly always: no row of the scan need be looked up
    before = [known for known in others if name_of(known) == name]
    take_over(connection, before)
    moved = [one.name for one in shared(connection) if _has_moved(one)]
    take_over(connection, moved)
    _refuse_clashes(connection, name)
    return [*before, *moved]


def is_there(name: str) -> bool:
    """Whether there may be a manifest of that name: only where the system says that there is none it is gone."""
    try:
        return name == STDIN or bool(Path(name).stat())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True


def _has_moved(other: Shared) -> bool:
    return not is_there(other.name) and other.same_size >= max(1, MOVED_SHARE * other.known)


def _refuse_clashes(connection: sqlite3.Connection, name: str) -> None:
    count, first = 0, None
    for one in claimed(connection):
        if not _is_same_audio(one):
            count, first = count + 1, first or one
    if first is not None:
        more = f" (and {count - 1:,} more ids)" if count > 1 else ""
        raise ManifestError(
            f"{name}: id {first.now.id!r} is {first.now.audio} here, and {first.before.audio} in {first.manifest}, "
            f"which shares this output{more}; nothing was sent: give one manifest other ids, or another --out"
        )


def _is_same_audio(one: Claimed) -> bool:
    if not one.same_size:
        return False
    if one.same_time:
        return True
    try:
        return look(one.now.audio).audio_hash == one.audio_hash
    except AttemptError:
        return False
