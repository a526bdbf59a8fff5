"""Cuts long recordings in pauses. Reads audio only around the cuts.

Positions and lengths are samples of the track.
"""

from __future__ import annotations

from pipeline.audio.filling import filling_cuts
from pipeline.audio.pieces import PieceLimits, cut_windows
from pipeline.audio.quiet import quietest


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
        found.append(quietest(path, (start, start + samples), low, high, planned))
    return found
