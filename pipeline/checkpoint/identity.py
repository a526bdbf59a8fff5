"""The identity of a transcript: hashes of the audio and the settings, by which any utterance finds it. Pure."""

from __future__ import annotations

from typing import Self

import msgspec

from pipeline.built import built
from pipeline.model import Transcript

PARTIAL = ""
"""The config_hash stored for a transcript with gaps: no row matches it, and a whole transcript replaces it."""
GAP = "gap "
"""The prefix of an issue that names a part of the audio without an answer."""
HAS_TRANSCRIPT = "u.done_audio = ? AND u.done_config = ? AND (u.part IS NOT NULL OR r.row IS NOT NULL)"
"""For a WHERE: rows `u` with their result `r` that have the transcript of an identity, given its `hashes`."""
TRANSCRIBED = f"utterances u LEFT JOIN results r USING (n) WHERE {HAS_TRANSCRIPT} LIMIT 1"
"""For a FROM: one such row."""


@built
class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Hashes of the audio, and of everything else that determines its transcript."""

    audio_hash: str
    config_hash: str

    @classmethod
    def of(cls, transcript: Transcript) -> Self:
        """Of a transcript; with PARTIAL as config_hash where it has gaps."""
        config_hash = PARTIAL if is_partial(transcript) else transcript.config_hash
        return cls(audio_hash=transcript.audio_hash, config_hash=config_hash)

    def with_settings(self, config_hash: str) -> Self:
        """The same audio under another config_hash."""
        return msgspec.structs.replace(self, config_hash=config_hash)

    @property
    def hashes(self) -> tuple[str, str]:
        """Both, as parameters of a query."""
        return self.audio_hash, self.config_hash

    @property
    def key(self) -> str:
        """Both in one string, `audio_hash:config_hash`."""
        return f"{self.audio_hash}:{self.config_hash}"


def is_partial(transcript: Transcript) -> bool:
    """Whether a transcript has gaps."""
    return any(issue.startswith(GAP) for issue in transcript.issues)
