"""Decides by a recording's header which span and channels a row sends, as they are or decoded, in how many requests.

Reads nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import msgspec

from pipeline.audio.pieces import PieceLimits, expected_pieces
from pipeline.audio.probe import OGG_TYPE, Probe
from pipeline.audio.spans import MIN_SAMPLES, answered_spans, best_spans, gaps_between, lead_of
from pipeline.audio.tracks import (
    EDGE_S,
    MIX,
    ON_CLOCK,
    SAMPLE_RATE,
    Channels,
    Decoded,
    DecodeProgress,
    channel_name,
    check_length,
)
from pipeline.built import built
from pipeline.config.settings import AudioSettings
from pipeline.errors import SpanOutside
from pipeline.model import Utterance
from pipeline.price import Price

MARGIN_S = 0.5
"""Clips are cut this much shorter than a request may carry, because the service may count slightly differently."""
UNIT_MARGIN_S = 0.25
"""Pieces fill this much less than the units that they are billed for, for the same reason, …"""
UNIT_MARGIN_SHARE = 0.125
"""… and for units that are short this share."""
ROW_TOLERANCE_S = 1.0
"""How far a row may end after its recording: manifests have rounded lengths, and lengths from headers."""
SHORTER_S = 0.02
"""A row that ends at most this much before its recording covers all of it."""
DEFAULT_BYTES_PER_S = 8_000
"""A guess where a header gives no length."""


def is_sent_as_is(utterance: Utterance, probe: Probe, settings: AudioSettings, answered: Collection[str] = ()) -> bool:
    """Whether the service gets the file's own bytes; not where parts of it were `answered` before.

    Raises RecordingTooLong.
    """
    if probe.content_type is None:
        return False
    check_length(probe.duration_s, settings.max_recording_h * 3600)
    return (
        (not is_span(utterance) or _covers(utterance, probe))
        and probe.duration_s <= settings.max_clip_s
        and not settings.lead_silence_s
        and (settings.upload == "auto" or probe.content_type == OGG_TYPE)
        and not (answered and answered_spans(answered, track_names(utterance, probe, settings)[0]))
    )


def channels_of(utterance: Utterance, probe: Probe, settings: AudioSettings) -> Channels:
    """Which of the recording's channels are decoded. Raises SpanOutside."""
    channels = probe.channels
    if utterance.channel is not None:
        if utterance.channel >= channels > 0:
            raise SpanOutside(
                f"the row asks for channel {utterance.channel}, counted from 0; the recording has {channels}"
            )
        return utterance.channel
    return 0 if settings.channels == "first" else settings.channels  # not "mix": channels may be added later in a file


def is_one_channel(utterance: Utterance, probe: Probe) -> bool:
    """Whether the same samples of the same channel are sent whatever `audio.channels` is."""
    return utterance.channel is not None or probe.is_mono


def track_names(utterance: Utterance, probe: Probe, settings: AudioSettings) -> list[tuple[str, ...]]:
    """For each track that would be decoded the names that it may have, by the header."""
    which = channels_of(utterance, probe, settings)
    if which == "mix":
        tracks = [(MIX if probe.channels > 1 else channel_name(0), "0")]
    else:
        channels = range(max(1, probe.channels)) if which == "split" else (which,)
        tracks = [(channel_name(channel), str(channel)) for channel in channels]
    return [(name, number, name + ON_CLOCK) for name, number in tracks]


def is_span(utterance: Utterance) -> bool:
    """Whether the row names a part of its recording."""
    return bool(utterance.offset_s or utterance.duration_s is not None or utterance.channel)


def _covers(utterance: Utterance, probe: Probe) -> bool:
    """Whether the row's span is the whole recording, as in manifests that give the length in each row."""
    over_s = (utterance.duration_s or 0.0) - probe.duration_s
    return not utterance.offset_s and not utterance.channel and -SHORTER_S <= over_s <= ROW_TOLERANCE_S


def span_of(utterance: Utterance, decoded: Decoded, settings: AudioSettings) -> tuple[int, int, tuple[str, ...]]:
    """(first sample, number of samples, issues) of the utterance in its decoded recording. Raises SpanOutside."""
    recorded = max(track.samples for track in decoded.tracks)
    start, samples, is_truncated = _span_within(utterance, recorded, settings)
    return start, samples, tuple(dict.fromkeys((*decoded.issues, "truncated"))) if is_truncated else decoded.issues


def _span_within(utterance: Utterance, recorded: int, settings: AudioSettings) -> tuple[int, int, bool]:
    """(first sample, number of samples, whether some are missing) of the utterance in `recorded` samples.

    Raises SpanOutside.
    """
    start = round(utterance.offset_s * SAMPLE_RATE)
    if start >= recorded:
        raise _outside("begins", start, recorded)
    if utterance.duration_s is None:
        return start, recorded - start, False
    wanted = round(utterance.duration_s * SAMPLE_RATE)
    if not wanted:
        raise SpanOutside(f"the row's span of {utterance.duration_s:g} s is shorter than a sample")
    is_truncated = start + wanted > recorded + round(ROW_TOLERANCE_S * SAMPLE_RATE)
    if is_truncated and not settings.allow_truncated:
        raise _outside("ends", start + wanted, recorded, "; audio.allow_truncated = true transcribes what is there")
    return start, min(wanted, recorded - start), is_truncated


