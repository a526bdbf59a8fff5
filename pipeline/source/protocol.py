"""What a run asks of the place where recordings lie."""

from __future__ import annotations

import io
from collections.abc import Hashable, Iterator
from typing import NamedTuple, Protocol

IRREGULAR = "not a regular file; remove or rename it."
"""What is wrong with a folder, a pipe or a device that is named as a recording."""


class Entry(NamedTuple):
    """What lies in a folder."""

    name: str
    is_folder: bool
    problem: str = ""
    """Why it cannot be used, and what to do about it."""


class Found(NamedTuple):
    """A recording as its place describes it, before anybody has read it."""

    version: str
    """Another text once the content may be another: size and time, an ETag. As long as it stays the same, the content
    is not looked at again."""
    size_bytes: int
    about_s: float
    """Roughly its length: for the order of work and the progress bar only."""
    is_regular: bool = True
    """False for what cannot be read as a file: a folder, a pipe, a device."""


class Source(Protocol):
    """A place with recordings. A path names one of them, or a folder, as rows of manifests do."""

    def list(self, folder: str) -> Iterator[Entry]:
        """What lies in a folder, in any order, without what lies deeper. Raises OSError where it cannot be listed."""
        ...

    def folder_id(self, folder: str) -> Hashable:
        """The same for each path that leads to a folder: a walk ends where links go in circles. Raises OSError."""
        ...

    def stat(self, path: str) -> Found:
        """What is known of a recording unread. Raises AudioMissing, AudioUnreadable or AudioUnavailable."""
        ...

    def open(self, path: str) -> io.FileIO:
        """The content, unbuffered. Raises AudioMissing, AudioUnreadable or AudioUnavailable."""
        ...

    def fetch(self, path: str) -> str:
        """The path of a local file with the content: what reads all of it and sends it works on local files. Blocking;
        raises as `open` does."""
        ...
