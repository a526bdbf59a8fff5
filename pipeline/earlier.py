"""Transcripts as versions before 0.2 wrote them, which become those of today when they are read. Pure: no I/O.

What such a row does not say (its span, who answered) is added from the checkpoint when an output is converted; what its
recording is like stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from pipeline.built import built
from pipeline.model import (
    CREDITS_DIGITS,
    DURATION_DIGITS,
    LATENCY_DIGITS,
    WER_DIGITS,
    Status,
    Transcript,
    Utterance,
    Word,
)
from pipeline.segments import has_turns, segments_of, text_of

FORMAT = 3
"""The format of an output's tables. Versions before 0.2 wrote format 1; in format 2 attempts had no `residency`."""


@built
class Transcript1(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the output format 1."""

    id: str
    audio: str
    text: str
    words: tuple[Word, ...]
    duration_s: float
    status: Status
    flags: tuple[str, ...]
    language: str | None
    model: str | None
    audio_hash: str
    config_hash: str
    request_ids: tuple[str, ...]
    attempts: int
    latency_s: float
    credits: float
    run_id: str
    finished_at: datetime
    reference: str | None = None
    wer: float | None = None
    metadata: dict[str, str] = {}


def upgraded(row: Transcript1) -> Transcript:
    """The row in today's format. The text of several channels reads turn after turn; the WER is as it was."""
    fields = msgspec.structs.asdict(row)
    segments = segments_of(row.words)
    fields |= {
        "segments": segments,
        "text": text_of(segments) if has_turns(row.words) else row.text,
        "issues": fields.pop("flags"),
        "duration_s": round(row.duration_s, DURATION_DIGITS),
        "latency_s": round(row.latency_s, LATENCY_DIGITS),
        "credits": round(row.credits, CREDITS_DIGITS),
        "wer": None if row.wer is None else round(row.wer, WER_DIGITS),
    }
    return Transcript(**fields)


def with_span(row: Transcript, asked: Utterance) -> Transcript:
    """The row with the span and the channel of the manifest row that it is the transcript of."""
    return msgspec.structs.replace(row, offset_s=asked.offset_s, span_s=asked.duration_s, channel=asked.channel)


def decoding_either(
    decode: Callable[[Any], Transcript], decode_1: Callable[[Any], Transcript1]
) -> Callable[[Any], Transcript]:
    """A decoder of rows in either format, from one for each."""

    def decoded(row: Any) -> Transcript:
        try:
            return decode(row)
        except msgspec.ValidationError as error:
            try:
                return upgraded(decode_1(row))
            except msgspec.ValidationError:
                raise error from None

    return decoded
