"""What decoding makes of a recording: tracks of one channel, as records that travel between processes; how far it came,
and whether what is missing at the end is an error.

Loads nothing heavy.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from pipeline.errors import AudioEmpty, AudioTruncated, AudioUnreadable, RecordingTooLong

SAMPLE_RATE = 24_000
"""Hz of every track: the service's own, to which it would resample anything else."""
SAMPLE_BYTES = 2
"""Signed, 16 bits, little-endian."""
DAMAGED = "its data is damaged"
EDGE_S = 0.5
"""Cutting and tagging files by hand loses up to so much at either end: that is no damage."""
_TOLERANCE, _MAX_TOLERANCE_S = 0.01, 5.0
_MIN_BITS_PER_S = 100

Channels = Literal["mix", "split"] | int
"""All channels mixed, a track for each, or one of them, counted from 0."""

MIX = "mix"
ON_CLOCK = "_on_clock"
"""Ends the name of a track with silence where the timestamps of its recording jump."""


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
        """The names that keys of its spans may have. Older versions named a track by its channel's number, a mix too,
        under settings that tell which of them it was; they put no silence where timestamps jump."""
        return (self.name,) if self.name.endswith(ON_CLOCK) else (self.name, str(self.channel))


def channel_name(channel: int) -> str:
    """The name of a track that is a channel of its recording."""
    return f"ch{channel}"


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """The tracks of a recording."""

    tracks: tuple[Track, ...]
    duration_s: float
    """Counted from the samples."""
    flags: tuple[str, ...] = ()
    """`truncated` where the recording breaks off or has gaps and that was allowed."""


class DecodeProgress:
    """How far a recording was decoded, and what a fault in it means. Changes while it is decoded."""

    def __init__(self, *, allow_truncated: bool, longest_s: float = math.inf) -> None:
        self._allow_truncated = allow_truncated
        self._longest_s = longest_s
        self.seconds = 0.0
        self.is_damaged = False
        """Something did not decode."""
        self.is_truncated = False
        self.has_gaps = False
        """Silence was put where the recording's timestamps jump."""

    def add(self, seconds: float) -> None:
        """So much more was decoded. Raises RecordingTooLong where that is more than is taken."""
        self.seconds += seconds
        check_length(self.seconds, self._longest_s)

    def truncate(self, reason: str) -> None:
        """Audio is missing here: raises AudioTruncated, or sets the flag where that is allowed."""
        if not self._allow_truncated:
            raise AudioTruncated(
                f"the file decodes for {self.seconds:.1f} s, then: {reason}; "
                "audio.allow_truncated = true transcribes what decodes"
            )
        self.is_truncated = True

    def finish(self, declared_s: float | None, size_bytes: int) -> None:
        """The last sample was decoded. Raises AudioEmpty, AudioUnreadable or AudioTruncated.

        `declared_s` is a length that the header counts and does not estimate.
        """
        if not self.seconds:
            if self.is_damaged:
                raise AudioUnreadable(f"nothing in the file decodes: {DAMAGED}")
            raise AudioEmpty("the file holds no samples")
        if declared_s is None or is_implausible(declared_s, size_bytes):
            return
        if self.seconds < declared_s - max(EDGE_S, min(_MAX_TOLERANCE_S, _TOLERANCE * declared_s)):
            self.truncate(f"the file ends, though its header promises {declared_s:.1f} s")


def is_implausible(length_s: float, size_bytes: int) -> bool:
    """Whether no codec fits so many seconds into these bytes: the header's length is a placeholder, or wrong."""
    return size_bytes * 8 < length_s * _MIN_BITS_PER_S


def check_declared(seconds: float, declared_s: float, size_bytes: int) -> None:
    """Raises AudioTruncated for a file that holds fewer `seconds` than its header declares."""
    progress = DecodeProgress(allow_truncated=False)
    progress.seconds = seconds
    progress.finish(declared_s, max(size_bytes, 1))


def check_length(seconds: float, longest_s: float) -> None:
    """Raises RecordingTooLong for more seconds than are taken."""
    if seconds > longest_s:
        raise RecordingTooLong(
            f"the recording is longer than the {longest_s / 3600:g} h of audio.max_recording_h; cut it, or raise that "
            "and run with --only failed"
        )


def discard(path: str) -> None:
    """Deletes what was written in vain; never a device, to which a path may lead on an odd machine."""
    with suppress(OSError):
        if Path(path).is_symlink() or Path(path).is_file():
            Path(path).unlink()
