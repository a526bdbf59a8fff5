"""What an utterance would take, from its recording's header alone. Blocking: call it in a thread."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from pipeline.audio.decoded import RATE
from pipeline.audio.prepare import longest_samples
from pipeline.audio.probe import probe
from pipeline.audio.spans import SHORTEST, answered_on, between, chosen, lead_of
from pipeline.audio.wanted import passes_through, track_names
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
    """Seconds that are paid for: of each channel that is sent by itself what has no answer, and the silence before
    each request."""
    answered: int = 0
    """Clips that were answered before, and are used."""


def estimate(utterance: Utterance, settings: AudioSettings, answered: Collection[str] = ()) -> Estimate:
    """`answered` are the keys of clips of this audio that have an answer under these settings.

    Raises a subclass of ItemError where the recording cannot be sent, as far as its header tells.
    """
    found = probe(utterance.audio)
    tracks = track_names(utterance, found, settings)
    length_s = found.duration_s or found.version.size_bytes / UNTOLD_BYTES_PER_S
    left_s = length_s - utterance.offset_s
    if left_s <= 0:
        raise SpanOutside(f"the row begins at {utterance.offset_s:g} s, the recording ends at {length_s:.2f} s")
    audio_s = left_s if utterance.duration_s is None else min(left_s, utterance.duration_s)
    start, samples = round(utterance.offset_s * RATE), round(audio_s * RATE)
    longest = samples if passes_through(utterance, found, settings, answered) else longest_samples(settings)
    lead = round(settings.lead_silence_s * RATE)
    requests = used = leads = 0
    sent_s = 0.0
    for names in tracks:
        spans = answered_on(answered, names)
        end = _end(start + samples, spans[-1].last if spans and audio_s == left_s else 0)
        kept = chosen(spans, start, end)
        left = [last - first for first, last in between(kept, start, end)]
        for piece in left:
            count = _pieces(piece, longest)
            requests += count
            leads += max(count * lead, lead_of(piece) if kept else 0)
        sent_s += sum(left) / RATE if kept else audio_s
        used += len(kept)
    sent_s += leads / RATE
    return Estimate(requests=requests, audio_s=audio_s, sent_s=sent_s, answered=used)


def _end(told: int, answered: int) -> int:
    """Where the recording ends: headers are not exact, what was answered is."""
    return answered if answered and answered > told - SHORTEST else told


def _pieces(samples: int, longest: int) -> int:
    if samples <= longest:
        return 1
    from pipeline.audio.split import pieces

    return pieces(samples, longest)
