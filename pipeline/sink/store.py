"""Storage of an output: files by name, written atomically. Today that is a folder.

An object store would be another class with the methods of `Store`. Where it cannot append to a file, transcripts.jsonl
is rewritten from the parts at the end of a run.
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
"""The errors of a call that a file system does not support."""


class Store(Protocol):
    """Files by name, as `transcripts/part-000001.parquet`. Methods block, and raise OutputError where they fail."""

    def location(self, name: str = "") -> str:
        """The path of a file, or of the output itself, for messages."""

    def names(self, pattern: str) -> list[str]:
        """Names that match a glob pattern."""

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where it does not exist."""

    def version(self, name: str) -> str:
        """Differs where the content of a file may have changed."""

    def read(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Opens a file."""

    def put(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Writes a file: after a clean exit it has its name, durably; after an error the old file stays."""

    def remove(self, name: str) -> None:
        """Removes a file, if it exists, durably."""

    def remove_unfinished(self, *patterns: str) -> None:
        """Removes temporary files that a killed `put` of these names (or patterns) left."""

    def append(self, name: str, lines: Iterable[bytes], committed: int) -> int | None:
        """Appends durably after the first `committed` bytes of a file, and drops what a crash left after them. Returns
        the new size, or None, with nothing written, where the store cannot append."""


class FolderStore:
    """An output in a folder, which has to exist; subfolders are created as needed."""

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
            return path.stat().st_size if os.path.lexists(path) else None  # never over a link that leads nowhere

    def version(self, name: str) -> str:
        with self.as_output_errors(name):
            status = (self._folder / name).stat()
            return f"{status.st_size}:{status.st_mtime_ns}"

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
            if path.parent != self._folder:  # the output folder itself, where removed, is not created again
                path.parent.mkdir(exist_ok=True)
            try:
                with temp.open("wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                temp.replace(path)
            except BaseException:
                with suppress(OSError):  # the first error is the one to report
                    temp.unlink(missing_ok=True)
                raise
            sync_folder(path.parent)

    def remove(self, name: str) -> None:
        path = self._folder / name
        with self.as_output_errors(name):
            if os.path.lexists(path):
                path.unlink()
                sync_folder(path.parent)

    def remove_unfinished(self, *patterns: str) -> None:
        for pattern in patterns:
            folder, _, name = pattern.rpartition("/")
            with self.as_output_errors(folder):
                for path in (self._folder / folder).glob(f".{name}.tmp"):
                    path.unlink()
                    sync_folder(path.parent)

    def append(self, name: str, lines: Iterable[bytes], committed: int) -> int:
        path = self._folder / name
        with self.as_output_errors(name):
            created = not path.exists()
            try:
                with path.open("ab") as file:
                    file.truncate(committed)  # never longer: the caller has checked the size
                    file.seek(committed)
                    file.writelines(lines)
                    file.flush()
                    os.fsync(file.fileno())
                    size = file.tell()
            except OSError:
                with suppress(OSError):
                    os.truncate(path, committed)  # only now: closing writes what was left in the buffer
                raise
            if created:
                sync_folder(path.parent)
        return size

    @contextmanager
    def as_output_errors(self, name: str = "", or_else: str = "") -> Iterator[None]:
        """Turns an OSError into an OutputError with the file and what to do."""
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"the output folder {self._folder} cannot be worked with: {error.strerror or error} "
                f"({error.filename or self._folder / name}); what was answered is kept in its checkpoint, so fix this"
                f"{or_else} and run the same command again"
            ) from error


def keep_copy(path: Path, kept: Path) -> None:
    """Keeps the content of a file under another name: a hard link or a copy. Raises OSError."""
    try:
        kept.hardlink_to(path)
    except OSError as error:
        if error.errno not in (*UNKNOWN_CALL, errno.EPERM):  # EPERM: no hard links
            raise
        shutil.copy2(path, kept)
        sync_file(kept)


def sync_file(path: Path) -> None:
    """Flushes a file to disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flushes the names in a folder to disk, where its file system supports that. Raises OSError."""
    try:
        sync_file(folder)
    except OSError as error:
        if error.errno not in UNKNOWN_CALL:
            raise
