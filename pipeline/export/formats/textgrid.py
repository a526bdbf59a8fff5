"""Praat's TextGrid: the words and the segments of a recording as tiers of intervals. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from pipeline.export.formats.fields import channel_number, one_line
from pipeline.export.formats.format import Document, Recording
from pipeline.export.formats.spoken import SpokenSegment, SpokenWord, spoken

MIN_US = 1_000
"""Length of an interval for a word without a length, in microseconds: Praat knows none of 0."""
_HEAD = """\
File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = {stop}
tiers? <exists>
size = {count}
item []:
"""
_TIER = """\
    item [{number}]:
        class = "IntervalTier"
        name = "{name}"
        xmin = 0
        xmax = {stop}
        intervals: size = {count}
"""
_INTERVAL = """\
        intervals [{number}]:
            xmin = {start}
            xmax = {stop}
            text = "{text}"
"""


class _Interval(msgspec.Struct, frozen=True, kw_only=True):
    """In microseconds from the start of the recording."""

    start: int
    stop: int
    text: str


class TextGrid:
    """Two tiers for each channel that has words, `words` and `segments`; with several, `words 1` and so on.

    The intervals of a tier cannot overlap: a word ends where the next begins, and where several begin at once, each
    after the first begins a millisecond after the one before.
    """

    suffix = ".TextGrid"
    needs_words = True

    def document(self, recording: Recording) -> Document:
        found = spoken(recording.rows)
        channels = sorted({segment.channel for segment in found})
        tiers: dict[str, list[_Interval]] = {}
        for channel in channels or [0]:
            own = [segment for segment in found if segment.channel == channel]
            words = _intervals([word for segment in own for word in segment.words])
            number = f" {channel_number(channel)}" if len(channels) > 1 else ""
            tiers[f"words{number}"] = words
            tiers[f"segments{number}"] = [*_of_segments(own, words)]
        ends = [_microseconds(row.offset_s + row.duration_s) for row in recording.rows]
        stop = max(MIN_US, *ends, *(tier[-1].stop for tier in tiers.values() if tier))
        return Document(text="".join(_text(tiers, stop)))


def _intervals(words: Sequence[SpokenWord]) -> list[_Interval]:
    starts: list[int] = []
    for word in words:
        start = _microseconds(word.start_s)
        starts.append(max(start, starts[-1] + MIN_US) if starts else start)
    found = []
    for number, word in enumerate(words):
        stop = max(starts[number] + MIN_US, _microseconds(word.stop_s))
        if number + 1 < len(starts):
            stop = min(stop, starts[number + 1])
        found.append(_Interval(start=starts[number], stop=stop, text=word.text))
    return found


def _of_segments(segments: Iterable[SpokenSegment], words: Sequence[_Interval]) -> Iterator[_Interval]:
    """From the first word of each to its last: the words are those of the segments, in their order."""
    first = 0
    for segment in segments:
        last = first + len(segment.words) - 1
        yield _Interval(start=words[first].start, stop=words[last].stop, text=segment.text)
        first = last + 1


def _text(tiers: dict[str, list[_Interval]], stop: int) -> Iterator[str]:
    yield _HEAD.format(stop=_seconds(stop), count=len(tiers))
    for number, (name, own) in enumerate(tiers.items(), 1):
        intervals = [*_without_gaps(own, stop)]
        yield _TIER.format(number=number, name=name, stop=_seconds(stop), count=len(intervals))
        for place, interval in enumerate(intervals, 1):
            text = one_line(interval.text).replace('"', '""')
            start, end = _seconds(interval.start), _seconds(interval.stop)
            yield _INTERVAL.format(number=place, start=start, stop=end, text=text)


def _without_gaps(intervals: Iterable[_Interval], stop: int) -> Iterator[_Interval]:
    """With empty intervals between, from 0 to `stop`."""
    end = 0
    for interval in intervals:
        if interval.start > end:
            yield _Interval(start=end, stop=interval.start, text="")
        yield interval
        end = interval.stop
    if stop > end:
        yield _Interval(start=end, stop=stop, text="")


def _microseconds(time_s: float) -> int:
    return round(time_s * 1_000_000)


def _seconds(time_us: int) -> str:
    whole, part = divmod(time_us, 1_000_000)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".")
