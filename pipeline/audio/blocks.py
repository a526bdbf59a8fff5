"""The samples of a recording as blocks of one second, whatever the form: what mixing and resampling work on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.errors import AudioUnreadable

Samples = npt.NDArray[np.float32]

_MOST_CHANNELS = 64
_RATES = (1_000, 768_000)
_MOST_SAMPLES = 8 * 768_000
"""Of all channels in a second, which is in memory: 64 channels at 96 kHz."""


class Block(NamedTuple):
    """One second of all channels; shorter only at the end, or where rate or channels change."""

    rate: int
    samples: Samples
    """Shape (channels, samples), -1 to 1."""


def check_shape(channels: int, rate: int) -> None:
    """Raises AudioUnreadable for a shape that only a damaged header has; it would take the memory of a whole run."""
    sound = 1 <= channels <= _MOST_CHANNELS and _RATES[0] <= rate <= _RATES[1]
    if not sound or channels * rate > _MOST_SAMPLES:
        raise AudioUnreadable(f"the file is damaged in its header: {channels} channels at {rate} Hz")


def cleaned(samples: Samples) -> Samples:
    """Floating-point audio without what is no number or beyond full scale: one such value would ring for long."""
    if samples.size:
        low, high = float(samples.min()), float(samples.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        if not (low >= -1.0 and high <= 1.0):
            samples = np.clip(samples, -1.0, 1.0)
    return samples
