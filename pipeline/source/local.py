"""Local files as a source of recordings: regular files only, so that opening one never blocks.

Errors of the file (missing, not readable, no regular file) are told apart from temporary ones of the machine (no
descriptors left, a failing disk or mount).
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Hashable, Iterator

import msgspec

from pipeline.errors import AttemptError, AudioMissing, AudioUnavailable, AudioUnreadable
from pipeline.model import FileVersion
from pipeline.source.protocol import IRREGULAR, Entry, FileInfo
from pipeline.source.spelling import hint

_MISSING = (errno.ENOENT, errno.ENOTDIR)
_FILE_ERRORS = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL)
_BYTES_PER_S = {".wav": 32_000, ".flac": 16_000}
_COMPRESSED_BYTES_PER_S = 4_000
"""Typical bytes of a second of audio."""


class LocalFiles:
    """Recordings by their absolute paths."""

    def list(self, folder: str) -> Iterator[Entry]:
        """The entries of a folder, in any order, without those of its subfolders. Raises OSError."""
        with os.scandir(folder) as listing:
            for entry in listing:
                try:
                    is_folder, problem = entry.is_dir(), ""
                except OSError as error:  # a symlink to itself, a disk that fails
                    is_folder, problem = False, f"{error.strerror}; repair or remove it."
                # a broken link counts as a recording, which is missing
                if not (is_folder or problem or entry.is_file() or entry.is_symlink()):
                    problem = IRREGULAR
                yield Entry(entry.name, is_folder, problem)

    def folder_id(self, folder: str) -> Hashable:
        """The same for all paths of a folder, so that a walk can detect cycles of links. Raises OSError."""
        found = os.stat(folder)
        return found.st_dev, found.st_ino

    def stat(self, path: str) -> FileInfo:
        """Describes a recording without reading it. Raises AudioMissing, AudioUnreadable or AudioUnavailable."""
        found = _status(path)
        size = found.st_size
        return FileInfo(local_version(found), size, estimated_s(path, size), stat.S_ISREG(found.st_mode))

    def open(self, path: str) -> io.FileIO:
        """The content, unbuffered. Raises AudioMissing, AudioUnreadable or AudioUnavailable."""
        return open_recording(path)


def estimated_s(path: str, size_bytes: int) -> float:
    """A rough length of a recording by its name and size, in seconds."""
    return size_bytes / _BYTES_PER_S.get(os.path.splitext(path)[1].lower(), _COMPRESSED_BYTES_PER_S)


def open_recording(path: str) -> io.FileIO:
    """A local file, unbuffered. Raises AudioMissing, AudioUnreadable or AudioUnavailable."""
    try:
        # opening a pipe would block until it has a writer
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise read_error(path, error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AudioUnreadable("the path names no regular file")
    return io.FileIO(descriptor, "rb")


def read_error(path: str, error: OSError | ValueError) -> AttemptError:
    """The AttemptError for a file that could not be opened or read."""
    if isinstance(error, ValueError):
        return AudioUnreadable(f"the path names no file: {error}")
    if error.errno in _MISSING:
        return AudioMissing(f"there is no file {path}{hint(path)}")
    kind = AudioUnreadable if error.errno in _FILE_ERRORS else AudioUnavailable
    return kind(f"the file cannot be read: {error.strerror or error}")


def local_version(found: os.stat_result) -> str:
    """Size and mtime, by which a later run sees whether a file may have changed."""
    return f"{found.st_size}:{found.st_mtime_ns}"


def file_version(found: os.stat_result) -> FileVersion:
    """Also detects a replacement of the same size and mtime, between hashing and sending."""
    return FileVersion(found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)


def file_version_at(path: str) -> FileVersion:
    """The current version of the file at a path. Raises AudioMissing, AudioUnreadable or AudioUnavailable."""
    return file_version(_status(path))


def same_file(opened: io.FileIO, version: FileVersion) -> bool:
    """Whether the open file still has this version; one that was only deleted has."""
    now = os.fstat(opened.fileno())
    found = file_version(now)
    if not now.st_nlink:  # deleting it changed its ctime
        found = msgspec.structs.replace(found, ctime_ns=version.ctime_ns)
    return found == version


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except (OSError, ValueError) as error:
        raise read_error(path, error) from None
