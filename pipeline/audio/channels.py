"""What is done with the channels of a block of audio: they are cleaned, mixed, and compared with each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_CANCELLED = 0.05
"""Of the channels' mean energy: a mix with less has cancelled out. One voice on one of six channels keeps a sixth."""
_AS_LOUD = 0.8
"""Of the loudest channel's energy."""
_FLOOR = 1e-7
"""Mean square below which a block counts as silence (-70 dB of full scale)."""
_RESIDUE = 1e-3
"""Of a block's energy: the difference of two equal channels after a lossy codec (-30 dB)."""
_GAIN_SPREAD = 0.05
"""How much the gain between two equal channels may vary; between channels with crosstalk it varies more."""

Samples = npt.NDArray[np.float32]


class Block(NamedTuple):
    """One second of all channels; shorter only at the end, or where rate or channels change."""

    rate: int
    samples: Samples
    """Shape (channels, samples), -1 to 1."""

    @property
    def duration_s(self) -> float:
        return float(self.samples.shape[1] / self.rate)


def cleaned(samples: Samples) -> Samples:
    """Floating-point audio clipped to full scale, with NaN as 0: resampling would spread other values widely."""
    if samples.size and not (samples.min() >= -1.0 and samples.max() <= 1.0):  # NaN is neither
        samples = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
    return samples


def mix(samples: Samples) -> Samples:
    """The mean of the channels; where they cancel out, the first channel that is about as loud as the loudest."""
    # one by one: numpy's sum over the short axis of interleaved samples takes thirty times as long
    mixed: Samples = samples[0].copy()
    for channel in samples[1:]:
        mixed += channel
    mixed *= np.float32(1 / len(samples))
    together = (samples if samples.flags.c_contiguous else samples.T).ravel()
    if _energy(mixed) * len(samples) < _CANCELLED * _energy(together):
        # not the loudest itself: alternating between two similar channels would click
        energies = np.array([_energy(channel) for channel in samples])
        chosen: Samples = samples[int(np.argmax(energies >= _AS_LOUD * energies.max()))]
        return chosen
    return mixed


def _energy(samples: Samples) -> float:
    return float(np.dot(samples, samples))


class CopyDetector:
    """Finds channels with the same signal, also if inverted, louder or lossily coded."""

    def __init__(self) -> None:
        self._gains: dict[tuple[int, int], tuple[float, float]] = {}
        """The lowest and the highest gain so far of each pair of channels that was never found to differ."""
        self._channels = 0

    def add(self, samples: Samples) -> None:
        """One block of shape (channels, samples)."""
        if not self._channels:
            self._channels = len(samples)
            self._gains = {(a, b): (np.inf, -np.inf) for b in range(self._channels) for a in range(b)}
        elif len(samples) != self._channels:
            self._gains.clear()
        for pair, gains in [*self._gains.items()]:
            compared = _compare(samples[pair[0]], samples[pair[1]], gains)
            if compared is None:
                del self._gains[pair]
            else:
                self._gains[pair] = compared

    def copies(self) -> set[int]:
        """Channels with the signal of an earlier channel."""
        return {copy for (_, copy), (low, high) in self._gains.items() if low <= high}


def _compare(first: Samples, second: Samples, gains: tuple[float, float]) -> tuple[float, float] | None:
    """The lowest and the highest gain from the first channel to the second; None where they differ."""
    size = max(1, first.size)
    energy, other = _energy(first) / size, _energy(second) / size
    if max(energy, other) < _FLOOR:
        return gains
    if min(energy, other) < _FLOOR * 1e-2:
        return None
    shared = float(np.dot(first, second)) / size
    if other - shared * shared / energy > _RESIDUE * other + _FLOOR:
        return None
    low, high = min(gains[0], shared / energy), max(gains[1], shared / energy)
    is_steady = high - low <= _GAIN_SPREAD * abs(high + low) / 2 + np.sqrt(_FLOOR / energy)
    return (low, high) if is_steady else None
