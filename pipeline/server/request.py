"""Parses a request's query and headers.

Pure functions; the limits come from `gradium/wire.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import msgspec

from pipeline.gradium import wire
from pipeline.server.refusal import BAD_SETTINGS, RefusalError, internal, policy

DEFAULT_CONTENT_TYPE = "audio/wav"


def input_format(query: Mapping[str, str], content_type: str | None) -> str:
    """Returns one of `wire.INPUT_FORMATS`; the query overrides the Content-Type.

    Raises RefusalError: 1008 for an unknown `input_format`, the proxy's plain words for a Content-Type.
    """
    if named := query.get("input_format"):
        if named not in wire.INPUT_FORMATS:
            raise policy("bad_input_format", f"unsupported input_format {named!r}")
        return named
    media_type = (content_type or DEFAULT_CONTENT_TYPE).strip().lower()  # with a parameter it is refused
    if media_type not in wire.CONTENT_TYPES:
        raise RefusalError("unsupported_content_type", 500, f"unsupported content type for SST {media_type!r}")
    return wire.CONTENT_TYPES[media_type]


def json_config(query: Mapping[str, str], *, language_required: bool) -> wire.JsonConfig:
    """Returns the `json_config` of a query, unknown keys left out.

    Raises RefusalError: 1011 for what does not parse and where a language is missing, 1008 for other values than it
    takes.
    """
    try:
        config = msgspec.json.decode(query.get("json_config") or "{}", type=wire.JsonConfig)
    except (msgspec.DecodeError, UnicodeError) as error:  # ValidationError is a DecodeError
        raise internal(BAD_SETTINGS, f"invalid json_config: {error}") from None
    if config.language is not None and config.language not in wire.LANGUAGES:
        _refuse(f"unknown language {config.language!r}")
    for delay in (config.delay_in_frames, config.delay_in_tokens):
        if delay is not None and not wire.SHORTEST_DELAY <= delay <= wire.LONGEST_DELAY:
            _refuse(f"delay_in_frames {delay} is not one of {list(wire.DELAYS_IN_FRAMES)}")
    _check_range("temp", config.temp, wire.TEMP_RANGE)
    _check_range("padding_bonus", config.padding_bonus, wire.PADDING_BONUS_RANGE)
    if config.keywords is not None:
        _check_keywords(config.keywords)
    if config.language is None and language_required:
        raise internal("no_language", wire.LANGUAGE_REQUIRED)
    return config


def credits_per_s(query: Mapping[str, str]) -> float:
    """Returns the price of a second of audio with the model of a query."""
    return wire.TRANSLATING_CREDITS_PER_S if query.get("model") == wire.TRANSLATING else wire.CREDITS_PER_S


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
    raise policy(BAD_SETTINGS, f"invalid json_config: {reason}")
