"""Which channels carry the same signal: mono in stereo clothes, be it turned round, louder, or lossily coded."""

from __future__ import annotations

import numpy as np

from pipeline.audio.blocks import Samples

_FLOOR = 1e-7
"""Mean square below which a block says nothing (-70 dB of full scale)."""
_REST = 1e-3
"""Of a block's energy, what a lossy codec may make of two equal channels (-30 dB)."""
_GAIN_SPREAD = 0.05
"""How far the ratio of two equal channels may wander; two speakers' bleed does not keep to one ratio."""


class Likeness:
    """Compares channels block by block; a pair once found different is looked at no more."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[int, int], tuple[float, float]] = {}
        self._channels = 0
        self._blocks = 0

    def add(self, samples: Samples) -> None:
        """One block of shape (channels, samples)."""
        if not self._blocks:
            self._channels = len(samples)
            count = range(self._channels)
            self._pairs = {(a, b): (np.inf, -np.inf) for a in count for b in count if a < b}
        elif len(samples) != self._channels:
            self._pairs.clear()
        self._blocks += 1
        for pair in list(self._pairs):
            self._compare(pair, samples)

    def copies(self) -> set[int]:
        """Channels whose signal a channel before them carries."""
        return {b for (_, b), (low, high) in self._pairs.items() if low <= high}

    def _compare(self, pair: tuple[int, int], samples: Samples) -> None:
        first, second = samples[pair[0]], samples[pair[1]]
        size = max(1, first.size)
        energy, other = float(np.dot(first, first)) / size, float(np.dot(second, second)) / size
        if max(energy, other) < _FLOOR:
            return
        if min(energy, other) < _FLOOR * 1e-2:
            del self._pairs[pair]
            return
        shared = float(np.dot(first, second)) / size
        if other - shared * shared / energy > _REST * other + _FLOOR:
            del self._pairs[pair]
            return
        gain = shared / energy
        low, high = self._pairs[pair]
        low, high = min(low, gain), max(high, gain)
        if high - low > _GAIN_SPREAD * abs(high + low) / 2 + np.sqrt(_FLOOR / energy):
            del self._pairs[pair]
            return
        self._pairs[pair] = (low, high)
