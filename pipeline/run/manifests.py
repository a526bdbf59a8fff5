"""Which manifest is which: one that is named in another way, or has moved, is the one it was; and two that share an
output may not mean different audio by one id.

Asks the file system for names; reads recordings only where an id is claimed twice and lengths are equal, and a few of
a manifest that is gone.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Collection, Sequence
from pathlib import Path

from pipeline.audio.probe import NEVER, look
from pipeline.checkpoint.sharing import (
    Claimed,
    claimed,
    manifests,
    places,
    sample,
    share_of_ids,
    shared,
    span_of,
    take_over,
)
from pipeline.errors import AttemptError, ManifestError
from pipeline.manifest.rows import fragment
from pipeline.manifest.source import STDIN
from pipeline.model import Utterance

MOVED_SHARE = 0.5
"""A manifest that is no longer there has moved to where at least so much of what was transcribed for it is now."""


def name_of(manifest: str) -> str:
    """A manifest's name in the checkpoint: its path without links and dots on the way to it, or - for stdin.

    A link that is the manifest itself has its own name, wherever it leads.
    """
    if manifest == STDIN:
        return manifest
    path = Path(manifest).absolute()
    # realpath, because Path.resolve raises where links go round in a circle
    if path.name in ("", ".."):
        return os.path.realpath(path)
    return str(Path(os.path.realpath(path.parent)) / path.name)


def may_be(noted: str, name: str, copied: Collection[str]) -> bool:
    """Whether a manifest that was noted by one name may be that of another: it is, or it has moved there, or it was
    copied; `copied` is what `copies` returns."""
    return name in (noted, name_of(noted)) or not is_there(noted) or noted in copied


def copies(connection: sqlite3.Connection, name: str, out: Path) -> list[str]:
    """What the manifest's name was where it was copied, or moved, together with its output, which is in `out` now."""
    if name == STDIN:
        return []
    here = os.path.realpath(out)
    way = os.path.relpath(name, here)
    return [os.path.normpath(Path(place) / way) for place in places(connection) if place != here]


def settle_names(
    connection: sqlite3.Connection, names: Sequence[str], out: Path, stopped: threading.Event = NEVER
) -> list[str]:
    """Finds the names that the scanned manifests went by before, which become their own; returns them.

    Raises ManifestError where an id of one was sent for another manifest with other audio, or Stopped.
    """
    number = {name: at for at, name in enumerate(names)}
    others = [known for known in manifests(connection) if known not in number]
    if not others:
        return []  # nearly always: no row of the scan need be looked up
    before = [(known, number[name]) for known in others if (name := name_of(known)) in number]
    take_over(connection, before)
    copied = {other: at for at, name in enumerate(names) for other in copies(connection, name, out)}
    gone = [
        other
        for other in shared(connection)
        if (other in copied or not is_there(other)) and _has_moved(connection, other, stopped)
    ]
    of_file = {Path(name).name: at for at, name in reversed([*enumerate(names)])}
    moved = [(other, copied.get(other, of_file.get(Path(other).name, 0))) for other in gone]
    take_over(connection, moved)
    _refuse_clashes(connection, names, stopped)
    return [known for known, _ in (*before, *moved)]


def is_there(name: str) -> bool:
    """Whether there may be a manifest of that name: only where the system says that there is none it is gone."""
    try:
        return name == STDIN or bool(Path(name).stat())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True


def _has_moved(connection: sqlite3.Connection, other: str, stopped: threading.Event) -> bool:
    """Whether what was transcribed for a manifest that is gone is in the one of the scan now; where nothing was, or the
    recordings are gone as well, whether its rows are."""
    samples = sample(connection, other)
    if not samples:
        return share_of_ids(connection, other) >= MOVED_SHARE
    found = missing = others = 0
    for one in samples:
        if any(_hash_of(audio, stopped) == one.audio_hash for audio in one.audio):
            found += 1
        elif one.is_missing:
            missing += 1
        elif one.here is not None:
            others += 1
    least = max(1, MOVED_SHARE * len(samples))
    return found >= least or (not others and found + missing >= least)


def _refuse_clashes(connection: sqlite3.Connection, names: Sequence[str], stopped: threading.Event) -> None:
    count, first = 0, None
    for one in claimed(connection):
        if not _may_be_taken(one) and not _is_same_audio(one, stopped):
            count, first = count + 1, first or one
    if first is None:
        return
    more = "" if count == 1 else " (and 1 more id)" if count == 2 else f" (and {count - 1:,} more ids)"
    hint = "give one manifest other ids, or another --out"
    if not is_there(first.manifest):
        hint = f"{first.manifest} is gone: put it back to go on with it, give this manifest other ids, or another --out"
    raise ManifestError(
        f"{names[first.source]}: id {first.now.id!r} is {_shown(first.now)} here, "
        f"and {_shown(first.before)} in {first.manifest}, which shares this output{more}; nothing was sent: {hint}"
    )


def _is_same_audio(one: Claimed, stopped: threading.Event) -> bool:
    if span_of(one.before) != span_of(one.now):
        return False
    if not one.same_size:
        return False
    known = one.audio_hash or _hash_of(one.before.audio, stopped)
    return known is not None and known == _hash_of(one.now.audio, stopped)


def _may_be_taken(one: Claimed) -> bool:
    """Nothing is lost where there is no transcript, and nobody who will ask for one."""
    return one.audio_hash is None and not is_there(one.manifest)


def _hash_of(audio: str, stopped: threading.Event) -> str | None:
    """The hash of a recording's content; None where it cannot be read."""
    try:
        return look(audio, stopped).audio_hash
    except AttemptError:
        return None


def _shown(row: Utterance) -> str:
    return row.audio + fragment(row.offset_s or None, row.duration_s, row.channel)
