"""Cuts long recordings in pauses. Reads audio only around the cuts.

Positions and lengths are samples of the track.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.audio.filling import filling_cuts
from pipeline.audio.levels import FINE, FLOOR, hop_of, levels_of, smoothed
from pipeline.audio.pieces import PieceLimits, cut_windows
from pipeline.audio.tracks import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SMOOTH = SAMPLE_RATE // 2
"""Half a second: pauses between words are longer than that, stop closures within words are shorter."""
_AS_QUIET = 1.5
"""Ratio to the lowest energy within which values belong to the same pause (1.8 dB),"""
_CONTRAST = 0.1
"""unless they exceed this share of the way to the loud values: a pause shorter than the smoothing is only a dip."""
_LOUD_PERCENTILE = 90


def cuts(path: str, start: int, samples: int, limits: PieceLimits) -> list[int]:
    """Positions that split `samples` from `start` of the track in `path` into pieces within the limits; none if one
    piece is enough.

    They lie in pauses near even lengths: in the quietest ones, or where the price has units in those where the pieces
    fill units best. Raises OSError, and ValueError where a piece holds not even one sample.
    """
    if limits.unit:
        return filling_cuts(path, start, samples, limits)
    found: list[int] = []
    for low, high, planned in cut_windows(start, samples, limits):
        before = found[-1] if found else start
        low, high = max(low, before + 1), min(high, before + limits.longest)
        found.append(_quietest(path, (start, start + samples), low, high, planned))
    return found


def _quietest(path: str, span: tuple[int, int], low: int, high: int, wanted: int) -> int:
    """The middle of the quietest pause between two positions, both included."""
    if low >= high:
        return high
    hop = hop_of(high - low)
    begin = max(span[0], low - _SMOOTH)
    levels = levels_of(path, begin, min(span[1], high + _SMOOTH), hop)
    inside = slice((low - begin) // hop, (high - begin) // hop + 1)
    smooth = smoothed(levels, _SMOOTH // hop)[inside]
    first, last = _pause(smooth, (wanted - low) / hop)
    if (last - first) * hop >= _SMOOTH:
        chosen = (first + last) // 2
    else:
        # a short pause, blurred by the words around it: find its middle with less smoothing
        edge = _SMOOTH // 2 // hop
        near = slice(max(0, first - edge), last + edge + 1)
        fine = smoothed(levels, FINE // hop)[inside][near]
        begun, ended = _pause(fine, (first + last) / 2 - near.start)
        chosen = near.start + (begun + ended) // 2
    return min(max(begin + (inside.start + chosen) * hop + hop // 2, low), high)


def _pause(levels: npt.NDArray[np.float64], wanted: float) -> tuple[int, int]:
    """The longest run that is about as quiet as the quietest value; of equally long ones the nearest to `wanted`."""
    import numpy as np

    lowest, loud = levels.min(), np.percentile(levels, _LOUD_PERCENTILE)
    quiet = levels <= min(lowest * _AS_QUIET, lowest + _CONTRAST * (loud - lowest)) + FLOOR
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8)))
    firsts, lasts = edges[::2], edges[1::2] - 1
    distances = np.abs((firsts + lasts) / 2 - wanted)
    best = min(range(firsts.size), key=lambda run: (firsts[run] - lasts[run], distances[run]))
    return int(firsts[best]), int(lasts[best])
