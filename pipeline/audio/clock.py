"""A recording's own clock, where its container has one: jumps become silence, so that later times stay right.

The clock begins where the file's does, with the earliest of all streams where that may be anywhere (MPEG-TS). Where it
is reset, or jumps over more than there can be, it is not followed: what comes then goes on without a gap.
"""

from __future__ import annotations

from collections.abc import Iterator

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer

_FROM_NOUGHT = ("asf", "matroska")
"""Forms whose length counts from the clock's nought, …"""
_FROM_START = ("flv", "mov")
"""… from the first sample, …"""
_FROM_ANYWHERE = ("mpeg", "mpegts")
"""… and those whose clock has no nought."""
_HAVE_CLOCKS = (*_FROM_NOUGHT, *_FROM_START, *_FROM_ANYWHERE)
_COUNTING = ("flac", "ogg")
"""Forms whose clock counts samples: where it jumps, something was lost. Elsewhere a recorder may have paused."""
_GAP_S = 0.05
_LATE_S = 0.15
"""A start that is later: codecs take less to get under way."""
_BACK_S = -0.5
"""A clock that goes back by more was reset; by less, rounded."""
_ANYWAY_S = 60.0
"""No jump so short is doubted: what is silent may not be recorded at all."""
_SEEN = 100
"""Packets by which is guessed what a second weighs …"""
_DOUBT = (0.75, 1.5)
"""… and how far the file's weight may differ from what its length makes of that."""


def form(container: InputContainer) -> str:
    return container.format.name.partition(",")[0]


def has_clock(container: InputContainer) -> bool:
    """Whether the packets say when they are heard, so that silence may take the place of what the clock leaves out."""
    return form(container) in _HAVE_CLOCKS


def header_end_s(container: InputContainer, stream: AudioStream) -> float | None:
    """Where on its clock the audio ends, as the headers have it: a guess where they count no samples."""
    if stream.duration is not None and stream.time_base is not None:
        length_s = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        length_s = container.duration / av.time_base
    else:
        return None
    start_s = 0.0 if stream.start_time is None else float(stream.start_time * (stream.time_base or 0))
    late_s = start_s - _nought_s(container) if form(container) in (*_FROM_START, *_FROM_ANYWHERE) else 0.0
    return max(0.0, length_s + (late_s if late_s >= _LATE_S else 0.0))


def _nought_s(container: InputContainer) -> float:
    return (container.start_time or 0) / av.time_base if form(container) in _FROM_ANYWHERE else 0.0


class Clock:
    """Compares the clock with the samples that came. Changes while a recording is read."""

    def __init__(self, container: InputContainer, end_s: float | None) -> None:
        self.counts = form(container) in _COUNTING
        self.disbelieved_s = 0.0
        """What it jumped by without being followed."""
        self._follows = has_clock(container)
        self._left_s = (end_s or 0.0) / 2
        """Of the longer jumps that are followed."""
        self._next_s = _nought_s(container) if self._follows else None
        """Where the next sample belongs by those that came."""
        self._least_s = _LATE_S

    def jump_s(self, now_s: float | None, length_s: float) -> float:
        """How long the clock has jumped before the next `length_s`, which it puts at `now_s`; 0 where that cannot be
        told, is not worth telling, or is not believed. The caller puts as much silence there."""
        if now_s is None or not (self.counts or self._follows):
            self.add(length_s)
            return 0.0
        jump_s = 0.0 if self._next_s is None else now_s - self._next_s
        if _BACK_S < jump_s < self._least_s and self._next_s is not None:
            self.add(length_s)
            jump_s = 0.0
        else:
            self._next_s = now_s + length_s
        self._least_s = _GAP_S
        jump_s = max(0.0, jump_s)
        if self._follows and jump_s > _ANYWAY_S:
            if jump_s > self._left_s:
                self.disbelieved_s += jump_s
                return 0.0
            self._left_s -= jump_s
        return jump_s

    def add(self, seconds: float) -> None:
        """So much came that the clock says nothing of."""
        if self._next_s is not None:
            self._next_s += seconds


def played_s(container: InputContainer, stream: AudioStream, size_bytes: int) -> float | None:
    """Seconds that will be decoded, silence in place of jumps included, as far as headers tell; as the packets tell
    where that cannot be true, because so much would weigh more or less. Reads on in the container."""
    end_s = header_end_s(container, stream)
    if not end_s or not has_clock(container) or len(container.streams) > 1:
        return end_s
    clock = Clock(container, end_s)
    weight = total_s = 0.0
    for number, (now_s, length_s, count) in enumerate(_packets(container, stream), 1):
        weight += count
        total_s += clock.jump_s(now_s, length_s) + length_s
        if number == _SEEN and (not total_s or _DOUBT[0] < size_bytes / weight * total_s / end_s < _DOUBT[1]):
            return end_s
    return total_s if clock.disbelieved_s or total_s > _DOUBT[1] * end_s else end_s


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[tuple[float | None, float, int]]:
    """When each packet is heard, for how long, and its bytes; as far as the file can be read."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                base = packet.time_base or 0
                now_s = None if packet.pts is None else float(packet.pts * base)
                yield now_s, float((packet.duration or 0) * base), packet.size
    except (av.error.FFmpegError, IndexError):
        return
