"""What an utterance would take, from its recording's header alone. Blocking: call it in a thread."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from pipeline.audio.decoded import RATE
from pipeline.audio.heard import EDGE_S, check_length, refuse_cut_short
from pipeline.audio.prepare import longest_samples
from pipeline.audio.probe import Probe, probe
from pipeline.audio.shapes import check_samples, check_shape
from pipeline.audio.spans import SHORTEST, answered_on, between, chosen, lead_of
from pipeline.audio.wanted import is_span, passes_through, span_within, track_names
from pipeline.built import built
from pipeline.config.settings import AudioSettings
from pipeline.model import Utterance

UNTOLD_BYTES_PER_S = 8_000
"""What a second weighs, roughly, where a header does not tell the length."""


@built
class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent."""

    pieces: tuple[tuple[int, float], ...]
    """(how many requests, seconds that each of them carries, with the silence before it), by what is left of each
    track between what was answered."""
    audio_s: float
    """Seconds of the utterance that they are for; channels that are sent by themselves count once."""
    answered: int = 0
    """Clips that were answered before, and are used."""
    is_guess: bool = False
    """Only decoding tells how long the recording is, or which of its channels are sent."""

    @property
    def requests(self) -> int:
        return sum(count for count, _ in self.pieces)

    @property
    def sent_s(self) -> float:
        """Seconds that are paid for."""
        return sum(count * seconds for count, seconds in self.pieces)


def estimate(utterance: Utterance, settings: AudioSettings, answered: Collection[str] = ()) -> Estimate:
    """`answered` are the keys of clips of this audio that have an answer under these settings.

    Raises a subclass of ItemError where the run would refuse the recording or the row, as far as its header tells.
    """
    found = probe(utterance.audio)
    if found.content_type is not None:
        check_length(found.duration_s, settings.max_recording_h * 3600)
    tracks = track_names(utterance, found, settings)
    if passes_through(utterance, found, settings, answered):
        return Estimate(pieces=((1, found.duration_s),), audio_s=found.duration_s)
    if found.wav is not None:
        check_shape(found.wav.channels, found.wav.rate)
        check_samples(found.wav)
    if found.declared_s is not None and not settings.allow_truncated:
        refuse_cut_short(found.duration_s, found.declared_s, found.version.size_bytes)
    start, samples = _span(utterance, found, settings)
    longest, lead = longest_samples(settings), round(settings.lead_silence_s * RATE)
    pieces: list[tuple[int, float]] = []
    used, most_left = 0, 0
    for names in tracks:
        spans = answered_on(answered, names)
        is_to_the_end = utterance.duration_s is None
        end = _end(start + samples, spans[-1].last if spans and is_to_the_end else 0)
        kept = chosen(spans, start, end)
        left = [last - first for first, last in between(kept, start, end)]
        for one in left:
            count = _pieces(one, longest)
            silence = max(lead, lead_of(one) if kept and count == 1 else 0)
            pieces.append((count, (one / count + silence) / RATE))
        used += len(kept)
        most_left = max(most_left, sum(left))
    return Estimate(
        pieces=tuple(pieces),
        audio_s=most_left / RATE,
        answered=used,
        is_guess=not found.is_counted or len(tracks) > 1,
    )


def _span(utterance: Utterance, found: Probe, settings: AudioSettings) -> tuple[int, int]:
    """(first sample, samples) of what the row wants. Raises RecordingTooLong or SpanOutside."""
    longest_s = settings.max_recording_h * 3600
    if found.is_counted:
        check_length(found.duration_s, longest_s)
        start, samples, _ = span_within(utterance, round(found.duration_s * RATE), settings)
        return start, samples
    guess_s = found.duration_s or found.version.size_bytes / UNTOLD_BYTES_PER_S
    if is_span(utterance):  # who wrote the manifest knows the recording better than a guess does
        guess_s = max(guess_s, utterance.offset_s + (utterance.duration_s or EDGE_S))
    start, samples, _ = span_within(utterance, round(min(guess_s, longest_s) * RATE), settings)
    return start, samples


def _end(told: int, answered: int) -> int:
    """Where the recording ends: headers are not exact, what was answered is."""
    return answered if answered and answered > told - SHORTEST else told


def _pieces(samples: int, longest: int) -> int:
    if samples <= longest:
        return 1
    from pipeline.audio.split import pieces

    return pieces(samples, longest)
