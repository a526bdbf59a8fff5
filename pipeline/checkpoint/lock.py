"""One run per output folder: an flock on OUT/run.lock, which the kernel releases when its owner dies.

The text in the file only informs people.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pipeline.built import built
from pipeline.errors import OutputError, OutputGone, OutputHeld

LOOKS, LOOK_S = 5, 0.02
"""How often, and how far apart, the lock is tried: `at_work` takes it for a moment."""
_OWNER = re.compile(r"pid (\d{1,10}), started (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC)")


@built
class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The run that works on an output, as its lock file names it."""

    pid: int | None
    since: str | None
    """As `2026-11-28 23:00:00 UTC`."""

    def __str__(self) -> str:
        return "at work" if self.pid is None else f"at work, pid {self.pid}, since {self.since}"


class OutputLock:
    """The lock on a folder, and which files it had when it was locked."""

    def __init__(self, out: Path, descriptor: int) -> None:
        self.is_new = os.fstat(descriptor).st_size == 0
        """No run has locked it before."""
        self._out = out
        self._descriptor = descriptor
        self._watched: dict[Path, os.stat_result] = {}
        """Other files of the folder that may not be replaced."""

    @property
    def is_there(self) -> bool:
        """Whether run.lock is still the locked file: otherwise another run could lock another one."""
        return _is_still(_path(self._out), os.fstat(self._descriptor))

    def watch(self, path: Path) -> None:
        """Has `check` also compare this file."""
        self._watched[path] = path.stat()

    def check(self) -> None:
        """Raises OutputGone where the folder was removed or replaced since it was locked."""
        if not (self.is_there and all(_is_still(path, known) for path, known in self._watched.items())):
            raise OutputGone(
                f"the output folder {self._out}, or its run.lock or checkpoint, was removed or replaced while this run "
                "worked on it; nothing more is sent, and what was answered is in that folder, if there still is one"
            )

    def remove_lock(self) -> None:
        """Deletes the lock file. A run that has opened it meanwhile notices and creates another."""
        if self.is_there:
            _path(self._out).unlink()


@contextmanager
def hold_output(out: Path) -> Iterator[OutputLock]:
    """Holds `out` for the length of the block. Raises OutputHeld naming the owner, or OutputError."""
    while True:
        descriptor = _open(out)
        try:
            held = _take(out, descriptor)
            if held.is_there:
                _sign(out, descriptor)
                yield held
                return
        finally:  # where it is not there, its last owner deleted it: try again
            os.close(descriptor)


def at_work(out: Path) -> Owner | None:
    """The run that holds `out`; None where there is none, or it cannot be found out."""
    try:
        descriptor = os.open(_path(out), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # released with the descriptor
    except BlockingIOError:
        found = _OWNER.fullmatch(_signed(descriptor))
        return Owner(pid=int(found[1]) if found else None, since=found[2] if found else None)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def _is_still(path: Path, known: os.stat_result) -> bool:
    """Whether a path still leads to this file."""
    try:
        found = os.stat(path)  # noqa: PTH116 asked before each call on the checkpoint
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # a mount that fails does not show that it was replaced
        return True
    return os.path.samestat(found, known)


def _path(out: Path) -> Path:
    return out / "run.lock"


def _open(out: Path) -> int:
    try:
        return os.open(_path(out), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except FileNotFoundError:
        raise OutputError(f"the output folder {out} was removed just now; run the same command again") from None
    except OSError as error:
        raise OutputError(f"the lock {_path(out)} cannot be taken: {error.strerror}; move it away") from error


def _sign(out: Path, descriptor: int) -> None:
    owner = f"pid {os.getpid()}, started {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n"
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner.encode(), 0)
    except OSError as error:
        raise OutputError(f"the lock {_path(out)} cannot be written: {error.strerror}; make room first") from error


def _take(out: Path, descriptor: int) -> OutputLock:
    for left in reversed(range(LOOKS)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if not left:
                owner = _signed(descriptor) or "its pid is not known yet"
                raise OutputHeld(
                    f"another run works on {out} ({owner}); wait for it, or choose another --out"
                ) from None
            time.sleep(LOOK_S)
        except OSError as error:  # mostly of a network file system
            raise OutputError(
                f"the output folder {out} cannot be locked: {error.strerror}; its file system has no locks, so nothing "
                "was sent: choose an --out on a local disk"
            ) from None
    return OutputLock(out, descriptor)


def _signed(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
