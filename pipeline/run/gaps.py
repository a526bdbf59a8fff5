"""The clips of an utterance that have no answer: how they are told, and the flags for what is missing. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from pipeline.checkpoint.identity import GAP
from pipeline.errors import AttemptError
from pipeline.exchange import Clip
from pipeline.outside import MAX_MESSAGE

TOUCHING_S = 0.001


def gap_flags(missing: Sequence[Clip], *, several_channels: bool) -> list[str]:
    """`gap 3600.0-3870.5`, in seconds on the utterance's clock; clips behind each other make one gap."""
    spans: list[tuple[int, float, float]] = []
    for clip in sorted(missing, key=lambda clip: (clip.channel, clip.start_s)):
        start_s, stop_s = clip.start_s, clip.start_s + clip.duration_s
        if spans and spans[-1][0] == clip.channel and start_s - spans[-1][2] < TOUCHING_S:
            start_s = spans.pop()[1]
        spans.append((clip.channel, start_s, stop_s))
    return [
        f"{GAP}{start_s:.1f}-{stop_s:.1f}" + (f" channel {channel}" if several_channels else "")
        for channel, start_s, stop_s in spans
    ]


def naming(error: AttemptError, clip: Clip, *, clips: int, missing: int, several_channels: bool) -> AttemptError:
    """The error of a clip of several, with a message that says which one it is, counted from 1, and where it lies."""
    channel = f"channel {clip.channel}, " if several_channels else ""
    more = f" and {missing - 1} more" if missing > 1 else ""
    where = f"{channel}{_clock(clip.start_s)} to {_clock(clip.start_s + clip.duration_s)}"
    told = copy(error)
    told.message = f"clip {clip.number + 1} of {clips} ({where}){more}: {error.message}"[:MAX_MESSAGE]
    return told


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
