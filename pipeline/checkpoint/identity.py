"""What a transcript answers to: by it the checkpoint knows what is done, whichever utterance it was done for. Pure."""

from __future__ import annotations

from typing import Self

import msgspec

from pipeline.built import built
from pipeline.model import Transcript

PARTIAL = ""
"""The config_hash that a transcript with gaps counts with: it answers to nothing, and stays until the whole comes."""
GAP = "gap "
"""What a flag begins with that says which part of the audio has no answer."""
HAS_TRANSCRIPT = "u.done_audio = ? AND u.done_config = ? AND (u.part IS NOT NULL OR r.row IS NOT NULL)"
"""For a WHERE: rows `u`, with their result `r`, that have the transcript of an identity: (audio_hash, config_hash)."""
TRANSCRIBED = f"utterances u LEFT JOIN results r USING (n) WHERE {HAS_TRANSCRIPT} LIMIT 1"
"""For a FROM: one of them."""


@built
class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The audio and everything else that shapes its transcript, as hashes."""

    audio_hash: str
    config_hash: str

    @classmethod
    def of(cls, transcript: Transcript) -> Self:
        """With PARTIAL for a transcript that has gaps."""
        config_hash = PARTIAL if is_partial(transcript) else transcript.config_hash
        return cls(audio_hash=transcript.audio_hash, config_hash=config_hash)

    def with_settings(self, config_hash: str) -> Self:
        """The same audio and something else that shapes what is made of it."""
        return msgspec.structs.replace(self, config_hash=config_hash)

    @property
    def hashes(self) -> tuple[str, str]:
        """Both, for a query."""
        return self.audio_hash, self.config_hash

    @property
    def key(self) -> str:
        """As one text, which begins with the audio."""
        return f"{self.audio_hash}:{self.config_hash}"


def is_partial(transcript: Transcript) -> bool:
    """Whether parts of its audio have no answer."""
    return any(flag.startswith(GAP) for flag in transcript.flags)
