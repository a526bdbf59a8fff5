"""Which samples of which track a clip carries, and the clips of a track of which some spans were answered before.

Pure. Positions and lengths are samples of the track; a stretch or a span reaches from its first sample to before its
last one.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import pairwise
from operator import attrgetter

import msgspec

from pipeline.audio.decoded import RATE

SHORTEST = RATE // 2
"""What answered spans leave between them may be a single sample: a shorter piece goes out behind silence that makes it
so long, because nobody knows how little audio the service takes."""
_KEY = re.compile(r"(\w+):(\d{1,15})\+(\d{1,15})")


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Some samples of a track."""

    first: int
    last: int
    key: str
    """The name that an answer to it is kept under."""
    is_answered: bool = False
    lead: int = 0
    """So many samples of silence go out before it at least."""

    @property
    def samples(self) -> int:
        return self.last - self.first


def key_of(track: str, first: int, samples: int) -> str:
    """The name of a span."""
    return f"{track}:{first}+{samples}"


def answered_on(keys: Iterable[str], tracks: Collection[str]) -> list[Span]:
    """The answered spans of a track that is known by any of the names `tracks`, by their ends."""
    found = []
    for key in set(keys):
        named = _KEY.fullmatch(key)
        if named is not None and named[1] in tracks and (samples := int(named[3])):
            first = int(named[2])
            found.append(Span(first=first, last=first + samples, key=key, is_answered=True))
    return sorted(found, key=attrgetter("last", "first", "key"))


def chosen(answered: Sequence[Span], first: int, last: int) -> list[Span]:
    """Those of the spans, sorted by their ends, that are used for a stretch: they lie inside, do not overlap, and carry
    as many of its samples as can be in as few pieces."""
    inside = [span for span in answered if first <= span.first and span.last <= last]
    ends = [span.last for span in inside]
    best = [(0, 0)]
    """Of the first so many spans: the most samples, and how few spans carry them, negative."""
    before: list[int] = []
    for number, span in enumerate(inside):
        before.append(bisect_right(ends, span.first, 0, number))
        samples, pieces = best[before[-1]]
        best.append(max(best[-1], (samples + span.samples, pieces - 1)))
    taken: list[Span] = []
    number = len(inside)
    while number:
        if best[number] == best[number - 1]:
            number -= 1
        else:
            taken.append(inside[number - 1])
            number = before[number - 1]
    return taken[::-1]


def between(spans: Sequence[Span], first: int, last: int) -> list[tuple[int, int]]:
    """What of the stretch the spans leave, as (first, last)."""
    edges = [first, *(edge for span in spans for edge in (span.first, span.last)), last]
    return [(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True) if begin < end]


def lead_of(samples: int) -> int:
    """The silence before what is sent beside an answered span."""
    return max(0, SHORTEST - samples)


def pieces_around(
    spans: Sequence[Span], track: str, first: int, last: int, cut: Callable[[int, int], Iterable[int]]
) -> list[Span]:
    """All of a stretch, in order: the answered `spans` as they are, and what they leave as `cut` cuts (first, samples)
    of it."""
    pieces = list(spans)
    for begin, end in between(spans, first, last):
        for one, other in pairwise((begin, *cut(begin, end - begin), end)):
            lead = lead_of(other - one) if spans else 0
            pieces.append(Span(first=one, last=other, key=key_of(track, one, other - one), lead=lead))
    return sorted(pieces, key=attrgetter("first"))
