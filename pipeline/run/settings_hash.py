"""What of the settings a transcript, or the answer of one clip, depends on, as a hash of its canonical form. Pure."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import msgspec

from pipeline.audio.prepare import VERSION as PREPARATION_VERSION
from pipeline.checkpoint import Identity
from pipeline.config import Settings
from pipeline.gradium.request import RequestSettings
from pipeline.model import Utterance


class SettingsHash:
    """Hashes the settings of one run."""

    def __init__(self, settings: Settings, request: RequestSettings) -> None:
        audio, service = settings.audio, settings.service
        # the toy recognizer's words must not pass for the service's; which of its hosts answered makes no difference
        speaker = f"local:{settings.local.recognizer}" if service.url == "local" else "gradium"
        # not how long clips are, nor whether broken files are taken: what has a transcript would not get another one
        silence_s = audio.lead_silence_s + 0.0  # -0.0 is 0.0
        preparation = (PREPARATION_VERSION, audio.channels, silence_s, audio.upload == "opus")

        @lru_cache(maxsize=256)
        def beginning(language: str | None, written: bool) -> bytes | None:
            config = request.written_for(language) if written else request.config_for(language)
            if config is None:
                return None
            return msgspec.json.encode((speaker, request.model, msgspec.to_builtins(config), preparation))[:-1]

        @lru_cache(maxsize=4096)
        def of(
            language: str | None, offset_s: float, duration_s: float | None, channel: int | None, written: bool
        ) -> str | None:
            begun = beginning(language, written)
            if begun is None:
                return None
            # one array, whose beginning is the same for most rows, while their spans are not
            span = msgspec.json.encode((offset_s, duration_s, channel))[1:]
            return hashlib.sha256(begun + b"," + span).hexdigest()[:32]

        # neither span nor channels nor where it is cut: the samples that were sent have a name of their own
        of_any_samples = (PREPARATION_VERSION, silence_s, audio.upload == "opus")

        @lru_cache(maxsize=256)
        def of_answers(language: str | None) -> str:
            config = msgspec.to_builtins(request.config_for(language))
            told = msgspec.json.encode(("answers", speaker, request.model, config, of_any_samples))
            return hashlib.sha256(told).hexdigest()[:32]

        self._of, self._of_answers = of, of_answers

    def of(self, row: Utterance) -> str:
        """Of everything beside the audio that shapes the row's transcript."""
        return self._of(row.language, row.offset_s, row.duration_s, row.channel, False) or ""

    def of_written(self, row: Utterance) -> str | None:
        """The same as versions before the canonical form hashed it; None where that is the same hash."""
        return self._of(row.language, row.offset_s, row.duration_s, row.channel, True)

    def written(self, row: Utterance, now: Identity) -> Identity | None:
        """What versions before the canonical form called an identity of the row; None where that is the same."""
        before = self.of_written(row)
        return None if before is None else now.with_settings(before)

    def canonical(self, row: Utterance, config_hash: str) -> str:
        """The hash of a transcript of the row, or of the canonical form where it is of what was written for that."""
        return self.of(row) if config_hash == self.of_written(row) else config_hash

    def of_answers(self, row: Utterance) -> str:
        """Of all that shapes the service's answer to given samples of the row's recording."""
        return self._of_answers(row.language)
