"""The interfaces of storages with recordings: `Store` for remote ones; local files are `local.LocalFiles`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

IRREGULAR = "not a regular file; remove or rename it."
"""The problem of a folder, a pipe or a device that is named as a recording."""


class Entry(NamedTuple):
    """A file or folder in a local folder."""

    name: str
    is_folder: bool
    problem: str = ""
    """Why it cannot be used, and what to do about it."""


class FileInfo(NamedTuple):
    """What the storage says of a recording without reading it."""

    version: str
    """Changes when the content may have changed: size and time, an ETag. While it is the same, the content is not read
    again."""
    size_bytes: int | None
    """None where a server does not tell."""
    estimated_s: float
    """A rough length, for the order of work and the progress bar only."""
    is_regular: bool = True
    """False for a folder, a pipe or a device."""
    is_versioned: bool = True
    """False where its size at most tells whether it was replaced: a copy that broke off is made anew."""


class Listed(NamedTuple):
    """A recording below a prefix."""

    name: str
    """Its address without the prefix, with `/`."""
    info: FileInfo


class Content(NamedTuple):
    """A part of a recording that is being read."""

    info: FileInfo
    chunks: Iterator[bytes]
    """Close it where it is not read to its end. Raises as `Store.get`, and SourceTimeout at the deadline."""


class Store(Protocol):
    """Remote recordings, named by addresses. Blocking; used by many threads at a time.

    Each call is one try, with a deadline; `Sources` repeats it. All methods raise AudioMissing, AudioForbidden,
    AudioUnreadable, AddressRefused, SourceFault, SourceTimeout, SourceUnreachable or SourceUntrusted.
    """

    def stat(self, address: str) -> FileInfo:
        """Describes a recording without reading it."""
        ...

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """All files below a prefix that ends in `/`, in the order of their names, from the first one after the name
        `after` on, a few at a time in memory. Raises AddressRefused where nothing can be listed, as on the web."""
        ...

    def get(self, address: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Content:
        """The bytes from `start` up to `stop`, or to the end. Raises SourceChanged where it has another `version`,
        NoParts where only the whole is handed out."""
        ...

    def close(self) -> None:
        """Closes connections."""
        ...
