"""Recordings opened for reading: regular files only, never waiting for a writer, and the system's errors as ours.

The file's own faults (missing, no permission, not a file) are told apart from this machine's (no descriptors left, a
disk or mount that fails), which may pass.
"""

from __future__ import annotations

import errno
import io
import os
import stat

import msgspec

from pipeline.errors import AttemptError, AudioMissing, AudioUnavailable, AudioUnreadable
from pipeline.model import FileVersion
from pipeline.spelling import hint

_GONE = (errno.ENOENT, errno.ENOTDIR)
_OWN_FAULT = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL)


def open_recording(path: str) -> io.FileIO:
    """The file, unbuffered. Raises AudioMissing, AudioUnreadable or AudioUnavailable."""
    try:
        # a pipe would block until somebody writes into it, and all other requests with it
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise fault(path, error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AudioUnreadable("the path names no regular file")
    return io.FileIO(descriptor, "rb")


def fault(path: str, error: OSError | ValueError) -> AttemptError:
    """What it means that the file could not be opened or read."""
    if isinstance(error, ValueError):
        return AudioUnreadable(f"the path names no file: {error}")
    if error.errno in _GONE:
        return AudioMissing(f"there is no file {path}{hint(path)}")
    kind = AudioUnreadable if error.errno in _OWN_FAULT else AudioUnavailable
    return kind(f"the file cannot be read: {error.strerror or error}")


def version_of(found: os.stat_result) -> FileVersion:
    """What was found, as a version."""
    return FileVersion(found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)


def same_file(opened: io.FileIO, version: FileVersion) -> bool:
    """Whether the open file is still what was looked at before; its bytes are, where it was only taken away."""
    now = os.fstat(opened.fileno())
    found = version_of(now)
    if not now.st_nlink:  # which took its last name, and so changed its ctime
        found = msgspec.structs.replace(found, ctime_ns=version.ctime_ns)
    return found == version
