"""Cuts long recordings in pauses so that the pieces fill units of billing. Reads audio only around the cuts.

All cuts are chosen together: where one piece ends decides where the next one fills its units. Positions and lengths are
samples of the track.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from heapq import nsmallest
from typing import TYPE_CHECKING, NamedTuple

from pipeline.audio.levels import FINE, FLOOR, hop_of, levels_of, smoothed
from pipeline.audio.pieces import CutWindow, PieceLimits, cut_windows
from pipeline.audio.tracks import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_CONTEXT = SAMPLE_RATE // 2
"""What is looked at beyond the places where a cut may lie."""
_QUIET = 0.01
"""The energy of a pause is at most this share of the loud parts (-20 dB), …"""
_LOUD_PERCENTILE = 90
_AS_QUIET = 4.0
"""… or as a ratio to the lowest energy, for pauses full of noise, …"""
_CONTRAST = 0.1
"""… as long as that is no more than this share of the way to the loudest parts: in even noise all places are alike."""
_LOUDEST_PERCENTILE = 98
_FLOOR_PERCENTILE, _UP_TO = 5, 1 / 3
"""The level between words, and how far above it a pause may reach, as a share of the decibels up to the loud parts:
somebody who speaks softly is heard above that."""
_FREE_DB, _DB_PENALTY = 3.0, 2.0 * SAMPLE_RATE
"""So little above that level nothing speaks against a cut; each further decibel is as bad as so many wasted samples."""
_PAUSE = SAMPLE_RATE // 10
"""Shorter quiet may lie within a word."""
_NOISY = 0.01
"""In noise above this share of the loudest parts soft words seem quiet: there only long pauses are found, by half
seconds."""
_GUARD = SAMPLE_RATE // 4
"""The distance to the words around a pause that is kept where it is long enough: the service may miss a word that
begins at once."""
_SEEK = SAMPLE_RATE // 2
"""Where there is no pause, the cut lies at the quietest place so little before the end of a unit."""
_SHORT_PAUSE_PENALTY = 2.0
"""Wasted seconds that are as bad as a pause that is a second shorter than twice the guard."""
_ALIKE = 1.5
"""Ratio to the lowest energy within which places are alike there."""
_LOUD_PENALTY = 0.5 * SAMPLE_RATE
"""Wasted samples that are as bad as a cut at the loudest place; less loud ones in proportion."""
_NO_PAUSE_PENALTY = 3600.0 * SAMPLE_RATE
"""No saving makes up for a cut beside all pauses."""
_OFF_PLAN_PENALTY = 0.05 * SAMPLE_RATE
"""Wasted samples that are as bad as a cut the whole window away from the planned place; nearer ones in proportion."""
_MOST_CANDIDATES = 32
"""Of all ways to cut up to a window the cheapest so many are followed further: a beam search."""


class _Candidate(NamedTuple):
    """Cuts up to a position."""

    cost: float
    """The wasted samples up to there, and the penalties, which are in samples, too."""
    position: int
    before: _Candidate | None


def filling_cuts(path: str, start: int, samples: int, limits: PieceLimits) -> list[int]:
    """Positions that split `samples` from `start` of the track in `path` into pieces that fill their units as far as
    there are pauses for that.

    Raises OSError, and ValueError where a piece holds not even one sample.
    """
    end = start + samples
    candidates = [_Candidate(0.0, start, None)]
    for window in cut_windows(start, samples, limits):
        places = _Places(path, (start, end), window)
        found: dict[int, _Candidate] = {}
        for candidate in candidates:
            for position, penalty in places.after(candidate.position, limits):
                cost = candidate.cost + limits.waste(position - candidate.position) + penalty
                if position not in found or cost < found[position].cost:
                    found[position] = _Candidate(cost, position, candidate)
        candidates = nsmallest(_MOST_CANDIDATES, found.values(), key=lambda candidate: candidate.cost)
    best: _Candidate | None = min(
        candidates, key=lambda candidate: candidate.cost + limits.waste(end - candidate.position)
    )
    positions: list[int] = []
    while best is not None:
        positions.append(best.position)
        best = best.before
    return positions[-2::-1]


class _Places:
    """The places of one cut, and how loud it is there."""

    def __init__(self, path: str, span: tuple[int, int], window: CutWindow) -> None:
        import numpy as np  # most recordings need no cut

        self._low, self._high, self._planned = low, high, _ = window
        self._hop = hop_of(high - low)
        self._begin = max(span[0], low - _CONTEXT)
        levels = levels_of(path, self._begin, min(span[1], high + _CONTEXT), self._hop)
        self._levels = smoothed(levels, FINE // self._hop)
        loud, self._loudest = np.percentile(self._levels, (_LOUD_PERCENTILE, _LOUDEST_PERCENTILE))
        lowest, ratio, sought = self._levels.min(), _AS_QUIET, self._levels
        if lowest > self._loudest * _NOISY:
            sought, ratio = smoothed(levels, _CONTEXT // self._hop), _ALIKE
        as_quiet = min(lowest * ratio, lowest + (self._loudest - lowest) * _CONTRAST)
        self._floor = float(np.percentile(self._levels, _FLOOR_PERCENTILE)) + FLOOR
        below_words = min(loud * _QUIET, self._floor * (max(loud, self._floor) / self._floor) ** _UP_TO)
        runs = self._runs(sought, max(below_words, as_quiet) + FLOOR)
        are_alike = self._loudest <= lowest * _ALIKE + FLOOR and lowest > FLOOR
        self._pauses = [] if are_alike else [run for run in runs if run[1] - run[0] >= _PAUSE]

    def after(self, before: int, limits: PieceLimits) -> Iterator[tuple[int, float]]:
        """(position, penalty in samples) of the places worth a cut after one at `before`."""
        low, high = max(self._low, before + 1), min(self._high, before + limits.longest)
        have_pauses = False
        for first, last in self._pauses:
            guard = min(_GUARD, (last - first) // 2)
            earliest, latest = max(first + guard, low), min(last - guard, high)
            if earliest > latest:
                continue
            have_pauses = True
            position = latest
            if filled := limits.ends(earliest - before, latest - before):
                wanted = round((self._planned - before + limits.beside) / limits.unit)
                nearest = min(max(wanted, filled[0]), filled[-1])
                position = max(earliest, before + limits.filling(nearest))
            penalty = max(0.0, 2 * _GUARD - (last - first)) * _SHORT_PAUSE_PENALTY + self._soft_words(position)
            yield position, penalty + self._off_plan(position)
        if have_pauses:
            return
        filled = limits.ends(low - before, high - before)
        for units in filled[:: len(filled) // 8 + 1]:
            place = max(low, before + limits.filling(units))
            yield self._quietest(max(low, place - _SEEK), place)
        if not filled:
            yield self._quietest(low, high)

    def _quietest(self, low: int, high: int) -> tuple[int, float]:
        """The last of the quietest places between two positions, both included, with its penalty in samples."""
        first, last = (low - self._begin) // self._hop, (high - self._begin) // self._hop + 1
        lowest = float(self._levels[first:last].min())
        begun, ended = self._runs(self._levels[first:last], lowest * _ALIKE + FLOOR, first)[-1]
        position = high if ended > high else min(max((begun + ended) // 2, low), high)
        penalty = _LOUD_PENALTY * min(1.0, lowest / (self._loudest + FLOOR)) + self._off_plan(position)
        return position, penalty + (_NO_PAUSE_PENALTY if self._pauses else 0.0)

    def _runs(self, levels: npt.NDArray[np.float64], quiet: float, first: int = 0) -> list[tuple[int, int]]:
        """(first position, position after the last) of each stretch of values, from the `first` one on, that are at
        most `quiet`."""
        import numpy as np

        is_quiet = np.concatenate(([False], levels <= quiet, [False]))
        edges = np.flatnonzero(np.diff(is_quiet.astype(np.int8))) + first
        positions = (self._begin + edges * self._hop).tolist()
        return list(zip(positions[::2], positions[1::2], strict=True))

    def _soft_words(self, position: int) -> float:
        """The penalty in samples for what is louder than between words."""
        level = float(self._levels[min((position - self._begin) // self._hop, self._levels.size - 1)]) + FLOOR
        return max(0.0, 10 * math.log10(level / self._floor) - _FREE_DB) * _DB_PENALTY

    def _off_plan(self, position: int) -> float:
        return _OFF_PLAN_PENALTY * abs(position - self._planned) / max(1, self._high - self._low)
