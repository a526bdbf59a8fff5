"""What decoding leaves: tracks, as records that travel between processes. Loads nothing heavy."""

from __future__ import annotations

from typing import Literal

import msgspec

RATE = 24_000
"""Hz of every track; the service's own."""
BYTES = 2
"""Of a sample: signed, 16 bits, little-endian."""

Channels = Literal["mix", "split"] | int
"""All as one, each on its own, or one of them, counted from 0."""


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One channel of a recording, decoded to a file."""

    path: str
    channel: int
    samples: int


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a recording."""

    tracks: tuple[Track, ...]
    duration_s: float
    """Counted from the samples."""
    flags: tuple[str, ...] = ()
    """`truncated` where the recording breaks off or has gaps and that was allowed."""
