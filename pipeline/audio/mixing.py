"""Several channels brought to one: the mean, except where it is silence because the channels cancel out."""

from __future__ import annotations

import numpy as np

from pipeline.audio.blocks import Samples

_CANCELLED = 0.05
"""Of the channels' mean energy. Two voices keep a half of it, one voice on one of six channels a sixth."""
_AS_LOUD = 0.8


def mix(samples: Samples) -> Samples:
    """One block of shape (channels, samples) as one channel, of shape (samples,)."""
    if len(samples) == 1:
        return np.ascontiguousarray(samples[0])
    mixed: Samples = samples.sum(axis=0, dtype=np.float32)
    mixed *= np.float32(1 / len(samples))
    energies = np.array([float(np.dot(channel, channel)) for channel in samples])
    if float(np.dot(mixed, mixed)) < _CANCELLED * float(energies.mean()):
        # the first that is about as loud as the loudest: jumping between two that are alike would click
        chosen = int(np.argmax(energies >= _AS_LOUD * energies.max()))
        return np.ascontiguousarray(samples[chosen])
    return mixed
