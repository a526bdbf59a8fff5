"""What is asked of the service: the request settings, checked against the documented values before anything is sent.

The service ignores keys it does not know, so a misspelt one must be caught here.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from pipeline.config.settings import ServiceSettings
from pipeline.errors import ConfigError
from pipeline.gradium import wire

KEYWORDS_HINT = 'write keywords = { words = ["one", "two"], boost = 3 }'


class RequestSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything beside the audio that shapes an answer."""

    model: str
    config: wire.JsonConfig

    def config_for(self, language: str | None) -> wire.JsonConfig:
        """The `json_config` of an utterance; `language` None takes the configured one."""
        return self.config if language is None else msgspec.structs.replace(self.config, language=language)

    def query(self, language: str | None) -> str:
        """The URL-encoded query of a request, the same for every utterance of one language."""
        return _query(self, language)

    @property
    def delay_s(self) -> float:
        """How late the asked-for decoder clock runs, in seconds."""
        frames = self.config.delay_in_frames or self.config.delay_in_tokens or wire.DEFAULT_DELAY_IN_FRAMES
        return frames * wire.FRAME_S

    def __hash__(self) -> int:
        return hash(msgspec.json.encode(self))


@lru_cache(maxsize=64)
def _query(settings: RequestSettings, language: str | None) -> str:
    config = msgspec.json.encode(settings.config_for(language)).decode()
    return urlencode({"model": settings.model, "json_config": config})


def request_settings(service: ServiceSettings) -> RequestSettings:
    """The request settings of a configuration. Raises ConfigError where the service would not take (or see) one."""
    given = service.json_config
    for key in given:
        if key not in wire.JsonConfig.__struct_fields__:
            raise ConfigError(_unknown("service.json_config", key, wire.JsonConfig.__struct_fields__))
    if "language" in given:
        raise ConfigError("service.json_config.language: set the language as service.language")
    keywords = given.get("keywords")
    if isinstance(keywords, dict):
        for key in keywords:
            if key not in wire.Keywords.__struct_fields__:
                raise ConfigError(_unknown("service.json_config.keywords", key, wire.Keywords.__struct_fields__))
    try:
        config = msgspec.convert({**given, "language": service.language}, wire.JsonConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"service.json_config: {error}; {KEYWORDS_HINT}") from None
    _check_values(config)
    return RequestSettings(model=service.model, config=config)


def check_language(language: str) -> str | None:
    """What is wrong with a row's language, as a sentence; None when nothing is."""
    if language in wire.LANGUAGES:
        return None
    return f"language {language!r} is not one of the service's: {', '.join(wire.LANGUAGES)}"


def check_url(url: str) -> None:
    """Raises ConfigError unless the key may be sent there: https, or plain http to this machine."""
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ConfigError(f'service.url: {url!r} is no http(s) address; "local" starts the embedded server')
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ConfigError(f"service.url: {url!r} would carry the API key in clear text; use https")
    if parts.username or parts.password:
        raise ConfigError("service.url: leave user and password out; the key goes in GRADIUM_API_KEY")


def _check_values(config: wire.JsonConfig) -> None:
    problem = check_language(config.language or "")
    if problem:
        raise ConfigError(f"service.language: {problem}")
    for name in ("delay_in_frames", "delay_in_tokens"):
        delay = getattr(config, name)
        if delay is not None and delay not in wire.DELAYS_IN_FRAMES:
            known = ", ".join(map(str, wire.DELAYS_IN_FRAMES))
            raise ConfigError(f"service.json_config.{name}: {delay} is not one of {known}")
    if config.delay_in_frames is not None and config.delay_in_tokens is not None:
        raise ConfigError("service.json_config: delay_in_frames and delay_in_tokens are one setting; give one")
    _check_range("temp", config.temp, wire.TEMP_RANGE)
    _check_range("padding_bonus", config.padding_bonus, wire.PADDING_BONUS_RANGE)
    if config.keywords is not None:
        _check_range("keywords.boost", config.keywords.boost, wire.BOOST_RANGE)
        if not 1 <= len(config.keywords.words) <= wire.MAX_KEYWORDS:
            raise ConfigError(f"service.json_config.keywords.words: give 1 to {wire.MAX_KEYWORDS} words")
        for word in config.keywords.words:
            if not word or word.split() != [word]:
                raise ConfigError(
                    f"service.json_config.keywords.words: {word!r} is not one word; the service takes single tokens"
                )


def _check_range(name: str, value: float | None, bounds: tuple[float, float]) -> None:
    low, high = bounds
    if value is not None and not low <= value <= high:
        raise ConfigError(f"service.json_config.{name}: {value} is not between {low:g} and {high:g}")


def _unknown(where: str, key: str, known: tuple[str, ...]) -> str:
    nearest: list[Any] = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    meant = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
    return f"{where}: unknown key {key!r}, which the service would silently ignore; {meant}"
