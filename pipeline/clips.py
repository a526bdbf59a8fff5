"""What is kept of answered clips: until their utterance has its transcript, and in clips.jsonl."""

from __future__ import annotations

import msgspec

from pipeline.built import built
from pipeline.model import ClipTimes, Word


@built
class ClipResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an answered clip adds to its utterance's transcript; kept until all clips of the utterance have theirs."""

    clip: int
    key: str
    words: tuple[Word, ...]
    """On the utterance's clock, …"""
    start_s: float | None = None
    """… on which the clip started here; None where an older version stored it, under settings that tell the clock."""
    issues: tuple[str, ...] = msgspec.field(name="flags")  # what versions before 0.2 call them
    request_id: str | None
    model: str | None
    latency_s: float
    credits: float
    audio_bytes: int | None = None
    """Length of the file that it is a clip of: only one of that length can be the same. None where an older version
    stored it."""
    times: ClipTimes | None = None
    """None where an older version stored it."""


@built
class KeptClip(msgspec.Struct, frozen=True, kw_only=True):
    """An answered clip outside of the checkpoint: a line of clips.jsonl."""

    id: str
    """The utterance that it was sent for, …"""
    audio: str
    """… and its recording."""
    key: str
    """What it answers to, beside the samples: the audio, and the settings that shape an answer."""
    config_hash: str
    """Of the utterance, when it was sent."""
    result: ClipResult
