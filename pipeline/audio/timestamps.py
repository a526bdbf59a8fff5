"""Finds gaps between the timestamps of a recording, which become silence, so that later times stay right.

Timestamps count from the start of the file, which in MPEG-TS and the like is the first timestamp of any stream. Where
they are reset, or jump further than the recording can be long, they are ignored, and no silence is added.
"""

from __future__ import annotations

from collections.abc import Iterator

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer

_FROM_ZERO = ("asf", "matroska")
"""Formats whose length counts from timestamp 0,"""
_FROM_START = ("flv", "mov")
"""from the first sample,"""
_FROM_ANYWHERE = ("mpeg", "mpegts")
"""and from an arbitrary timestamp."""
_TIMESTAMPED = (*_FROM_ZERO, *_FROM_START, *_FROM_ANYWHERE)
_COUNTING = ("flac", "ogg")
"""Formats whose timestamps count samples: a gap means missing data, elsewhere perhaps a pause of the recorder."""
_MIN_GAP_S = 0.05
_LATE_S = 0.15
"""A later start counts as a gap; codecs delay the first sample by less."""
_RESET_S = -0.5
"""Timestamps that go back further were reset; others are only rounded."""
_TRUSTED_GAP_S = 60.0
"""Shorter gaps are always followed: the recorder may have left out silence."""
_SEEN = 100
"""Packets from which the bytes per second are estimated."""
_PLAUSIBLE = (0.75, 1.5)
"""Range of the file's size relative to its declared length at that rate."""


def format_name(container: InputContainer) -> str:
    """FFmpeg's name of the container format, without its aliases."""
    return container.format.name.partition(",")[0]


def has_timestamps(container: InputContainer) -> bool:
    """Whether packets have timestamps with gaps for silence."""
    return format_name(container) in _TIMESTAMPED


def header_end_s(container: InputContainer, stream: AudioStream) -> float | None:
    """The timestamp of the end of the audio by the headers: an estimate where they count no samples."""
    if stream.duration is not None and stream.time_base is not None:
        length_s = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        length_s = container.duration / av.time_base
    else:
        return None
    start_s = 0.0 if stream.start_time is None else float(stream.start_time * (stream.time_base or 0))
    counts_from_start = format_name(container) in (*_FROM_START, *_FROM_ANYWHERE)
    late_s = start_s - _zero_s(container) if counts_from_start else 0.0
    return max(0.0, length_s + (late_s if late_s >= _LATE_S else 0.0))


def _zero_s(container: InputContainer) -> float:
    """The timestamp of the start of the recording."""
    return (container.start_time or 0) / av.time_base if format_name(container) in _FROM_ANYWHERE else 0.0


class Timestamps:
    """Compares timestamps with the samples decoded so far."""

    def __init__(self, container: InputContainer, end_s: float | None) -> None:
        self.count_samples = format_name(container) in _COUNTING
        self.ignored_s = 0.0
        """Of gaps that were too long to be followed."""
        self._are_followed = has_timestamps(container)
        self._left_s = (end_s or 0.0) / 2
        """Of gaps longer than _TRUSTED_GAP_S that may still be followed."""
        self._next_s = _zero_s(container) if self._are_followed else None
        """The timestamp of the next sample if there is no gap."""
        self._min_gap_s = _LATE_S

    def gap_s(self, now_s: float | None, length_s: float) -> float:
        """The silence to insert before a packet of `length_s` with the timestamp `now_s`; 0 for a gap that is too
        short to matter or too long to be true."""
        if now_s is None or not (self.count_samples or self._are_followed):
            self.add(length_s)
            return 0.0
        gap_s = 0.0 if self._next_s is None else now_s - self._next_s
        if _RESET_S < gap_s < self._min_gap_s and self._next_s is not None:
            self.add(length_s)
            gap_s = 0.0
        else:
            self._next_s = now_s + length_s
        self._min_gap_s = _MIN_GAP_S
        gap_s = max(0.0, gap_s)
        if self._are_followed and gap_s > _TRUSTED_GAP_S:
            if gap_s > self._left_s:
                self.ignored_s += gap_s
                return 0.0
            self._left_s -= gap_s
        return gap_s

    def add(self, seconds: float) -> None:
        """Counts audio without a timestamp."""
        if self._next_s is not None:
            self._next_s += seconds


def played_s(container: InputContainer, stream: AudioStream, size_bytes: int) -> float | None:
    """Seconds that will be decoded, with the silence in gaps: by the headers, or by the packets where the file's size
    is implausible for the headers' length. Reads packets from the container."""
    end_s = header_end_s(container, stream)
    if not end_s or not has_timestamps(container) or len(container.streams) > 1:
        return end_s
    timestamps = Timestamps(container, end_s)
    seen_bytes = total_s = 0.0
    for number, (now_s, length_s, count) in enumerate(_packets(container, stream), 1):
        seen_bytes += count
        total_s += timestamps.gap_s(now_s, length_s) + length_s
        if number == _SEEN and (
            not total_s or _PLAUSIBLE[0] < size_bytes / seen_bytes * total_s / end_s < _PLAUSIBLE[1]
        ):
            return end_s
    return total_s if timestamps.ignored_s or total_s > _PLAUSIBLE[1] * end_s else end_s


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[tuple[float | None, float, int]]:
    """The timestamp of each packet that can be read, and its length in seconds and in bytes."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                base = packet.time_base or 0
                now_s = None if packet.pts is None else float(packet.pts * base)
                yield now_s, float((packet.duration or 0) * base), packet.size
    except (av.error.FFmpegError, IndexError):
        return
