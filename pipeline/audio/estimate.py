"""What an utterance would take, from its recording's header alone. Blocking: call it in a thread."""

from __future__ import annotations

import msgspec

from pipeline.audio.decoded import RATE
from pipeline.audio.prepare import channels_of, longest_samples
from pipeline.audio.probe import probe
from pipeline.config.settings import AudioSettings
from pipeline.errors import SpanOutside
from pipeline.model import Utterance

UNTOLD_BYTES_PER_S = 8_000
"""What a second weighs, roughly, where a header does not tell the length."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent."""

    requests: int
    audio_s: float
    """Seconds of the utterance."""
    sent_s: float
    """Seconds that are paid for: each channel that is sent by itself, and the lead silence of each request."""


def estimate(utterance: Utterance, settings: AudioSettings) -> Estimate:
    """Raises a subclass of ItemError where the recording cannot be sent, as far as its header tells."""
    found = probe(utterance.audio)
    channels = found.channels if channels_of(utterance, found, settings) == "split" else 1
    length_s = found.duration_s or found.size_bytes / UNTOLD_BYTES_PER_S
    left_s = length_s - utterance.offset_s
    if left_s <= 0:
        raise SpanOutside(f"the row begins at {utterance.offset_s:g} s, the recording ends at {length_s:.2f} s")
    audio_s = left_s if utterance.duration_s is None else min(left_s, utterance.duration_s)
    clips = 1
    is_cut = found.content_type is None or audio_s < length_s or settings.lead_silence_s or settings.upload != "auto"
    if audio_s * RATE > (longest_samples(settings) if is_cut else settings.max_clip_s * RATE):
        from pipeline.audio.split import pieces

        clips = pieces(round(audio_s * RATE), longest_samples(settings))
    requests = clips * channels
    return Estimate(requests=requests, audio_s=audio_s, sent_s=audio_s * channels + requests * settings.lead_silence_s)
