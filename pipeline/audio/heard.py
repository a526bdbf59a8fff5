"""How far a recording decodes: its length by its samples, and what is done where it breaks off before its end."""

from __future__ import annotations

import math

from pipeline.errors import AudioEmpty, AudioTruncated, AudioUnreadable, RecordingTooLong

EDGE_S = 0.5
"""Lost at either end this much is what cutting and tagging a file by hand does to it."""
_SHARE = 0.01
_MOST_S = 5.0
_LEAST_BITS_PER_S = 100


class Heard:
    """Counts what was decoded. Changes while a recording is read."""

    def __init__(self, *, allow_truncated: bool, longest_s: float = math.inf) -> None:
        self._longest_s = longest_s
        self._allowed = allow_truncated
        self._first_fault = ""
        self.seconds = 0.0
        self.truncated = False
        self.has_jumps = False
        """Silence was put where the recording's clock jumps."""

    def add(self, seconds: float) -> None:
        """So much more was decoded. Raises RecordingTooLong where that is more than is taken."""
        self.seconds += seconds
        check_length(self.seconds, self._longest_s)

    def note(self, reason: str) -> None:
        """Keeps the first reason why something did not decode, in case nothing does."""
        self._first_fault = self._first_fault or reason

    def broke(self, reason: str) -> None:
        """The audio breaks here: raises AudioTruncated, or lets it through with the flag."""
        if not self._allowed:
            raise AudioTruncated(
                f"the file decodes for {self.seconds:.1f} s, then: {reason}; "
                "audio.allow_truncated = true transcribes what decodes"
            )
        self.truncated = True

    def ended(self, declared_s: float | None, size_bytes: int) -> None:
        """The last sample was read. Raises AudioEmpty, AudioUnreadable or AudioTruncated.

        `declared_s` is a length that the header counts and does not guess.
        """
        if not self.seconds:
            if self._first_fault:
                raise AudioUnreadable(f"nothing in the file decodes: {self._first_fault}")
            raise AudioEmpty("the file holds no samples")
        if declared_s is None or is_placeholder(declared_s, size_bytes):
            return
        if self.seconds < declared_s - max(EDGE_S, min(_MOST_S, _SHARE * declared_s)):
            self.broke(f"the file ends, though its header promises {declared_s:.1f} s")


def is_placeholder(length_s: float, size_bytes: int) -> bool:
    """Whether no codec fits so many seconds into these bytes: the writer did not know the length, or it is a lie."""
    return size_bytes * 8 < length_s * _LEAST_BITS_PER_S


def refuse_cut_short(seconds: float, declared_s: float, size_bytes: int) -> None:
    """Raises AudioTruncated for a file of which not as much is there as its header promises."""
    heard = Heard(allow_truncated=False)
    heard.seconds = seconds
    heard.ended(declared_s, max(size_bytes, 1))


def check_length(seconds: float, longest_s: float) -> None:
    """Raises RecordingTooLong for more seconds than are taken."""
    if seconds > longest_s:
        raise RecordingTooLong(
            f"the recording is longer than the {longest_s / 3600:g} h of audio.max_recording_h; cut it, or raise that "
            "and run with --only failed"
        )
