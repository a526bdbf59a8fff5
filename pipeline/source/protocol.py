"""The interface of a storage with recordings."""

from __future__ import annotations

import io
from collections.abc import Hashable, Iterator
from typing import NamedTuple, Protocol

IRREGULAR = "not a regular file; remove or rename it."
"""The problem of a folder, a pipe or a device that is named as a recording."""


class Entry(NamedTuple):
    """A file or folder in a folder."""

    name: str
    is_folder: bool
    problem: str = ""
    """Why it cannot be used, and what to do about it."""


class FileInfo(NamedTuple):
    """What the storage says of a recording without reading it."""

    version: str
    """Changes when the content may have changed: size and time, an ETag. While it is the same, the content is not read
    again."""
    size_bytes: int
    estimated_s: float
    """A rough length, for the order of work and the progress bar only."""
    is_regular: bool = True
    """False for a folder, a pipe or a device."""


class Source(Protocol):
    """A storage with recordings and folders of them, named by paths as in rows of manifests."""

    def list(self, folder: str) -> Iterator[Entry]:
        """The entries of a folder, in any order, without those of its subfolders. Raises OSError."""
        ...

    def folder_id(self, folder: str) -> Hashable:
        """The same for all paths of a folder, so that a walk can detect cycles of links. Raises OSError."""
        ...

    def stat(self, path: str) -> FileInfo:
        """Describes a recording without reading it. Raises AudioMissing, AudioUnreadable or AudioUnavailable."""
        ...

    def open(self, path: str) -> io.FileIO:
        """The content, unbuffered. Raises AudioMissing, AudioUnreadable or AudioUnavailable."""
        ...

    def fetch(self, path: str) -> str:
        """The path of a local file with the content, from which it is hashed and sent. Blocking; raises as `open`."""
        ...
