"""Splits a track into the spans of its clips: those answered before, and the gaps between them, cut in pauses.

Positions and lengths are samples of the track; `last` is exclusive. Only `cuts` reads audio, and only around the cuts.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline.audio.tracks import SAMPLE_BYTES, SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MIN_SAMPLES = SAMPLE_RATE // 2
"""Gaps between answered spans may be as short as one sample: shorter ones are sent after silence that makes them this
long, because the service's minimum is unknown."""
_KEY = re.compile(r"(\w+):(\d{1,15})\+(\d{1,15})")

_REACH = 30 * SAMPLE_RATE
"""How far a cut may lie from pieces of even length."""
_REACH_SHARE = 0.25
"""The same as a share of the longest piece, if that is less."""
_HOP = SAMPLE_RATE // 100
_SMOOTH = SAMPLE_RATE // 2
"""Half a second: pauses between words are longer than that, stop closures within words are shorter."""
_FINE = SAMPLE_RATE // 10
_AS_QUIET = 1.5
"""Ratio to the lowest energy within which values belong to the same pause (1.8 dB),"""
_CONTRAST = 0.1
"""unless they exceed this share of the way to the loud values: a pause shorter than the smoothing is only a dip."""
_LOUD_PERCENTILE = 90
_FLOOR = 4.0
"""Mean square, of 32,768 squared, that counts as silence."""


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


def cuts(path: str, start: int, samples: int, longest: int) -> list[int]:
    """Positions that split `samples` from `start` of the track in `path` into pieces of at most `longest`, in the
    quietest pauses near even lengths; none if one piece is enough.

    Raises OSError, and ValueError for a `longest` below 1.
    """
    if longest < 1:
        raise ValueError("a piece holds at least one sample")
    count, reach = count_pieces(samples, longest), _reach(longest)
    end = start + samples
    found: list[int] = []
    for number in range(1, count):
        even = start + number * samples // count
        before = found[-1] if found else start
        low = max(even - reach, before + 1, end - (count - number) * longest)
        high = min(even + reach, before + longest, end - 1)
        found.append(_quietest(path, (start, end), low, high, even))
    return found


def count_pieces(samples: int, longest: int) -> int:
    """How many pieces `cuts` makes."""
    # the even length is then `reach` below the limit, so that wherever a cut lies the next one can follow
    return 1 if samples <= longest else math.ceil(samples / (longest - _reach(longest)))


def _reach(longest: int) -> int:
    return min(_REACH, int(longest * _REACH_SHARE))


def _quietest(path: str, span: tuple[int, int], low: int, high: int, wanted: int) -> int:
    """The middle of the quietest pause between two positions, both included."""
    if low >= high:
        return high
    hop = max(1, min(_HOP, (high - low) // 50))
    begin = max(span[0], low - _SMOOTH)
    levels = _levels(path, begin, min(span[1], high + _SMOOTH), hop)
    inside = slice((low - begin) // hop, (high - begin) // hop + 1)
    smooth = _smoothed(levels, _SMOOTH // hop)[inside]
    first, last = _pause(smooth, (wanted - low) / hop)
    if (last - first) * hop >= _SMOOTH:
        chosen = (first + last) // 2
    else:
        # a short pause, blurred by the words around it: find its middle with less smoothing
        edge = _SMOOTH // 2 // hop
        near = slice(max(0, first - edge), last + edge + 1)
        fine = _smoothed(levels, _FINE // hop)[inside][near]
        begun, ended = _pause(fine, (first + last) / 2 - near.start)
        chosen = near.start + (begun + ended) // 2
    return min(max(begin + (inside.start + chosen) * hop + hop // 2, low), high)


def _levels(path: str, begin: int, end: int, hop: int) -> npt.NDArray[np.float64]:
    """Mean square of each hop."""
    import numpy as np  # here and below: most recordings need no cut

    with Path(path).open("rb") as file:
        samples = np.fromfile(file, dtype="<i2", count=end - begin, offset=begin * SAMPLE_BYTES).astype(np.float32)
    samples *= samples
    whole = samples[: samples.size - samples.size % hop].reshape(-1, hop).mean(axis=1, dtype=np.float64)
    rest = samples[whole.size * hop :]
    return np.append(whole, rest.mean(dtype=np.float64)) if rest.size else whole


def _smoothed(levels: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Running mean over `width` values, fewer at the ends."""
    import numpy as np

    sums = np.concatenate(([0.0], np.cumsum(levels)))
    places = np.arange(levels.size)
    first = np.maximum(places - width // 2, 0)
    last = np.minimum(places + width // 2 + 1, levels.size)
    means: npt.NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return means


def _pause(levels: npt.NDArray[np.float64], wanted: float) -> tuple[int, int]:
    """The longest run that is about as quiet as the quietest value; of equally long ones the nearest to `wanted`."""
    import numpy as np

    lowest, loud = levels.min(), np.percentile(levels, _LOUD_PERCENTILE)
    quiet = levels <= min(lowest * _AS_QUIET, lowest + _CONTRAST * (loud - lowest)) + _FLOOR
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8)))
    firsts, lasts = edges[::2], edges[1::2] - 1
    distances = np.abs((firsts + lasts) / 2 - wanted)
    best = min(range(firsts.size), key=lambda run: (firsts[run] - lasts[run], distances[run]))
    return int(firsts[best]), int(lasts[best])
