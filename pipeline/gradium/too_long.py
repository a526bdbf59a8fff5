"""Recognizes the refusal of a clip as too long, and the limit that its text names. Pure.

How the service words it is not known. A clip of more audio than it has always taken is therefore taken for too long on
any sentence about length or size, whatever status or code comes with it, unless that is a limit on requests or concerns
the account; a shorter clip only where its audio is refused and the text names a limit in seconds or minutes.
"""

from __future__ import annotations

import re

from pipeline.errors import AccountError, AttemptError, AudioRefused, ClipTooLong, LimitError
from pipeline.profile import GRADIUM

PAYLOAD_TOO_LARGE = 413
SHORTEST_S = 5.0
"""A limit below this is none: clips are not made shorter."""
NEAR_S, NEAR_SHARE = 1.0, 0.01
"""A number so near to the clip's own length is that length, rounded, if no word before it says that it is the limit."""
TEXT_CHARS = 1_000
CODES = frozenset({1002, 1008, 1011})

_SUBJECT = re.compile(
    r"\b(audio|recordings?|files?|clips?|wav|ogg|opus|pcm|session|stream|input|request|body|payload|entity|content"
    r"|upload|duration|length)\b",
    re.IGNORECASE,
)
_TOO_MUCH = re.compile(
    r"\b(too (long|large|big)|exceed(s|ed|ing)?|(longer|larger|more|greater) than|maximum|max|limit(ed)?|at most|up to"
    r"|only)\b",
    re.IGNORECASE,
)
_ABOUT_OTHERS = re.compile(
    r"\b(concurren\w*|sessions|rate|quotas?|credits?|balance|requests|calls|key|queues?|backlog|bits?|channels?|k?hz"
    r"|per(?! (session|request|stream|file|clip|upload)\b)"
    r"|deadline|time(d)?[ -]?out|memory|disk|descriptors?|connections?|overload(ed)?|busy|language|keywords?|boost"
    r"|delay_in_frames|padding_bonus|audioformat|header)\b",
    re.IGNORECASE,
)
"""With one of these words it is, or may be, another limit than that on length, …"""
_VAGUE = re.compile(
    r"\b(plan|servers?|service|upstream|gateway|internal|later|again|retr(y|ies)|temporar(y|ily)|unavailable)\b",
    re.IGNORECASE,
)
"""… and with one of these where it names no length."""
_NUMBER = re.compile(
    r"(?<![\w.,:/-])(\d{1,9}(?:[.,]\d{1,9})?)"
    r"(?:[ _-]?(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b|(?!\d|\s?[A-Za-z%]|[.,:]\d))",
    re.IGNORECASE,
)
_IS_LIMIT = re.compile(
    r"\b(limit|max(imum)?|at most|up to|(longer|larger|more|greater) than|exceeds)"
    r"( (of|is|the|a|our|your|allowed|maximum|limit|duration|length|audio))*[ :=(]*$",
    re.IGNORECASE,
)
"""What stands before a limit."""
LIMIT_CHARS = 60
_THOUSANDS = re.compile(r",(?=\d{3}$)")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


def as_too_long(error: AttemptError, sent_s: float) -> AttemptError:
    """The error of a request with `sent_s` of audio; ClipTooLong in its place where it refuses the length."""
    text = error.reason[:TEXT_CHARS]
    limit_s, has_unit = limit_named(text, sent_s)
    is_of_length = (
        not isinstance(error, LimitError | AccountError)
        and _SUBJECT.search(text) is not None
        and _TOO_MUCH.search(text) is not None
        and _ABOUT_OTHERS.search(text) is None
    )
    if sent_s > GRADIUM.usual_clip_s:
        is_vague = not has_unit and _VAGUE.search(text) is not None
        is_refused = error.http_status == PAYLOAD_TOO_LARGE or (is_of_length and not is_vague)
    else:
        is_refused = isinstance(error, AudioRefused) and is_of_length and has_unit
    return error.as_class(ClipTooLong, limit_s=limit_s) if is_refused else error


def limit_named(text: str, sent_s: float) -> tuple[float | None, bool]:
    """(the limit in seconds that the refusal of a clip of this length names, whether with its unit): the least number
    in it that can be one."""
    most = sent_s - max(NEAR_S, NEAR_SHARE * sent_s)
    fitting = []
    for match in _NUMBER.finditer(text):
        limit_s, has_unit = _seconds(match[1], match[2] or ""), bool(match[2])
        is_limit = _IS_LIMIT.search(text[max(0, match.start() - LIMIT_CHARS) : match.start()]) is not None
        helps = SHORTEST_S <= limit_s < sent_s if is_limit else SHORTEST_S <= limit_s <= most
        if helps and (has_unit or limit_s not in CODES):
            fitting.append((limit_s, has_unit))
    with_unit = [one for one in fitting if one[1]]
    return min(with_unit or fitting, default=(None, False))


def _seconds(number: str, unit: str) -> float:
    value = float(_THOUSANDS.sub("", number).replace(",", "."))
    unit = unit.lower()
    return value / 1000 if unit.startswith(("ms", "mil")) else value * _UNIT_S[unit[:1] or "s"]
