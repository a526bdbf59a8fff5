"""The request settings, checked against the service's documented values before anything is sent.

The service ignores unknown keys, so a misspelt one must be caught here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from pydantic_core import Url

from pipeline.config.settings import ServiceSettings
from pipeline.errors import ConfigError
from pipeline.gradium import wire
from pipeline.profile import GRADIUM
from pipeline.texts import nearest

MAX_URL = 8_000
_NUMBERS = ("temp", "padding_bonus")
_AROUND_A_WORD = len("%22%22%2C")
KEYWORDS_HINT = 'write keywords = { words = ["one", "two"], boost = 3 }'


class RequestSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything besides the audio that determines an answer."""

    model: str
    config: wire.JsonConfig
    """In canonical form: equivalent settings are equal."""
    written: wire.JsonConfig | None = None
    """As in the configuration, if that differs: older versions sent and hashed it in this form."""

    def config_for(self, language: str | None, keywords: Sequence[str] = ()) -> wire.JsonConfig:
        """The `json_config` of an utterance; without `language` or `keywords` the configured ones are used."""
        config = self.config if language is None else msgspec.structs.replace(self.config, language=language)
        if not keywords:
            return config
        configured = config.keywords or wire.Keywords(words=[])
        own = msgspec.structs.replace(configured, words=sorted(set(keywords)))
        return msgspec.structs.replace(config, keywords=own)

    def written_for(self, language: str | None, keywords: Sequence[str] = ()) -> wire.JsonConfig | None:
        """`written` for an utterance; None for one with keywords, which older versions did not have."""
        if keywords or self.written is None or language is None:
            return None if keywords else self.written
        return msgspec.structs.replace(self.written, language=language)

    def query(self, language: str | None, keywords: tuple[str, ...] = ()) -> str:
        """The URL-encoded query of a request."""
        config = msgspec.json.encode(self.config_for(language, keywords)).decode()
        return urlencode({"model": self.model, "json_config": config})

    @property
    def delay_s(self) -> float:
        """The requested delay of the decoder's clock, in seconds."""
        frames = self.config.delay_in_frames or GRADIUM.default_delay_in_frames
        return frames * GRADIUM.frame_s

    @property
    def warning(self) -> str | None:
        """What to say of settings that are sent, and that the service may not take."""
        delay = self.config.delay_in_frames
        if delay is None or delay in GRADIUM.delays_in_frames:
            return None
        documented = ", ".join(map(str, GRADIUM.delays_in_frames))
        return (
            f"service.json_config.delay_in_frames: {delay} is not a documented value ({documented}); the service may "
            "refuse it"
        )

    @property
    def answered_fact(self) -> str:
        """Name of the checkpoint's fact that is 1 once something was answered with these settings."""
        settings = {"model": self.model, "config": self.config}
        return f"answered_settings_{hashlib.sha256(msgspec.json.encode(settings)).hexdigest()[:16]}"


