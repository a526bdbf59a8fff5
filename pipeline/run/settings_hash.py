"""What of the settings an answer or a transcript depends on, as a hash."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import msgspec

from pipeline.audio.prepare import VERSION as PREPARATION_VERSION
from pipeline.config import Settings
from pipeline.gradium.request import RequestSettings
from pipeline.model import Utterance


class SettingsHash:
    """Hashes the settings of one run."""

    def __init__(self, settings: Settings, request: RequestSettings) -> None:
        audio, service = settings.audio, settings.service
        speaker = f"local:{settings.local.recognizer}" if service.url == "local" else "gradium"
        # neither span nor channels nor where it is cut: the samples that were sent have a name of their own
        preparation = (PREPARATION_VERSION, audio.lead_silence_s, audio.upload == "opus")

        @lru_cache(maxsize=256)
        def of_answers(language: str | None) -> str:
            config = msgspec.to_builtins(request.config_for(language))
            told = msgspec.json.encode(("answers", speaker, request.model, config, preparation))
            return hashlib.sha256(told).hexdigest()[:32]

        self._of_answers = of_answers

    def of_answers(self, row: Utterance) -> str:
        """Of all that shapes the service's answer to given samples of the row's recording."""
        return self._of_answers(row.language)
