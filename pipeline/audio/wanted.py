"""What of its recording a row wants, and in which form it goes out. Pure."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.audio.decoded import MIX, ON_CLOCK, RATE, Channels, Decoded, channel_name
from pipeline.audio.probe import Probe
from pipeline.audio.spans import answered_on
from pipeline.config.settings import AudioSettings
from pipeline.errors import SpanOutside
from pipeline.model import Utterance
from pipeline.profile import GRADIUM

ROW_TOLERANCE_S = 1.0
"""A row may end so much after its recording: others round, and count from headers."""
SHORTER_S = 0.02
"""A row that ends so little before its recording means all of it."""


def passes_through(utterance: Utterance, probe: Probe, settings: AudioSettings, answered: Collection[str] = ()) -> bool:
    """Whether the service gets the file's own bytes. Not where parts of it were `answered` while it was cut."""
    return (
        probe.content_type in GRADIUM.content_types
        and (not is_span(utterance) or _covers(utterance, probe))
        and probe.duration_s <= settings.max_clip_s
        and not settings.lead_silence_s
        and (settings.upload == "auto" or probe.content_type == "audio/ogg")
        and not answered_on(answered, track_names(utterance, probe, settings)[0])
    )


def channels_of(utterance: Utterance, probe: Probe, settings: AudioSettings) -> Channels:
    """What is decoded of the recording's channels."""
    channels = probe.channels
    if utterance.channel is not None:
        if utterance.channel >= channels > 0:
            raise SpanOutside(
                f"the row asks for channel {utterance.channel}, counted from 0; the recording has {channels}"
            )
        return utterance.channel
    return 0 if settings.channels == "first" else settings.channels  # a file may go on with more than it begins with


def is_one_channel(utterance: Utterance, probe: Probe) -> bool:
    """Whether the same samples go out, of the same channel, whatever `audio.channels` is."""
    return utterance.channel is not None or probe.is_mono


def track_names(utterance: Utterance, probe: Probe, settings: AudioSettings) -> list[tuple[str, ...]]:
    """The names that each track which would be decoded may have, as far as a header tells."""
    which = channels_of(utterance, probe, settings)
    tracks = [(channel_name(channel), str(channel)) for channel in range(max(1, probe.channels))]
    if which == "mix":
        tracks = [(MIX if probe.channels > 1 else channel_name(0), "0")]
    elif which != "split":
        tracks = [(channel_name(which), str(which))]
    return [(name, number, name + ON_CLOCK) for name, number in tracks]


def is_span(utterance: Utterance) -> bool:
    return bool(utterance.offset_s or utterance.duration_s is not None or utterance.channel)


def _covers(utterance: Utterance, probe: Probe) -> bool:
    """Whether the row's span is the whole recording, as manifests have it that give each row its length."""
    length_s = utterance.duration_s or 0.0
    over_s = length_s - probe.duration_s
    return not utterance.offset_s and not utterance.channel and -SHORTER_S <= over_s <= ROW_TOLERANCE_S


def span_of(utterance: Utterance, decoded: Decoded, settings: AudioSettings) -> tuple[int, int, tuple[str, ...]]:
    """(first sample, number of samples, flags) of the utterance in its recording. Raises SpanOutside."""
    whole = max(track.samples for track in decoded.tracks)
    start, samples, is_truncated = span_within(utterance, whole, settings)
    return start, samples, tuple(dict.fromkeys((*decoded.flags, "truncated"))) if is_truncated else decoded.flags


def span_within(utterance: Utterance, whole: int, settings: AudioSettings) -> tuple[int, int, bool]:
    """(first sample, number of samples, whether some are missing) of the utterance in a recording of so many samples.

    Raises SpanOutside.
    """
    start = round(utterance.offset_s * RATE)
    if start >= whole:
        raise SpanOutside(_outside("begins", start, whole))
    if utterance.duration_s is None:
        return start, whole - start, False
    wanted = round(utterance.duration_s * RATE)
    if not wanted:
        raise SpanOutside(f"the row's span of {utterance.duration_s:g} s is shorter than a sample")
    is_truncated = start + wanted > whole + round(ROW_TOLERANCE_S * RATE)
    if is_truncated and not settings.allow_truncated:
        raise SpanOutside(
            f"{_outside('ends', start + wanted, whole)}; audio.allow_truncated = true transcribes what is there"
        )
    return start, min(wanted, whole - start), is_truncated


def _outside(what: str, sample: int, whole: int) -> str:
    return f"the row {what} at {sample / RATE:.2f} s, the recording ends at {whole / RATE:.2f} s"
