"""What of the settings a transcript, or the answer of one clip, depends on, as a hash of its canonical form. Pure."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import get_args

import msgspec

from pipeline.audio.prepare import VERSION as PREPARATION_VERSION
from pipeline.audio.probe import Recording
from pipeline.audio.upload import is_one_channel
from pipeline.checkpoint import Identity
from pipeline.config import Settings
from pipeline.config.settings import AudioSettings
from pipeline.gradium.request import RequestSettings
from pipeline.model import Utterance

_RowSettings = tuple[str | None, tuple[str, ...], float, float | None, int | None]
_CHANNELS = get_args(AudioSettings.model_fields["channels"].annotation)


class SettingsHash:
    """Hashes the settings of one run."""

    def __init__(self, settings: Settings, request: RequestSettings) -> None:
        audio, service = settings.audio, settings.service
        # the toy recognizer's words must not pass for the service's; which of its hosts answered makes no difference
        speaker = f"local:{settings.local.recognizer}" if service.is_embedded else "gradium"
        # not how long clips are, nor whether truncated files are taken: a transcript that is there stays the same
        silence_s = audio.lead_silence_s + 0.0  # -0.0 is 0.0

        @lru_cache(maxsize=256)
        def beginning(language: str | None, keywords: tuple[str, ...], channels: str, written: bool) -> bytes | None:
            config_for = request.written_for if written else request.config_for
            config = config_for(language, keywords)
            if config is None:
                return None
            preparation = (PREPARATION_VERSION, channels, silence_s, audio.upload == "opus")
            return msgspec.json.encode((speaker, request.model, msgspec.to_builtins(config), preparation))[:-1]

        @lru_cache(maxsize=4096)
        def of(row: _RowSettings, channels: str, written: bool) -> str | None:
            language, keywords, *span_of_row = row
            begun = beginning(language, keywords, channels, written)
            if begun is None:
                return None
            # one array, whose beginning is the same for most rows, while their spans are not
            span = msgspec.json.encode(span_of_row)[1:]
            return hashlib.sha256(begun + b"," + span).hexdigest()[:32]

        # neither span nor channels nor where it is cut: the samples that were sent have a name of their own
        of_any_samples = (PREPARATION_VERSION, silence_s, audio.upload == "opus")

        @lru_cache(maxsize=256)
        def of_answers(language: str | None, keywords: tuple[str, ...]) -> str:
            config = msgspec.to_builtins(request.config_for(language, keywords))
            shapes = msgspec.json.encode(("answers", speaker, request.model, config, of_any_samples))
            return hashlib.sha256(shapes).hexdigest()[:32]

        self._of, self._of_answers = of, of_answers
        self._channels = audio.channels
        self._is_written_otherwise = request.written is not None

    def of(self, row: Utterance) -> str:
        """Of everything beside the audio that shapes the row's transcript."""
        return self._of(_settings_of(row), self._channels, False) or ""

    def of_written(self, row: Utterance) -> str | None:
        """The same as versions before the canonical form hashed it; None where that is the same hash."""
        return self._of(_settings_of(row), self._channels, True) if self._is_written_otherwise else None

    def names(self, row: Utterance, *, one_channel: bool) -> list[str]:
        """The hashes of settings that give the row the same transcript: the canonical one first, then the one of
        versions before it, and where there is only `one_channel` to send those of all other `audio.channels`."""
        others = [channels for channels in _CHANNELS if one_channel and channels != self._channels]
        settings = _settings_of(row)
        found = (self._of(settings, channels, old) for channels in (self._channels, *others) for old in (False, True))
        return [name for name in found if name is not None]

    def identities(self, row: Utterance, found: Recording) -> list[Identity]:
        """The identities that a transcript of the row and its recording may have, the current one first."""
        names = self.names(row, one_channel=is_one_channel(row, found.probe))
        return [Identity(audio_hash=found.audio_hash, config_hash=name) for name in names]

    def canonical(self, row: Utterance, config_hash: str) -> str:
        """The hash of a transcript of the row, or of the canonical form where it is of what was written for that."""
        return self.of(row) if config_hash == self.of_written(row) else config_hash

    def of_answers(self, row: Utterance) -> str:
        """Of all that shapes the service's answer to given samples of the row's recording."""
        return self._of_answers(row.language, row.keywords)


def _settings_of(row: Utterance) -> _RowSettings:
    return row.language, row.keywords, row.offset_s, row.duration_s, row.channel
