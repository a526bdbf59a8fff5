"""Plans the pieces of audio that is too long for one request: how many, and about where they end. Pure: no I/O.

Positions and lengths are samples.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import msgspec

from pipeline.audio.tracks import SAMPLE_RATE

_REACH = 30 * SAMPLE_RATE
"""How far a cut may lie from its planned place, …"""
_REACH_SHARE = 0.25
"""… and the same as a share of the longest piece, if that is less."""
_EXPECTED_WASTE = 0.3 * SAMPLE_RATE
"""What a piece leaves unused of its units beside the margin, on an average of recordings of speech, …"""
_EXPECTED_WASTE_SHARE = 0.02
"""… and the same as a share of a unit, if that is less."""


class PieceLimits(msgspec.Struct, frozen=True):
    """What one request carries, and how it is billed."""

    longest: int
    """The most samples of a piece."""
    unit: float = 0.0
    """Samples that are billed as a whole, rounded up; 0: none, and the length of a piece does not matter."""
    beside: float = 0.0
    """Samples that each request is billed for beside its piece, with a margin."""

    @property
    def reach(self) -> int:
        """How far a cut may lie from its planned place."""
        return min(_REACH, int(self.longest * _REACH_SHARE))

    def units(self, samples: float) -> int:
        """The units that a piece is billed for."""
        return max(1, math.ceil((samples + self.beside) / self.unit))

    def waste(self, samples: int) -> float:
        """What a piece leaves unused of its units."""
        return self.units(samples) * self.unit - self.beside - samples

    def ends(self, low: int, high: int) -> range:
        """The numbers of units that pieces between two lengths, both included, just fill."""
        return range(
            max(1, math.ceil((low + self.beside) / self.unit)), math.floor((high + self.beside) / self.unit) + 1
        )

    def filling(self, units: int) -> int:
        """The samples of a piece that just fills so many units."""
        return math.floor(units * self.unit - self.beside)


class CutWindow(NamedTuple):
    """The positions where one cut may lie: from `low` to `high`, both included, and best at `planned`."""

    low: int
    high: int
    planned: int


def count_pieces(samples: int, limits: PieceLimits) -> int:
    """How many pieces carry so many samples; units make them no more.

    Raises ValueError where a piece holds not even one sample.
    """
    if limits.longest < 1:
        raise ValueError("a piece holds at least one sample")
    # the even length is then `reach` below the limit, so that wherever a cut lies the next one can follow
    return 1 if samples <= limits.longest else math.ceil(samples / (limits.longest - limits.reach))


def planned_cuts(samples: int, limits: PieceLimits) -> list[int]:
    """Where to cut if all places are alike: evenly, or so that pieces just fill units where that makes the fewest."""
    count = count_pieces(samples, limits)
    even = [number * samples // count for number in range(1, count)]
    if not limits.unit or count == 1:
        return even
    units = math.ceil((samples + count * limits.beside) / limits.unit)
    if units >= count * limits.units(samples / count):
        return even
    filled = [
        math.floor(round(number * units / count) * limits.unit - number * limits.beside) for number in range(1, count)
    ]
    # not where there are fewer units than pieces, or where the last unit is not even begun
    fits = all(0 < last - first <= limits.longest for first, last in pairwise([0, *filled, samples]))
    return filled if fits else even


def cut_windows(start: int, samples: int, limits: PieceLimits) -> list[CutWindow]:
    """Where each cut may lie so that no piece has to be empty or too long, in `samples` from `start`.

    Raises ValueError where a piece holds not even one sample.
    """
    places, end = planned_cuts(samples, limits), start + samples
    windows = []
    for number, place in enumerate(places, 1):
        planned, pieces_after = start + place, len(places) + 1 - number
        low = max(planned - limits.reach, start + number, end - pieces_after * limits.longest)
        high = min(planned + limits.reach, start + number * limits.longest, end - pieces_after)
        windows.append(CutWindow(low, high, planned))
    return windows


def expected_pieces(samples: int, limits: PieceLimits) -> list[tuple[int, float]]:
    """(number of pieces, samples of each) as cuts in pauses make them on average."""
    if not limits.unit:
        count = count_pieces(samples, limits)
        return [(count, samples / count)]
    beside = limits.beside + min(_EXPECTED_WASTE, limits.unit * _EXPECTED_WASTE_SHARE)
    places = planned_cuts(samples, msgspec.structs.replace(limits, beside=beside))
    lengths = [last - first for first, last in pairwise([0, *places, samples])]
    return [(lengths.count(length), length) for length in dict.fromkeys(lengths)]