def request_settings(service: ServiceSettings) -> RequestSettings:
    """The request settings of a configuration. Raises ConfigError for one that the service would refuse or ignore."""
    given = service.json_config
    if "language" in given:
        raise ConfigError("service.json_config.language: set the language as service.language")
    if "target_language" in given:
        raise ConfigError("service.json_config.target_language: set the language to translate into as service.language")
    _refuse_unknown("service.json_config", given, wire.JsonConfig)
    keywords = given.get("keywords")
    if isinstance(keywords, dict):
        _refuse_unknown("service.json_config.keywords", keywords, wire.Keywords)
    try:
        config = msgspec.convert({**given, "language": service.language}, wire.JsonConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(_wrong_type(str(error))) from None
    _check_values(config, service.model)
    canonical = _canonical(config)
    is_canonical = msgspec.json.encode(config) == msgspec.json.encode(
        canonical
    )  # compared as hashed: -0.0 differs from 0.0
    return RequestSettings(model=service.model, config=canonical, written=None if is_canonical else config)


def _canonical(config: wire.JsonConfig) -> wire.JsonConfig:
    """Equivalent settings under their newest names, with sorted and distinct keywords, and 0.0 for -0.0."""
    keywords = config.keywords
    if keywords is not None:
        words, boost = sorted(set(keywords.words)), keywords.boost + 0.0
        keywords = msgspec.structs.replace(keywords, words=words, boost=boost)
    frames = config.delay_in_tokens if config.delay_in_frames is None else config.delay_in_frames
    numbers = {name: None if (given := getattr(config, name)) is None else given + 0.0 for name in _NUMBERS}
    return msgspec.structs.replace(config, delay_in_frames=frames, delay_in_tokens=None, keywords=keywords, **numbers)


def check_language(language: str, model: str) -> str | None:
    """A sentence about what is wrong with a language in requests to that model, or None."""
    languages = GRADIUM.languages_of(model)
    known = ", ".join(languages)
    if language in languages:
        return None
    if not language.strip():
        return f"every request names a language; give one of {known}"
    if language in GRADIUM.languages:
        return f"{model} translates into the language, which {language!r} does not name; give one of {known}"
    return f"language {language!r} is not one of the service's: {known}"


def check_keywords(words: Sequence[str]) -> str | None:
    """A sentence about what is wrong with keywords, or None."""
    if not 1 <= len(words) <= GRADIUM.max_keywords:
        return f"give 1 to {GRADIUM.max_keywords} words"
    wrong = next((word for word in words if not word or word.split() != [word]), None)
    if wrong is not None:
        return f"{wrong[:80]!r} is not one word; the service takes single tokens"
    length = sum(len(quote(word, errors="replace")) + _AROUND_A_WORD for word in words)
    if length > GRADIUM.keywords_bytes:
        return f"they take {length:,} bytes of the request's address, of at most {GRADIUM.keywords_bytes:,}; give fewer"
    return None


def check_url(url: str) -> None:
    """Raises ConfigError unless the key may be sent there: https, or plain http to this machine."""
    if "@" in url:  # first, because the other messages show the address
        raise ConfigError("service.url: leave user and password out; the API key is read from service.api_key_env")
    if not _is_address(url):
        raise ConfigError(f'service.url: {url!r} is no http(s) address; "local" starts the embedded server')
    if urlsplit(url).scheme == "http" and not GRADIUM.is_this_machine(url):
        raise ConfigError(f"service.url: {url!r} would carry the API key in clear text; use https")
    if "?" in url or "#" in url:
        raise ConfigError(
            f"service.url: leave out what follows the path of {url!r}; "
            "model and settings are service.model, service.language and service.json_config"
        )


def _is_address(url: str) -> bool:
    """Whether the parsers of browsers, of Python and of the HTTP library all find the same host in it."""
    if not url.isprintable() or " " in url or len(url) > MAX_URL:
        return False
    try:
        parsed, parts = Url(url), urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parsed.scheme not in ("http", "https") or port == 0:
        return False
    if not 0 < len(host) < 254 or not all(0 < len(label) < 64 for label in host.rstrip(".").split(".")):
        return False
    if host.isascii() and "xn--" not in host:
        return ":" in host or host == parsed.host
    import httpx  # slow to load; its rules differ only for names in other scripts

    try:
        return bool(httpx.URL(url).host)
    except (httpx.InvalidURL, ValueError):
        return False


def _check_values(config: wire.JsonConfig, model: str) -> None:
    problem = check_language(config.language or "", model)
    if problem:
        raise ConfigError(f"service.language: {problem}")
    for name in ("delay_in_frames", "delay_in_tokens"):
        delay = getattr(config, name)
        _check_range(name, delay, GRADIUM.delay_range)
    if config.delay_in_frames is not None and config.delay_in_tokens is not None:
        raise ConfigError("service.json_config: delay_in_frames and delay_in_tokens are one setting; give one")
    _check_range("temp", config.temp, GRADIUM.temp)
    _check_range("padding_bonus", config.padding_bonus, GRADIUM.padding_bonus)
    if config.keywords is not None:
        _check_range("keywords.boost", config.keywords.boost, GRADIUM.boost)
        if problem := check_keywords(config.keywords.words):
            raise ConfigError(f"service.json_config.keywords.words: {problem}")


def _check_range(name: str, value: float | None, bounds: tuple[float, float]) -> None:
    low, high = bounds
    if value is not None and not low <= value <= high:
        raise ConfigError(f"service.json_config.{name}: {value} is not between {low:g} and {high:g}")


def _refuse_unknown(where: str, keys: Iterable[str], table: type[msgspec.Struct]) -> None:
    known = table.__struct_fields__
    for key in keys:
        if key not in known:
            near = nearest(key, known)
            hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"{where}: unknown key {key!r}, which the service would silently ignore; {hint}")


def _wrong_type(message: str) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.temp`" as a sentence that begins with the key."""
    wrong, _, place = message.replace("`", "").partition(" - at $")
    hint = f"; {KEYWORDS_HINT}" if place.startswith(".keywords") else ""
    return f"service.json_config{place}: {wrong[:1].lower()}{wrong[1:]}{hint}"
