"""The samples of a recording as blocks of one second, whatever the form: what mixing and resampling work on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]


class Block(NamedTuple):
    """One second of all channels; shorter only at the end, or where rate or channels change."""

    rate: int
    samples: Samples
    """Shape (channels, samples), -1 to 1."""


def cleaned(samples: Samples) -> Samples:
    """Floating-point audio without what is no number or beyond full scale: one such value would ring for long."""
    if samples.size:
        low, high = float(samples.min()), float(samples.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        if not (low >= -1.0 and high <= 1.0):
            samples = np.clip(samples, -1.0, 1.0)
    return samples
