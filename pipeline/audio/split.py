"""Where a long track is cut: at the quietest places near even lengths, in the middle of a pause and not in a word.

Reads only the stretches around the cuts. Positions and lengths are samples of the track.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.audio.decoded import BYTES, RATE

_REACH = 30 * RATE
_REACH_SHARE = 0.25
"""Of the longest piece, where that is short."""
_HOP = RATE // 100
_SMOOTH = RATE // 2
"""A pause between words is longer than the closure of a stop inside one: half a second tells them apart."""
_FINE = RATE // 10
_AS_QUIET = 1.5
"""Within this ratio of the lowest energy all is the same pause (1.8 dB),"""
_CONTRAST = 0.1
"""unless it is nearer to what is loud around it: a pause shorter than the smoothing is but a dent."""
_LOUD_PERCENTILE = 90
_FLOOR = 4.0
"""Mean square, of 32,768 squared, that is as good as nothing."""

Levels = npt.NDArray[np.float64]


def cuts(path: str, start: int, samples: int, longest: int) -> list[int]:
    """Positions that split `samples` from `start` into pieces of at most `longest`, as even as the pauses allow.

    Empty where all fits into one piece. Raises OSError, ValueError for a `longest` below 1.
    """
    if longest < 1:
        raise ValueError("a piece holds at least one sample")
    count, reach = pieces(samples, longest), _reach(longest)
    end = start + samples
    found: list[int] = []
    for number in range(1, count):
        even = start + number * samples // count
        before = found[-1] if found else start
        low = max(even - reach, before + 1, end - (count - number) * longest)
        high = min(even + reach, before + longest, end - 1)
        found.append(_quietest(path, (start, end), low, high, even))
    return found


def pieces(samples: int, longest: int) -> int:
    """How many pieces that makes."""
    # with this many the even length is `reach` below the limit: however early a cut lies, the next has room
    return 1 if samples <= longest else math.ceil(samples / (longest - _reach(longest)))


def _reach(longest: int) -> int:
    return min(_REACH, int(longest * _REACH_SHARE))


def _quietest(path: str, span: tuple[int, int], low: int, high: int, wanted: int) -> int:
    """The middle of the quietest pause between two positions, both allowed."""
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
        # a short pause: half a second around it reaches into the words, so look again, closer
        edge = _SMOOTH // 2 // hop
        near = slice(max(0, first - edge), last + edge + 1)
        fine = _smoothed(levels, _FINE // hop)[inside][near]
        begun, ended = _pause(fine, (first + last) / 2 - near.start)
        chosen = near.start + (begun + ended) // 2
    return min(max(begin + (inside.start + chosen) * hop + hop // 2, low), high)


def _levels(path: str, begin: int, end: int, hop: int) -> Levels:
    """Mean square of each hop."""
    with Path(path).open("rb") as file:
        samples = np.fromfile(file, dtype="<i2", count=end - begin, offset=begin * BYTES).astype(np.float32)
    samples *= samples
    whole = samples[: samples.size - samples.size % hop].reshape(-1, hop).mean(axis=1, dtype=np.float64)
    rest = samples[whole.size * hop :]
    return np.append(whole, rest.mean(dtype=np.float64)) if rest.size else whole


def _smoothed(levels: Levels, width: int) -> Levels:
    """Running mean over `width` values around each; over fewer at the ends."""
    sums = np.concatenate(([0.0], np.cumsum(levels)))
    places = np.arange(levels.size)
    first = np.maximum(places - width // 2, 0)
    last = np.minimum(places + width // 2 + 1, levels.size)
    means: Levels = (sums[last] - sums[first]) / (last - first)
    return means


def _pause(levels: Levels, wanted: float) -> tuple[int, int]:
    """The longest stretch that is about as quiet as the quietest value; of equals the one nearest to `wanted`."""
    lowest, loud = levels.min(), np.percentile(levels, _LOUD_PERCENTILE)
    quiet = levels <= min(lowest * _AS_QUIET, lowest + _CONTRAST * (loud - lowest)) + _FLOOR
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8)))
    firsts, lasts = edges[::2], edges[1::2] - 1
    distances = np.abs((firsts + lasts) / 2 - wanted)
    best = min(range(firsts.size), key=lambda run: (firsts[run] - lasts[run], distances[run]))
    return int(firsts[best]), int(lasts[best])
