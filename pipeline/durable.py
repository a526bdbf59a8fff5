"""Files that appear whole or not at all: temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNKNOWN = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system says to a call that it does not know."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on a clean exit its content takes the name of `path`, durably.

    On an error the temporary file is removed and `path` is as it was. Raises OSError as the file system gives it.
    """
    temp = path.with_name(f".{path.name}.tmp")
    try:
        yield temp
        sync_file(temp)
        temp.replace(path)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def keep_as(path: Path, aside: Path) -> None:
    """Has the file stay as it is under another name, also when its own comes to be another's."""
    try:
        aside.hardlink_to(path)
    except OSError as error:
        if error.errno not in (*UNKNOWN, errno.EPERM):  # the last one is what file systems without hard links say
            raise
        shutil.copy2(path, aside)
        sync_file(aside)


def sync_file(path: Path) -> None:
    """Makes the content of `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` survive a power cut, where its file system can: many of the network cannot."""
    try:
        sync_file(folder)
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
