"""The result of decoding, single-channel tracks, in types that are passed between processes; and checks of length.

Imports no codec library.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from pipeline.errors import AudioEmpty, AudioTruncated, AudioUnreadable, RecordingTooLong
from pipeline.profile import GRADIUM

SAMPLE_RATE = GRADIUM.sample_rate
"""Hz of every track: the service would resample anything else."""
SAMPLE_BYTES = 2
"""Signed, 16 bits, little-endian."""
DAMAGED = "its data is damaged"
EDGE_S = 0.5
"""Audio that may be missing at either end without an error: editors and taggers cut that much."""
_TOLERANCE, _MAX_TOLERANCE_S = 0.01, 5.0
_MIN_BITS_PER_S = 100

Channels = Literal["mix", "split"] | int
"""All channels mixed, a track for each, or one of them, counted from 0."""

MIX = "mix"
ON_CLOCK = "_on_clock"
"""Suffix of a track name: silence was inserted where the recording's timestamps have gaps."""


class DecodeLimits(msgspec.Struct, frozen=True):
    """Where decoding stops."""

    max_s: float = math.inf
    max_bytes: float = math.inf
    """Of all tracks together."""


class OutOfSpace(Exception):
    """The tracks take more bytes than allowed; the spool may then allow more."""


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One channel of a recording, decoded to a file."""

    path: str
    channel: int
    """Of its words in the output; 0 for a mix."""
    samples: int
    name: str = ""
    """`ch0` for the first channel, `mix` for a mix of several: the same whatever `audio.channels` was."""

    @property
    def names(self) -> tuple[str, ...]:
        """The track names under which its clips may be stored. Older versions named every track, even a mix, by channel
        number, and did not insert silence into timestamp gaps."""
        return (self.name,) if self.name.endswith(ON_CLOCK) else (self.name, str(self.channel))


def channel_name(channel: int) -> str:
    """The name of a track that is one channel of its recording."""
    return f"ch{channel}"


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """The tracks of a recording."""

    tracks: tuple[Track, ...]
    duration_s: float
    """Counted from the samples."""
    issues: tuple[str, ...] = ()
    """`truncated` where audio is missing and that was allowed."""


class DecodeProgress:
    """How far a recording is decoded, and which errors follow from its damage. Mutable."""

    def __init__(self, *, allow_truncated: bool, max_s: float = math.inf) -> None:
        self._allow_truncated = allow_truncated
        self._max_s = max_s
        self.seconds = 0.0
        self.is_damaged = False
        """Some of it did not decode."""
        self.is_truncated = False
        self.has_gaps = False
        """Silence was put into gaps between the recording's timestamps."""

    def add(self, seconds: float) -> None:
        """Counts more decoded audio. Raises RecordingTooLong."""
        self.seconds += seconds
        check_length(self.seconds, self._max_s)

    def truncate(self, reason: str) -> None:
        """Marks that audio is missing here. Raises AudioTruncated unless that is allowed."""
        if not self._allow_truncated:
            raise AudioTruncated(
                f"the file decodes for {self.seconds:.1f} s, then: {reason}; "
                "audio.allow_truncated = true transcribes what decodes"
            )
        self.is_truncated = True

    def finish(self, declared_s: float | None, size_bytes: int) -> None:
        """Checks the whole length. Raises AudioEmpty, AudioUnreadable or AudioTruncated.

        `declared_s` is an exact length from the header, not an estimate; None if there is none.
        """
        if not self.seconds:
            if self.is_damaged:
                raise AudioUnreadable(f"nothing in the file decodes: {DAMAGED}")
            raise AudioEmpty("the file holds no samples")
        if declared_s is None or is_implausible(declared_s, size_bytes):
            return
        if self.seconds < declared_s - max(EDGE_S, min(_MAX_TOLERANCE_S, _TOLERANCE * declared_s)):
            self.truncate(f"the file ends, although its header says {declared_s:.1f} s")


def is_implausible(length_s: float, size_bytes: int) -> bool:
    """Whether no codec could store this length in these bytes, so that the header must be wrong."""
    return size_bytes * 8 < length_s * _MIN_BITS_PER_S


def check_length(seconds: float, max_s: float) -> None:
    """Raises RecordingTooLong above the limit."""
    if seconds > max_s:
        raise RecordingTooLong(
            f"the recording is longer than the {max_s / 3600:g} h of audio.max_recording_h; cut it, or raise that "
            "and run with --only failed"
        )


def discard(path: str) -> None:
    """Deletes a file or a link, but never a device file."""
    with suppress(OSError):
        if Path(path).is_symlink() or Path(path).is_file():
            Path(path).unlink()
