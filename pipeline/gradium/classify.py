"""Classifies failures: the one place where status, code, text and transport error become a class of `errors`.

The status alone is not enough (a revoked key, a broken file and a temporary fault all arrive as HTTP 500), so the
parsed code and the reason decide first (`gradium/reason.py` finds them). The raw text stays in the error; a text that
matches no rule is UnknownFault (or, inside the stream, StreamError).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec

from pipeline.errors import (
    AccessDenied,
    AttemptError,
    AttemptTimeout,
    AudioRefused,
    CompressedAnswer,
    ConcurrencyLimit,
    ConnectionFailed,
    CreditsSpent,
    KeyRefused,
    KeywordsRefused,
    LimitError,
    ProtocolFault,
    RateLimited,
    Redirected,
    ServerFault,
    SettingsInvalid,
    SettingsRefused,
    StreamCut,
    StreamError,
    UnknownFault,
)
from pipeline.exchange import retry_after_s
from pipeline.gradium import billing, wire
from pipeline.gradium.reason import Reason, read
from pipeline.gradium.response import MAX_NAME, coding_of
from pipeline.gradium.setting_words import blames_setting, names_keywords
from pipeline.texts import presentable

REASON_CHARS = 1_000
"""Characters of a reason that are matched: a pattern's time may grow with their square."""

_AUDIO = r"\b(audio|recording|file|clip|wav|ogg|opus|pcm)\b"
_BROKEN = r"\b(bad|invalid|unsupported|unknown|malformed|undecodable|empty|truncated|corrupt(ed)?|not an?( valid)?)"

# The first rule whose pattern is found in the reason decides; the concurrency limit, which comes with any code and
# status, has to stay the first. AudioRefused is final for a recording, so the patterns of
# its rules need the audio as their subject and a statement about its content or length.
_REASONS: tuple[tuple[re.Pattern[str], type[AttemptError]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), error)
    for pattern, error in (
        (r"concurrency[ _-]limit|concurrent (sessions|requests|streams)|too many (open |active )?sessions",
         ConcurrencyLimit),
        (r"(?<!sample )\brate[ _-]limit|too many requests"
         r"|\b(quota.{0,100}|(requests?|calls?|sessions?) ?)(per |/ ?)(s|sec|second|min|minute|h|hour)\b", RateLimited),
        (r"api[ _-]?key|unauthori[sz]ed|invalid credentials|not authenticated|no authentication", KeyRefused),
        (r"(?<!disk )(?<!storage )\b(credit|quota|balance)s?\b"
         r".{0,100}(exhausted|spent|exceeded|insufficient|used up|no more|run out)", CreditsSpent),
        (r"(insufficient|not enough|no|out of|no more|no remaining) (remaining )?(credit|quota|balance)s?\b",
         CreditsSpent),
        (r"unsupported content type", AudioRefused),
        (r"json_config|delay_in_frames|model name", SettingsRefused),
        (r"(bad|invalid|unsupported|unknown|malformed) (setup|model|language)", SettingsRefused),
        (_AUDIO + r"([^.;:]|\.(?=\d)){0,60}"
         r"\b(too (long|short|large|big|small)|exceeds|(longer|larger|shorter) than)\b", AudioRefused),
        (_BROKEN + r" (audio|wav|ogg|opus|pcm|(audio |sound )?file|(file |audio |input[ _])?format"
         r"|(wav|riff|ogg|audio|file) header|sample rate)\b", AudioRefused),
        (_AUDIO + r"( (data|stream|content|header))?( is| was| seems)? (bad|invalid|unsupported|malformed|undecodable"
         r"|empty|truncated|corrupt(ed)?|damaged|not (valid|supported|decodable|audio))\b", AudioRefused),
        (_AUDIO + r"( (data|stream|content))?( (could not|cannot|can not|can't) be (decoded|parsed|read)"
         r"| (decod|pars)ing (failed|error))\b", AudioRefused),
        (r"\b(decode|decoding|parse|parsing) (of )?(the |this |your )?((input|uploaded|sent) )?"
         r"(audio|recording|file|wav|ogg|opus|pcm)\b", AudioRefused),
        (r"\bread (the |this |your )?((input|uploaded|sent) )?(audio|recording|wav|ogg|opus)\b", AudioRefused),
    )
)  # fmt: skip
_NOT_THE_AUDIO = re.compile(
    r"\b(queues?|backlog|buffers?|sessions|plan|descriptors?|handles?|upstream|storage|bucket|servers?|service|gateway"
    r"|proxy|workers?|nodes?|pods?|hosts?|backend|database|disk|memory|cache|sockets?|connections?|network|threads?"
    r"|locks?|timeout|timed out|deadline|busy|overload(ed)?|capacity|later|again|retry|temporar(y|ily)|unavailable"
    r"|internal|requests|quota|permissions?|denied|response|systems?|pool|crash(ed)?|killed|gpu|cuda)\b",
    re.IGNORECASE,
)
"""A reason with one of these words is not, or not certainly, about the audio: the request is tried again."""
_ABOUT_SETTINGS = re.compile(r"\b(setup|language|model)\b", re.IGNORECASE)
"""Words too common to stop a run, except in the service's own refusals by policy."""
_UNCLEAR_STATUS = frozenset({400, 403, 413, 415, 422, 500})
"""Statuses for which plain text decides; the documented form and JSON do for all."""
_ONE_EXCHANGE = frozenset({401, 402, 403, 413, 415})
"""With an HTML page these concern this one exchange: a firewall rejects something in the body."""

