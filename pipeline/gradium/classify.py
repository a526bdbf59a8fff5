"""What a failure is: the one place where status, code, text and transport error become a type of `errors.py`.

The status alone says nothing (a revoked key, a broken file and a passing fault all arrive as HTTP 500), so the
parsed code and the reason decide first. The raw text stays in the error; a text that no rule knows is UnknownFault
(or, inside the stream, StreamError).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import httpx

from pipeline.errors import (
    AccountError,
    AttemptError,
    AttemptTimeout,
    AudioRefused,
    CompressedAnswer,
    ConcurrencyLimit,
    ConnectionFailed,
    CreditsSpent,
    KeyRefused,
    LimitError,
    PassingError,
    RateLimited,
    Redirected,
    ServerFault,
    SettingsRefused,
    StreamCut,
    StreamError,
    UnknownFault,
)
from pipeline.gradium import wire
from pipeline.gradium.coding import MAX_NAME, coding_of
from pipeline.outside import presentable

_DOCUMENTED = re.compile(r"^\s*error from server (\d{1,9}):\s*(.*)", re.DOTALL)

# Read from the top: the first rule whose pattern is found in the reason decides.
_REASONS: tuple[tuple[re.Pattern[str], type[AttemptError]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), error)
    for pattern, error in (
        (r"concurrency limit|concurrent (sessions|requests|streams)|too many (open )?sessions", ConcurrencyLimit),
        (r"(?<!sample )\brate[ _-]limit|too many requests", RateLimited),
        (r"api[ _-]?key|unauthori[sz]ed|invalid credentials|not authenticated", KeyRefused),
        (r"(credit|quota|balance)s?\b.*(exhausted|spent|exceeded|insufficient|used up|no more|run out)", CreditsSpent),
        (r"(insufficient|not enough|no|out of|no more|no remaining) (remaining )?(credit|quota|balance)", CreditsSpent),
        (r"unsupported content type", AudioRefused),
        (r"(audio|file|input|recording|session).*(too long|too large|too short|exceeds|longer than)", AudioRefused),
        (r"json_config|delay_in_frames|model name", SettingsRefused),
        (r"(bad|invalid|unsupported|unknown|malformed) (setup|model|language)", SettingsRefused),
        (r"(bad|invalid|unsupported|unknown|malformed|corrupt\w*) (audio|wav|ogg|opus|pcm|file|format|header|input)",
         AudioRefused),
        (r"(decode|decoding|parse|read) .*(audio|wav|ogg|opus|file)", AudioRefused),
    )
)  # fmt: skip
_ABOUT_SETTINGS = re.compile(r"\b(setup|language|model)\b", re.IGNORECASE)
"""Too common a word to stop a run by, except in the service's own refusals by policy."""
_UNCLEAR_STATUS = frozenset({400, 403, 422, 429, 500})
"""Statuses that say so little that the text decides, when it is plain text."""

_BY_STATUS: Mapping[int, type[AttemptError]] = {
    401: KeyRefused,
    402: CreditsSpent,
    403: KeyRefused,
    404: SettingsRefused,
    405: SettingsRefused,
    408: ServerFault,
    413: AudioRefused,
    415: AudioRefused,
    425: ServerFault,
    429: RateLimited,
    502: ServerFault,
    503: ServerFault,
    504: ServerFault,
}


def refused(status: int, headers: Mapping[str, str], body: str | None) -> AttemptError:
    """The error of an answer that is not 200, before any stream; without `body` its text cannot be read."""
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
            billed="maybe" if issubclass(by_status, PassingError) else "no",
            retry_after_s=_retry_after(headers.get("retry-after")),
        )
    documented = _DOCUMENTED.match(body)
    if documented:
        code, kind = int(documented[1]), _by_reason(documented[2], int(documented[1]))
    elif status in _UNCLEAR_STATUS and not _is_page(headers, body):
        code, kind = None, _by_reason(body, None)
    else:
        code, kind = None, None
    if kind is None:
        kind = _BY_STATUS.get(status, UnknownFault)
    return kind(
        body.strip() or f"HTTP {status} with an empty body",
        http_status=status,
        code=code,
        # a refusal costs nothing; what broke inside, or behind a gateway, may have been at work already
        billed="maybe" if kind is ServerFault and (code == wire.CODE_INTERNAL or status in (502, 504)) else "no",
        retry_after_s=_retry_after(headers.get("retry-after")),
    )


def in_stream(message: str, code: int | str | None, *, after_words: bool = False) -> AttemptError:
    """The error of an `error` message inside the stream; `after_words` where a word had been said before it."""
    documented = _DOCUMENTED.match(message)
    number = int(documented[1]) if documented else _as_number(code)
    kind = _by_reason(documented[2] if documented else message, number) or StreamError
    is_refusal = issubclass(kind, LimitError | AccountError) and not after_words
    billed: Literal["no", "maybe"] = "no" if is_refusal else "maybe"
    return kind(message or "an error without a message", http_status=200, code=number, billed=billed)


def transport(error: Exception, *, bytes_sent: int, streaming: bool) -> AttemptError:
    """The error of an exchange that broke; `streaming` once the answer's head has arrived."""
    billed: Literal["no", "maybe"] = "maybe" if bytes_sent else "no"
    said = str(error) or type(error).__name__
    # httpx-aiohttp reports a dropped connection as ConnectTimeout too: that one says nothing about time
    dropped = isinstance(error, httpx.ConnectTimeout)
    if isinstance(error, TimeoutError | httpx.TimeoutException) and not dropped:
        return AttemptTimeout(said, billed=billed, bytes_sent=bytes_sent)
    if streaming:
        return StreamCut(said, http_status=200, billed="maybe", bytes_sent=bytes_sent)
    return ConnectionFailed(said, billed=billed, bytes_sent=bytes_sent)


def _by_reason(reason: str, code: int | None) -> type[AttemptError] | None:
    found = next((error for pattern, error in _REASONS if pattern.search(reason)), None)
    if code == wire.CODE_INTERNAL:
        # it failed inside: what its words blame is not to blame, unless it was too much at once
        return found if found is not None and issubclass(found, LimitError) else ServerFault
    if found is None and code == wire.CODE_POLICY and _ABOUT_SETTINGS.search(reason):
        return SettingsRefused
    return found


def _is_page(headers: Mapping[str, str], body: str) -> bool:
    """An HTML page is a middlebox's, and full of words that mean something else in it."""
    return "html" in headers.get("content-type", "").lower() or body.lstrip().startswith("<")


def _as_number(code: int | str | None) -> int | None:
    try:
        number = None if code is None else int(code)
    except ValueError:
        return None
    return number if number is not None and abs(number) < 1 << 31 else None


def _retry_after(value: str | None) -> float | None:
    """Seconds from now, from either form of the header; None where it says nothing usable."""
    if value is None:
        return None
    # only the digits: what a regular expression takes for a blank is not all that float() does
    if seconds := re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*", value):
        return float(seconds[1])
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
