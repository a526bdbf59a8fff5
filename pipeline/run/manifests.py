"""Which manifest is which: one that is spelled otherwise, or has moved, stays the same; and two that share an
output may not have different audio under one id.

Asks the file system for names; reads local recordings only where an id is claimed twice and lengths are equal, and a
few of a manifest that is missing. Remote recordings are compared by their addresses and versions.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from pipeline.audio.probe import NEVER, read_recording
from pipeline.checkpoint import Checkpoint, Scope
from pipeline.checkpoint.sharing import Claimed, span_of
from pipeline.errors import AttemptError, ManifestError
from pipeline.manifest import STDIN, Input, common_path, without_overlaps
from pipeline.manifest.directory import Folder
from pipeline.manifest.prefix import Prefix
from pipeline.manifest.rows import fragment
from pipeline.model import BadRow, Utterance
from pipeline.queries import unsigned
from pipeline.source.addresses import is_address

TITLED = 3
MOVED_SHARE = 0.5
"""A manifest that is no longer there has moved to where at least so much of what was transcribed for it is now."""


def name_of(manifest: str) -> str:
    """A manifest's name in the checkpoint: its path without links and dots on the way to it, or - for stdin.

    A link that is the manifest itself has its own name, wherever it leads, and an address is its own name.
    """
    if manifest == STDIN or is_address(manifest):
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


def copies(checkpoint: Checkpoint, name: str, out: Path) -> list[str]:
    """Former names of the manifest, where it was copied or moved together with its output, which is in `out` now."""
    if name == STDIN or is_address(name):
        return []
    here = os.path.realpath(out)
    relative = os.path.relpath(name, here)
    return [os.path.normpath(Path(place) / relative) for place in checkpoint.places() if place != here]


class Manifests(Scope):
    """The manifests of one run, by their names in the checkpoint; several parts of one folder have one."""

    def __init__(self, arguments: Sequence[str], parts: Sequence[Input]) -> None:
        self.title = ", ".join(map(unsigned, arguments[:TITLED])) + (
            f" and {len(arguments) - TITLED:,} more" if len(arguments) > TITLED else ""
        )
        """The arguments, in few words, without signatures."""
        self._parts = parts
        self._by_name: dict[str, list[Input]] = {}
        for part in parts:
            self._by_name.setdefault(name_of(part.path), []).append(part)
        self.names = [*self._by_name]
        self.sources = [parts[0].source for parts in self._by_name.values()]
        """What the user calls them."""
        self.place = common_path(part.path for part in parts)
        """Their common name: see `path_of`."""
        self.has_folder = any(part.is_folder for part in parts)

    def rows(self) -> Iterator[tuple[Input, Iterator[Utterance | BadRow], int]]:
        """Each part with its rows and the number of its manifest."""
        for part, rows in without_overlaps(self._parts):
            yield part, rows, self.names.index(name_of(part.path))

    def unmatched(self) -> list[str]:
        """The options --include and --exclude that nothing was named like, once all rows were read."""
        return sorted(
            {option for part in self._parts if isinstance(part, Folder | Prefix) for option in part.unmatched}
        )

    def data_sets(self) -> list[str]:
        """What is to be said of folders that are data sets, once all rows were read."""
        return [part.about for part in self._parts if isinstance(part, Folder | Prefix) and part.about]

    def is_folder(self, manifest: str) -> bool:
        return any(part.is_folder for part in self._by_name.get(manifest, ()))

    def asks_for(self, manifest: str | None, id_: str) -> bool:
        """Rows that this run would have, were they there; those of a manifest's other name may be of any part."""
        return any(part.covers(id_) for part in self._by_name.get(manifest or "", self._parts))


def settle_names(
    checkpoint: Checkpoint, names: Sequence[str], out: Path, stopped: threading.Event = NEVER
) -> list[str]:
    """Finds the names that the scanned manifests went by before, which become their own; returns them.

    Raises ManifestError where an id of one was sent for another manifest with other audio, or Stopped.
    """
    number = {name: at for at, name in enumerate(names)}
    others = [known for known in checkpoint.manifests() if known not in number]
    if not others:
        return []  # nearly always: no row of the scan need be looked up
    before = [(known, number[name]) for known in others if (name := name_of(known)) in number]
    checkpoint.also_named(before)
    copied = {other: at for at, name in enumerate(names) for other in copies(checkpoint, name, out)}
    missing = [
        other
        for other in checkpoint.manifests_sharing_ids()
        if (other in copied or not is_there(other)) and _has_moved(checkpoint, other, stopped)
    ]
    of_file = {Path(name).name: at for at, name in reversed([*enumerate(names)])}
    moved = [(other, copied.get(other, of_file.get(Path(other).name, 0))) for other in missing]
    checkpoint.also_named(moved)
    _refuse_clashes(checkpoint, names, stopped)
    return [known for known, _ in (*before, *moved)]


def is_there(name: str) -> bool:
    """Whether there may be a manifest of that name: it is missing only where the system says so. An address counts as
    there."""
    try:
        return name == STDIN or is_address(name) or bool(Path(name).stat())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True


def _has_moved(checkpoint: Checkpoint, other: str, stopped: threading.Event) -> bool:
    """Whether what was transcribed for a missing manifest is in the scanned one; where nothing was, or its recordings
    are missing as well, whether its rows are."""
    samples = checkpoint.samples_of(other)
    if not samples:
        return checkpoint.share_of_ids(other) >= MOVED_SHARE
    found = missing = others = 0
    for one in samples:
        if one.is_here or any(_hash_of(audio, stopped) == one.audio_hash for audio in one.audio):
            found += 1
        elif one.is_missing:
            missing += 1
        elif one.here is not None:
            others += 1
    least = max(1, MOVED_SHARE * len(samples))
    return found >= least or (not others and found + missing >= least)


def _refuse_clashes(checkpoint: Checkpoint, names: Sequence[str], stopped: threading.Event) -> None:
    count, first = 0, None
    for one in checkpoint.claimed():
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
    if span_of(one.before) != span_of(one.now) or not one.same_size:
        return False
    if one.is_copy:
        return True
    known = one.audio_hash or _hash_of(one.before.audio, stopped)
    return known is not None and known == _hash_of(one.now.audio, stopped)


def _may_be_taken(one: Claimed) -> bool:
    """Whether the id can pass to this manifest: it has no transcript, and its manifest is missing."""
    return one.audio_hash is None and not is_there(one.manifest)


def _hash_of(audio: str, stopped: threading.Event) -> str | None:
    """The hash of a local recording's content; None where it cannot be read, or lies elsewhere."""
    if is_address(audio):
        return None
    try:
        return read_recording(audio, stopped).audio_hash
    except AttemptError:
        return None


def _shown(row: Utterance) -> str:
    return row.audio + fragment(row.offset_s or None, row.duration_s, row.channel)
