"""Which shapes of samples are decoded: told by a header alone. Loads nothing heavy."""

from __future__ import annotations

from pipeline.audio.wav import ALAW, FLOAT, MULAW, PCM, WavFile
from pipeline.errors import AudioUnreadable, AudioUnsupported

NUMBERS = {(PCM, 8): "u1", (PCM, 16): "i2", (PCM, 32): "i4", (FLOAT, 32): "f4", (FLOAT, 64): "f8"}
"""The samples of plain WAV by their tag and bits, as machine types, …"""
PACKED = (PCM, 24)
"""… those of three bytes, which no machine type has, …"""
COMPANDED = {(ALAW, 8): "ALAW", (MULAW, 8): "ULAW"}
"""… and those that stand for others, by libsndfile's names."""
_MOST_CHANNELS = 64
_RATES = (1_000, 768_000)
_MOST_SAMPLES = 8 * 768_000
"""Of all channels in a second, which is in memory: 64 channels at 96 kHz."""


def check_shape(channels: int, rate: int) -> None:
    """Raises AudioUnreadable for a shape that only a damaged header has; it would take the memory of a whole run."""
    sound = 1 <= channels <= _MOST_CHANNELS and _RATES[0] <= rate <= _RATES[1]
    if not sound or channels * rate > _MOST_SAMPLES:
        raise AudioUnreadable(f"the file is damaged in its header: {channels} channels at {rate} Hz")


def check_samples(wav: WavFile) -> None:
    """Raises AudioUnsupported for plain WAV with samples of a size that nobody decodes here."""
    kind = (wav.tag, wav.bits)
    if kind not in NUMBERS and kind not in COMPANDED and kind != PACKED:
        raise AudioUnsupported(f"the file is {wav.form}: no decoder here knows this size of sample")
