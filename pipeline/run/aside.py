"""The old checkpoint out of the way of a new one, with what SQLite keeps beside it; and a rebuild that came to no end.

The new one is made under a name that tells which old one it is made from, and takes its own when it is whole.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pipeline.durable import sync_file, sync_folder
from pipeline.errors import OutputError

_NEW, _OLD, _OLDER, _END = ".checkpoint.rebuilt-", "checkpoint.old-", "checkpoint.damaged-", ".sqlite"
_SUFFIXES = ("-wal", "-shm", "")  # the file itself last: while it has its name, the others may still be to be moved


def unfinished(out: Path) -> Path | None:
    """What a rebuild that came to no end has made so far."""
    return max(out.glob(f"{_NEW}*{_END}"), default=None)


def set_aside(path: Path) -> tuple[Path, Path | None]:
    """Moves the checkpoint at `path` aside. Returns where a new one is to be made, and where the old one lies now (None
    where there was none); after a rebuild that came to no end, what that one set aside. Raises OutputError."""
    try:
        new = unfinished(path.parent)
        if new is None or (path.exists() and _old_of(new).exists()):
            new = path.with_name(f"{_NEW}{datetime.now(UTC):%Y%m%d-%H%M%S-%f}{_END}")
        for suffix in _SUFFIXES:
            _beside(new, suffix).unlink(missing_ok=True)
        new.touch()
        old = _old_of(new)
        for suffix in _SUFFIXES:
            if _beside(path, suffix).exists():
                _beside(path, suffix).rename(_beside(old, suffix))
        sync_folder(path.parent)
        return new, old if old.exists() else None
    except OSError as error:
        raise OutputError(f"the old checkpoint {path} cannot be moved aside: {error.strerror}") from error


def put_in_place(new: Path, path: Path) -> None:
    """Gives the new checkpoint its name, durably. Raises OutputError."""
    try:
        sync_file(new)
        new.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError(
            f"the new checkpoint cannot become {path}: {error.strerror}; mend this and do it again"
        ) from (error)


def _old_of(new: Path) -> Path:
    older = new.with_name(
        new.name.replace(_NEW, _OLDER)
    )  # as a version of this program that called all of them so left it
    return older if older.exists() else new.with_name(new.name.replace(_NEW, _OLD))


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
