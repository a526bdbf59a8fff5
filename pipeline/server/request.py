"""Parses a request's query and headers, and makes the server's refusals.

Pure functions; the limits come from `gradium/wire.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from pipeline.gradium import wire

DEFAULT_CONTENT_TYPE = "audio/wav"
CLOSE = {"Connection": "close"}
"""Headers of refusals that do not wait for the rest of the body."""
BAD_KEY = "API key is revoked or expired"
NO_CREDITS = "Insufficient credits: no credits remaining for this billing period"
"""The service's own words are not known."""
OVER_LIMIT = "Concurrency limit exceeded: at most {} sessions at the same time"
"""That it contains `Concurrency limit` is all that is known of the service's words."""


@dataclass(eq=False)
class RefusalError(Exception):
    """The request is answered with this instead of a stream."""

    outcome: str
    """Its name in statistics and log."""
    status: int
    body: str
    headers: Mapping[str, str] | None = None
    content_type: str = "text/plain; charset=utf-8"


def policy(outcome: str, reason: str, headers: Mapping[str, str] | None = None) -> RefusalError:
    """Returns what the service answers to a key, a format or a setup it does not take."""
    return RefusalError(outcome, 500, f"error from server {wire.CODE_POLICY}: {reason}", headers=headers)


def internal(outcome: str, reason: str) -> RefusalError:
    """Returns what the service answers when it failed inside."""
    return RefusalError(outcome, 500, f"error from server {wire.CODE_INTERNAL}: {reason}")


def input_format(query: Mapping[str, str], content_type: str | None) -> str:
    """Returns one of `wire.INPUT_FORMATS`; the query overrides the Content-Type.

    Raises RefusalError: 1008 for an unknown `input_format`, the proxy's plain words for a Content-Type.
    """
    if named := query.get("input_format"):
        if named not in wire.INPUT_FORMATS:
            raise policy("bad_input_format", f"unsupported input_format {named!r}")
        return named
    media_type = (content_type or DEFAULT_CONTENT_TYPE).partition(";")[0].strip().lower()
    if media_type not in wire.CONTENT_TYPES:
        raise RefusalError("unsupported_content_type", 500, f"unsupported content type for SST {media_type!r}")
    return wire.CONTENT_TYPES[media_type]


def json_config(query: Mapping[str, str]) -> wire.JsonConfig:
    """Returns the `json_config` of a query, unknown keys left out.

    Raises RefusalError (1008) for invalid JSON and for values outside the documented ones.
    """
    text = query.get("json_config")
    if not text:
        return wire.JsonConfig()
    try:
        config = msgspec.json.decode(text, type=wire.JsonConfig)
    except (msgspec.DecodeError, UnicodeError) as error:  # ValidationError is a DecodeError
        _refuse(str(error))
    if config.language is not None and config.language not in wire.LANGUAGES:
        _refuse(f"unknown language {config.language!r}")
    for delay in (config.delay_in_frames, config.delay_in_tokens):
        if delay is not None and delay not in wire.DELAYS_IN_FRAMES:
            _refuse(f"delay_in_frames {delay} is not one of {list(wire.DELAYS_IN_FRAMES)}")
    _check_range("temp", config.temp, wire.TEMP_RANGE)
    _check_range("padding_bonus", config.padding_bonus, wire.PADDING_BONUS_RANGE)
    if config.keywords is not None:
        _check_keywords(config.keywords)
    return config


def delay_in_frames(config: wire.JsonConfig) -> int:
    """Returns the look-ahead that is in force, in frames of 80 ms."""
    for delay in (config.delay_in_frames, config.delay_in_tokens):
        if delay is not None:
            return delay
    return wire.DEFAULT_DELAY_IN_FRAMES


def _check_keywords(keywords: wire.Keywords) -> None:
    if len(keywords.words) > wire.MAX_KEYWORDS:
        _refuse(f"{len(keywords.words)} keywords are more than {wire.MAX_KEYWORDS}")
    for word in keywords.words:
        if not word or any(letter.isspace() for letter in word):
            _refuse(f"the keyword {word!r} is not a single token")
    _check_range("keywords.boost", keywords.boost, wire.BOOST_RANGE)


def _check_range(name: str, value: float | None, limits: tuple[float, float]) -> None:
    low, high = limits
    if value is not None and not low <= value <= high:
        _refuse(f"{name} {value:g} is not between {low:g} and {high:g}")


def _refuse(reason: str) -> NoReturn:
    raise policy("bad_settings", f"invalid json_config: {reason}")
