"""Recordings of forms that tell their true length, in any number of different contents."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import soundfile

RATES = (8_000, 16_000, 24_000, 44_100)
FORMS = {
    "wav": ("WAV", "PCM_16"),
    "wav24": ("WAV", "PCM_24"),
    "float": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
    "opus": ("OGG", "OPUS"),
    "vorbis": ("OGG", "VORBIS"),
    "aiff": ("AIFF", "PCM_16"),
}
"""The containers of soundfile and the forms of their samples."""


@dataclass(frozen=True)
class Content:
    """What a file holds."""

    form: str
    seed: int
    seconds: float
    channels: int
    rate: int

    @property
    def data(self) -> bytes:
        return _data(self)


@lru_cache(maxsize=512)
def _data(content: Content) -> bytes:
    rate = 48_000 if content.form == "opus" else content.rate
    count = round(content.seconds * rate)
    rng = np.random.default_rng(content.seed)
    samples = rng.uniform(-0.3, 0.3, (count, content.channels)).astype(np.float32)
    container, subtype = FORMS[content.form]
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=container)
    return file.getvalue()
