"""The spans of a track that its clips carry: those answered before, and pieces of the gaps between them. Pure: no I/O.

Positions and lengths are samples of the track; `last` is exclusive.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import pairwise
from operator import attrgetter

import msgspec

from pipeline.audio.tracks import SAMPLE_RATE

MIN_SAMPLES = SAMPLE_RATE // 2
"""Gaps between answered spans may be as short as one sample: shorter ones are sent after silence that makes them this
long, because the service's minimum is unknown."""
_KEY = re.compile(r"(\w+):(\d{1,15})\+(\d{1,15})")


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Some samples of a track."""

    first: int
    last: int
    key: str
    """Of its answer in the checkpoint."""
    is_answered: bool = False
    lead: int = 0
    """The minimum of silence that is sent before it."""

    @property
    def samples(self) -> int:
        return self.last - self.first


def key_of(track: str, first: int, samples: int) -> str:
    """The key of a span."""
    return f"{track}:{first}+{samples}"


def answered_spans(keys: Iterable[str], tracks: Collection[str]) -> list[Span]:
    """The spans with these keys on a track with any of the names `tracks`, sorted by their ends."""
    found = []
    for key in set(keys):
        match = _KEY.fullmatch(key)
        if match is not None and match[1] in tracks and (samples := int(match[3])):
            first = int(match[2])
            found.append(Span(first=first, last=first + samples, key=key, is_answered=True))
    return sorted(found, key=attrgetter("last", "first", "key"))


def best_spans(answered: Sequence[Span], first: int, last: int) -> list[Span]:
    """The spans to use between two positions, of `answered` ones sorted by their ends: they lie inside, do not overlap,
    and cover the most samples with the fewest spans."""
    inside = [span for span in answered if first <= span.first and span.last <= last]
    ends = [span.last for span in inside]
    best = [(0, 0)]
    """For each number of first spans: the most samples covered, and minus the fewest spans that do."""
    before: list[int] = []
    for number, span in enumerate(inside):
        before.append(bisect_right(ends, span.first, 0, number))
        samples, pieces = best[before[-1]]
        best.append(max(best[-1], (samples + span.samples, pieces - 1)))
    chosen: list[Span] = []
    number = len(inside)
    while number:
        if best[number] == best[number - 1]:
            number -= 1
        else:
            chosen.append(inside[number - 1])
            number = before[number - 1]
    return chosen[::-1]


def gaps_between(spans: Sequence[Span], first: int, last: int) -> list[tuple[int, int]]:
    """The gaps that the spans leave between two positions, as (first, last)."""
    edges = [first, *(edge for span in spans for edge in (span.first, span.last)), last]
    return [(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True) if begin < end]


def lead_of(samples: int) -> int:
    """The silence to send before a piece between answered spans."""
    return max(0, MIN_SAMPLES - samples)


def pieces_around(
    spans: Sequence[Span], track: str, first: int, last: int, cut: Callable[[int, int], Iterable[int]]
) -> list[Span]:
    """All between two positions, in order: the answered `spans`, and the gaps between them, divided at the positions
    that `cut`(first, samples) returns."""
    pieces = list(spans)
    for begin, end in gaps_between(spans, first, last):
        for start, stop in pairwise((begin, *cut(begin, end - begin), end)):
            lead = lead_of(stop - start) if spans else 0
            pieces.append(Span(first=start, last=stop, key=key_of(track, start, stop - start), lead=lead))
    return sorted(pieces, key=attrgetter("first"))
