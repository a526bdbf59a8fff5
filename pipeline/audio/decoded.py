"""What decoding leaves: tracks, as records that travel between processes. Loads nothing heavy."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from pipeline.profile import GRADIUM

RATE = GRADIUM.sample_rate
"""Hz of every track; the service's own."""
BYTES = 2
"""Of a sample: signed, 16 bits, little-endian."""

Channels = Literal["mix", "split"] | int
"""All as one, each on its own, or one of them, counted from 0."""


class Bounds(msgspec.Struct, frozen=True):
    """Where decoding stops."""

    longest_s: float = math.inf
    most_bytes: float = math.inf
    """Of all tracks together."""


class OutOfRoom(Exception):
    """No error yet: the tracks take more bytes than they were given, and the spool may have more."""


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One channel of a recording, decoded to a file."""

    path: str
    channel: int
    """By which its words are told from others'; 0 for a mix."""
    samples: int
    name: str = ""
    """What the samples are, whatever `audio.channels` was: `ch0` for the first channel, `mix` for several as one."""

    @property
    def names(self) -> tuple[str, ...]:
        """What spans of it are called: an older version named it by its number, a mix too, and kept its answers under
        settings that tell which of them it was. It put no silence where the clock jumps, so its places are others."""
        return (self.name,) if self.name.endswith(ON_CLOCK) else (self.name, str(self.channel))


MIX = "mix"
ON_CLOCK = "_on_clock"
"""Ends the name of a track that has silence where its recording's clock jumps."""


def channel_name(channel: int) -> str:
    """The name of a track that is a channel of its recording."""
    return f"ch{channel}"


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a recording."""

    tracks: tuple[Track, ...]
    duration_s: float
    """Counted from the samples."""
    flags: tuple[str, ...] = ()
    """`truncated` where the recording breaks off or has gaps and that was allowed."""
