"""What a format of an export is: one that writes a file for each recording, or one whose files have lines of all rows.

Both are pure: the engine reads the rows, decides what has changed, names files and writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from pipeline.model import Transcript


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one recording that share no time of one channel: the whole of it, or spans and channels of it."""

    audio: str
    """Where it lies."""
    rows: tuple[Transcript, ...]
    """By `offset_s`, then in the order of the manifest; never empty. Their times are from `offset_s`: `spoken` puts
    them on the recording's clock."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The file of one recording."""

    text: str
    """With line ends as the format wants them; written as UTF-8."""
    exceeded: Mapping[str, int] = {}
    """How often each limit was exceeded, by what the user is told: `cues longer than 7 s`."""


class DocumentFormat(Protocol):
    """A format with one file for each recording."""

    suffix: str
    """Of its files, as `.srt`."""
    needs_words: bool
    """Whether it reads `words` and `segments`; else they are empty, which is much faster."""

    def document(self, recording: Recording) -> Document:
        """The file of a recording."""


class LineFormat(Protocol):
    """A format of one or a few files, in which each row has lines of its own, or none."""

    files: tuple[str, ...]
    """Their names; what ends in `.gz` is compressed by the engine."""
    needs_words: bool
    header: tuple[bytes, ...]
    """What each of the files begins with."""

    def lines(self, row: Transcript) -> tuple[bytes, ...]:
        """The lines of a row in each of the files: whole lines with their ends, several, or b"". Depends on nothing
        but the row."""

    def place(self, row: Transcript) -> bytes | None:
        """What the lines are sorted by; None: as the manifest."""
