"""Reads what a client asks for out of a request's query and headers, and refuses what the documentation rules out.

Pure functions; the limits come from `gradium/wire.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import msgspec

from pipeline.gradium import wire
from pipeline.server.refusal import RefusalError, policy

DEFAULT_CONTENT_TYPE = "audio/wav"
BAD_SETTINGS = "bad_settings"


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

    Raises RefusalError (1008) for JSON that is none and for values outside the documented ones.
    """
    text = query.get("json_config")
    if not text:
        return wire.JsonConfig()
    try:
        config = msgspec.json.decode(text, type=wire.JsonConfig)
    except (msgspec.DecodeError, UnicodeError) as error:  # ValidationError is a DecodeError
        refuse(str(error))
    if config.language is not None and config.language not in wire.LANGUAGES:
        refuse(f"unknown language {config.language!r}")
    for delay in (config.delay_in_frames, config.delay_in_tokens):
        if delay is not None and delay not in wire.DELAYS_IN_FRAMES:
            refuse(f"delay_in_frames {delay} is not one of {list(wire.DELAYS_IN_FRAMES)}")
    check_range("temp", config.temp, wire.TEMP_RANGE)
    check_range("padding_bonus", config.padding_bonus, wire.PADDING_BONUS_RANGE)
    if config.keywords is not None:
        check_keywords(config.keywords)
    return config


def delay_in_frames(config: wire.JsonConfig) -> int:
    """Returns the look-ahead that is in force, in frames of 80 ms."""
    for delay in (config.delay_in_frames, config.delay_in_tokens):
        if delay is not None:
            return delay
    return wire.DEFAULT_DELAY_IN_FRAMES


def check_keywords(keywords: wire.Keywords) -> None:
    """Raises RefusalError for more words than are taken, for words that are not one token, for a boost out of range."""
    if len(keywords.words) > wire.MAX_KEYWORDS:
        refuse(f"{len(keywords.words)} keywords are more than {wire.MAX_KEYWORDS}")
    for word in keywords.words:
        if not word or any(letter.isspace() for letter in word):
            refuse(f"the keyword {word!r} is not a single token")
    check_range("keywords.boost", keywords.boost, wire.BOOST_RANGE)


def check_range(name: str, value: float | None, limits: tuple[float, float]) -> None:
    """Raises RefusalError when `value` is outside `limits`."""
    low, high = limits
    if value is not None and not low <= value <= high:
        refuse(f"{name} {value:g} is not between {low:g} and {high:g}")


def refuse(reason: str) -> NoReturn:
    """Raises the refusal of settings."""
    raise policy(BAD_SETTINGS, f"invalid json_config: {reason}")
