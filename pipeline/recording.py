"""Recordings opened for reading: regular files only, never waiting for a writer, and the system's errors as ours.

What is the file's own fault (gone, no right to it, no file at all) is told from what is this machine's (no descriptors
left, a disk or mount that fails), which passes.
"""

from __future__ import annotations

import errno
import io
import os
import stat

from pipeline.errors import AttemptError, AudioMissing, AudioUnavailable, AudioUnreadable

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
        return AudioMissing(f"there is no file {path}")
    kind = AudioUnreadable if error.errno in _OWN_FAULT else AudioUnavailable
    return kind(f"the file cannot be read: {error.strerror or error}")


def same_file(opened: io.FileIO, size_bytes: int, mtime_ns: int) -> bool:
    """Whether the open file is still what was looked at before."""
    now = os.fstat(opened.fileno())
    return (now.st_size, now.st_mtime_ns) == (size_bytes, mtime_ns)
