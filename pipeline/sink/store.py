"""Where an output is kept: files by name, each of which appears whole or not at all. Today that is a folder.

`Store` is all that is asked of it, so that an object store is one more class here. One that cannot append to a file, as
a folder can, says so: transcripts.jsonl is then written anew from the parts when a run ends.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from pipeline.errors import OutputError

UNKNOWN_CALL = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system says to a call that it does not know."""


class Store(Protocol):
    """Files by name, as `transcripts/part-000001.parquet`. Methods block, and raise OutputError where they fail."""

    def location(self, name: str = "") -> str:
        """What a message calls a file, or without a name the output itself."""

    def names(self, pattern: str) -> list[str]:
        """Names that match a glob pattern."""

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""

    def read(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Opens a file."""

    def put(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Writes a file: on a clean exit it takes its name durably, after an error what had the name stays."""

    def remove(self, name: str) -> None:
        """Removes a file, where there is one."""

    def remove_unfinished(self, *patterns: str) -> None:
        """Removes what `put` left of files of these names, or patterns of names, in a process that was killed."""

    def append(self, name: str, lines: Iterable[bytes], committed: int) -> int | None:
        """Appends durably behind the first `committed` bytes of a file, and drops what a crash left behind them.
        Returns the new number of bytes, or None where the store cannot append: then nothing was done."""


class FolderStore:
    """An output in a folder, which has to exist; folders in it are made as they are needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def location(self, name: str = "") -> str:
        return str(self._folder / name)

    def names(self, pattern: str) -> list[str]:
        with self.as_output_errors():
            return [path.relative_to(self._folder).as_posix() for path in self._folder.glob(pattern)]

    def size(self, name: str) -> int | None:
        path = self._folder / name
        with self.as_output_errors(name):
            return path.stat().st_size if path.exists() else None

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        with (
            self.as_output_errors(name, " or run gradium-batch rebuild on it"),
            (self._folder / name).open("rb") as file,
        ):
            yield file

    @contextmanager
    def put(self, name: str) -> Iterator[BinaryIO]:
        path = self._folder / name
        temp = path.with_name(f".{path.name}.tmp")
        with self.as_output_errors(name):
            if path.parent != self._folder:  # which was removed where it is not there, and stays so
                path.parent.mkdir(exist_ok=True)
            try:
                with temp.open("wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                temp.replace(path)
            except BaseException:
                temp.unlink(missing_ok=True)
                raise
            sync_folder(path.parent)

    def remove(self, name: str) -> None:
        with self.as_output_errors(name):
            (self._folder / name).unlink(missing_ok=True)

    def remove_unfinished(self, *patterns: str) -> None:
        for pattern in patterns:
            folder, _, name = pattern.rpartition("/")
            with self.as_output_errors(folder):
                for path in (self._folder / folder).glob(f".{name}.tmp"):
                    path.unlink()

    def append(self, name: str, lines: Iterable[bytes], committed: int) -> int:
        path = self._folder / name
        created = not path.exists()
        with self.as_output_errors(name):
            with path.open("ab") as file:
                try:
                    file.truncate(committed)  # never longer: the caller has seen that so much is there
                    file.seek(committed)
                    file.writelines(lines)
                    file.flush()
                    os.fsync(file.fileno())
                    size = file.tell()
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(file.fileno(), committed)  # half a line is worse than none
                    raise
            if created:
                sync_folder(path.parent)
        return size

    @contextmanager
    def as_output_errors(self, name: str = "", or_else: str = "") -> Iterator[None]:
        """Raises faults of the system as OutputError, which names the file and says what to do."""
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"the output folder {self._folder} cannot be worked with: {error.strerror or error} "
                f"({error.filename or self._folder / name}); what was answered is kept in its checkpoint, so fix this"
                f"{or_else} and run the same command again"
            ) from error


def keep_copy(path: Path, kept: Path) -> None:
    """Has the content of a file stay under another name when its own is given to another file. Raises OSError."""
    try:
        kept.hardlink_to(path)
    except OSError as error:
        if error.errno not in (*UNKNOWN_CALL, errno.EPERM):  # the last one is what file systems without hard links say
            raise
        shutil.copy2(path, kept)
        sync_file(kept)


def sync_file(path: Path) -> None:
    """Makes the content of a file survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power cut, where its file system can: many network file systems cannot.
    Raises OSError."""
    try:
        sync_file(folder)
    except OSError as error:
        if error.errno not in UNKNOWN_CALL:
            raise