def _outside(verb: str, sample: int, recorded: int, hint: str = "") -> SpanOutside:
    end_s = recorded / SAMPLE_RATE
    return SpanOutside(f"the row {verb} at {sample / SAMPLE_RATE:.2f} s, the recording ends at {end_s:.2f} s{hint}")


def piece_limits(settings: AudioSettings, price: Price) -> PieceLimits:
    """What of a recording goes into one clip."""
    margin_s = min(MARGIN_S, settings.max_clip_s / 100)
    unit_margin_s = min(UNIT_MARGIN_S, price.unit_s * UNIT_MARGIN_SHARE)
    return PieceLimits(
        longest=int((settings.max_clip_s - settings.lead_silence_s - margin_s) * SAMPLE_RATE),
        unit=price.unit_s * SAMPLE_RATE,
        beside=(price.overhead_s + settings.lead_silence_s + unit_margin_s) * SAMPLE_RATE,
    )


@built
class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent for an utterance."""

    pieces: tuple[tuple[int, float], ...]
    """(number of requests, seconds of each with its leading silence) for each unanswered part of each track."""
    audio_s: float
    """Unanswered seconds of the utterance; those of channels that are sent separately count once."""
    answered: int = 0
    """Clips that were answered before and are used."""
    is_guess: bool = False
    """Only decoding would show how long the recording is, or which of its channels are sent."""
    depends_on_pauses: bool = False
    """Where it is cut, and so how many units are billed, depends on its pauses, which only decoding would show."""

    @property
    def requests(self) -> int:
        return sum(count for count, _ in self.pieces)

    @property
    def sent_s(self) -> float:
        """Seconds of audio that the requests would carry."""
        return sum(count * seconds for count, seconds in self.pieces)


def estimate(
    utterance: Utterance, found: Probe, settings: AudioSettings, price: Price, answered: Collection[str] = ()
) -> Estimate:
    """The requests for an utterance, by the header of its recording; `answered` are the keys of its audio's clips with
    an answer under these settings.

    Raises a subclass of ItemError where the run would refuse the recording or the row, judging by its header.
    """
    if is_sent_as_is(utterance, found, settings, answered):
        return Estimate(pieces=((1, found.duration_s),), audio_s=found.duration_s)
    tracks = track_names(utterance, found, settings)
    if found.declared_s is not None and not settings.allow_truncated:
        progress = DecodeProgress(allow_truncated=False)
        progress.seconds = found.duration_s
        progress.finish(found.declared_s, max(found.version.size_bytes, 1))
    start, samples = _expected_span(utterance, found, settings)
    limits, lead = piece_limits(settings, price), round(settings.lead_silence_s * SAMPLE_RATE)
    pieces: list[tuple[int, float]] = []
    used, most_left, has_cuts = 0, 0, False
    for names in tracks:
        spans = answered_spans(answered, names)
        end = start + samples
        if spans and utterance.duration_s is None and spans[-1].last > end - MIN_SAMPLES:
            end = spans[-1].last  # exact, unlike the header
        kept = best_spans(spans, start, end)
        gaps = [last - first for first, last in gaps_between(kept, start, end)]
        for gap in gaps:
            expected = expected_pieces(gap, limits)
            is_cut = sum(count for count, _ in expected) > 1
            has_cuts |= is_cut
            silence = max(lead, lead_of(gap) if kept and not is_cut else 0)
            pieces += [(count, (length + silence) / SAMPLE_RATE) for count, length in expected]
        used += len(kept)
        most_left = max(most_left, sum(gaps))
    return Estimate(
        pieces=tuple(pieces),
        audio_s=most_left / SAMPLE_RATE,
        answered=used,
        is_guess=not found.is_counted or len(tracks) > 1,
        depends_on_pauses=bool(limits.unit) and has_cuts,
    )


def _expected_span(utterance: Utterance, found: Probe, settings: AudioSettings) -> tuple[int, int]:
    """(first sample, number of samples) of the row's span. Raises RecordingTooLong or SpanOutside."""
    max_s, seconds = settings.max_recording_h * 3600, found.duration_s
    if found.is_counted:
        check_length(seconds, max_s)
    else:
        seconds = seconds or found.version.size_bytes / DEFAULT_BYTES_PER_S
        if is_span(utterance):  # the manifest is likelier to be right than an estimate
            seconds = max(seconds, utterance.offset_s + (utterance.duration_s or EDGE_S))
        seconds = min(seconds, max_s)
    samples = math.floor(seconds * SAMPLE_RATE + 0.5)  # as soxr, which counts half a sample as one
    return _span_within(utterance, samples, settings)[:2]
