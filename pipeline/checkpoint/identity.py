"""What a transcript answers to: by it the checkpoint knows what is done, whichever utterance it was done for. Pure."""

from __future__ import annotations

from typing import Self

import msgspec

from pipeline.model import Transcript

TRANSCRIBED = """utterances u LEFT JOIN results r USING (n)
    WHERE u.done_audio = ? AND u.done_config = ? AND (u.part IS NOT NULL OR r.row IS NOT NULL) LIMIT 1"""
"""For a FROM: an utterance that has the transcript of an identity, given as (audio_hash, config_hash)."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The audio and everything else that shapes its transcript, as hashes."""

    audio_hash: str
    config_hash: str

    @classmethod
    def of(cls, transcript: Transcript) -> Self:
        return cls(audio_hash=transcript.audio_hash, config_hash=transcript.config_hash)

    @property
    def key(self) -> str:
        """As the table `clips` has it; plan.waiting_clips looks for the part behind the colon."""
        return f"{self.audio_hash}:{self.config_hash}"