TOO_MANY = 429
_BY_STATUS: Mapping[int, type[AttemptError]] = {
    401: KeyRefused,
    402: CreditsSpent,
    403: AccessDenied,
    404: SettingsRefused,
    405: SettingsRefused,
    408: ServerFault,
    413: AccessDenied,
    415: AccessDenied,
    425: ServerFault,
    TOO_MANY: RateLimited,
    502: ServerFault,
    503: ServerFault,
    504: ServerFault,
}


def refused(status: int, headers: Mapping[str, str], body: str | None) -> AttemptError:
    """The error of an answer that is not 200; `body` is None if its text cannot be read."""
    if 300 <= status < 400:
        return Redirected(
            f"HTTP {status} to {headers.get('location', 'nowhere')!r}; not followed, it would carry the key along",
            http_status=status,
        )
    if body is None:
        by_status = _BY_STATUS.get(status, CompressedAnswer)
        coding = presentable(coding_of(headers), limit=MAX_NAME)
        return by_status(
            f"HTTP {status}, its text compressed ({coding}), which was not asked for and cannot be undone here",
            http_status=status,
            before_work=billing.is_before_work(status, Reason(), is_page=False),
            retry_after_s=retry_after_s(headers.get("retry-after")),
        )
    kind: type[AttemptError] | None
    reason = read(body)
    page = "html" in headers.get("content-type", "").lower() or reason.is_page
    if page:  # of a proxy or firewall: no reason is looked for in its text
        reason, kind = Reason(), AccessDenied if status in _ONE_EXCHANGE else None
    else:
        kind = _by_reason(reason)
        if kind is not ConcurrencyLimit and not (reason.is_formal or status in _UNCLEAR_STATUS):
            kind = None
    if status == TOO_MANY and kind is not ConcurrencyLimit:
        kind = RateLimited  # whatever the text: the service asks for fewer requests
    if kind is None:
        kind = _BY_STATUS.get(status, UnknownFault)
    return kind(
        body.strip() or f"HTTP {status} with an empty body",
        reason=reason.text,
        http_status=status,
        code=reason.code,
        before_work=billing.is_before_work(status, reason, is_page=page),
        retry_after_s=retry_after_s(headers.get("retry-after")),
    )


def in_stream(message: Any, code: int | str | None, *, is_first: bool) -> AttemptError:
    """The error of an `error` message inside the stream; `is_first` if no message came before it.

    `message` is text or any JSON.
    """
    text = message if isinstance(message, str) else "" if message is None else msgspec.json.encode(message).decode()
    reason = read(text) if code is None else read(text).with_code(code)
    kind = (None if reason.is_page else _by_reason(reason)) or StreamError
    return kind(
        text or "an error without a message",
        reason=reason.text,
        http_status=200,
        code=reason.code,
        before_work=is_first and billing.is_before_stream(kind, reason),
    )


def of_row(error: AttemptError, keywords: Sequence[str]) -> AttemptError:
    """The error as one of the row whose own `keywords` the request had, if it is about them."""
    if keywords and isinstance(error, SettingsRefused) and names_keywords(error.said):
        return error.as_class(KeywordsRefused)
    return error


def is_timeout(error: Exception) -> bool:
    """Says whether an exchange broke because nothing came in time."""
    # httpx-aiohttp reports a dropped connection as ConnectTimeout too
    return isinstance(error, TimeoutError | httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout)


def why_broken(error: Exception) -> str:
    """What the libraries say of an exchange that broke."""
    text = str(error) or type(error).__name__
    # aiohttp shows the head of an answer that ends there
    return "Server disconnected" if text.startswith("<RawResponseMessage(") else text


def transport(error: Exception, *, streaming: bool) -> AttemptError:
    """The error of an exchange that broke; `streaming` if the answer's head had arrived."""
    text = why_broken(error)
    if is_timeout(error):
        return AttemptTimeout(text)
    return StreamCut(text, http_status=200) if streaming else ConnectionFailed(text)


def _by_reason(reason: Reason) -> type[AttemptError] | None:
    text, code = reason.text[:REASON_CHARS], reason.code
    found = next((error for pattern, error in _REASONS if pattern.search(text)), None)
    if found is ConcurrencyLimit:
        return found
    if code == wire.CODE_BEFORE_SETUP:
        return ProtocolFault
    if code == wire.CODE_INTERNAL and not (found is not None and issubclass(found, LimitError)):
        # the service failed inside, whatever its text blames, unless a limit was exceeded or a setting is wrong
        return SettingsInvalid if blames_setting(text) else ServerFault
    if found is AudioRefused and _NOT_THE_AUDIO.search(text):
        found = None
    if found is None and (blames_setting(text) or (code == wire.CODE_POLICY and _ABOUT_SETTINGS.search(text))):
        return SettingsRefused
    return found
