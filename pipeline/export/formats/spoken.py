"""The words of rows on the clock of their recording, each with an end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from pipeline.model import Transcript


class SpokenWord(msgspec.Struct, frozen=True, kw_only=True):
    """A word with times in seconds on the clock of its recording."""

    text: str
    start_s: float
    stop_s: float
    """At least `start_s`. Where the service gave none: the next word's start, or the end of the row's audio."""
    channel: int


class SpokenSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence, or the turn of a channel, with its words, on the clock of its recording."""

    text: str
    """As the service wrote it: with a space before its punctuation, for instance."""
    words: tuple[SpokenWord, ...]
    """Never empty."""
    channel: int

    @property
    def start_s(self) -> float:
        return self.words[0].start_s

    @property
    def stop_s(self) -> float:
        return max(word.stop_s for word in self.words)


def spoken(rows: Iterable[Transcript]) -> list[SpokenSegment]:
    """The segments of rows of one recording, by their starts: each word of the rows once, in the order of its channel.

    A row that asks for one channel has its words on that channel.
    """
    found = [segment for row in rows for segment in _of_row(row)]
    return sorted(found, key=lambda segment: (segment.start_s, segment.channel))


def _of_row(row: Transcript) -> Iterator[SpokenSegment]:
    words: dict[int, list[SpokenWord]] = {}
    for channel in dict.fromkeys(word.channel for word in row.words):
        words[channel] = [*_words(row, channel)]
    taken = dict.fromkeys(words, 0)
    for segment in row.segments:
        start = taken.get(segment.channel, 0)
        wanted, length, stop = sum(map(len, segment.text.split())), 0, start
        own = words.get(segment.channel, [])
        while stop < len(own) and length < wanted:
            length += len("".join(own[stop].text.split()))
            stop += 1
        taken[segment.channel] = stop
        if stop > start:
            channel = own[start].channel
            yield SpokenSegment(text=segment.text, words=tuple(own[start:stop]), channel=channel)
    for channel, own in words.items():  # words that no segment has: of an output that something else wrote
        if rest := own[taken[channel] :]:
            yield SpokenSegment(text=_joined(rest), words=tuple(rest), channel=rest[0].channel)


def _words(row: Transcript, channel: int) -> Iterator[SpokenWord]:
    own = sorted((word for word in row.words if word.channel == channel), key=lambda word: word.start_s)
    ends = [*(word.start_s for word in own[1:]), row.duration_s]
    for word, end in zip(own, ends, strict=True):
        stop_s = max(word.start_s, end if word.stop_s is None else word.stop_s)
        yield SpokenWord(
            text=word.text,
            start_s=round(row.offset_s + word.start_s, 6),
            stop_s=round(row.offset_s + stop_s, 6),
            channel=channel if row.channel is None else row.channel,
        )


def _joined(words: Sequence[SpokenWord]) -> str:
    return " ".join(word.text for word in words)
