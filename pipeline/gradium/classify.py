"""What a failure is: the one place where status, code, text and transport error become a type of `errors.py`.

The status alone says nothing (a revoked key, a broken file and a passing fault all arrive as HTTP 500), so the
parsed code and the reason decide first. The raw text stays in the error; a text that no rule knows is UnknownFault.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import httpx

from pipeline.errors import (
    AttemptError,
    AttemptTimeout,
    AudioRefused,
    ConcurrencyLimit,
    ConnectionFailed,
    CreditsSpent,
    KeyRefused,
    RateLimited,
    Redirected,
    ServerFault,
    SettingsRefused,
    StreamCut,
    StreamError,
    UnknownFault,
)
from pipeline.gradium import wire

MAX_MESSAGE = 2_000

_DOCUMENTED = re.compile(r"^\s*error from server (\d{1,9}):\s*(.*)", re.DOTALL)

# Read from the top: the first rule whose pattern is found in the reason decides.
_REASONS: tuple[tuple[re.Pattern[str], type[AttemptError]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), error)
    for pattern, error in (
        (r"concurrency limit|too many (concurrent|open) (sessions|requests)", ConcurrencyLimit),
        (r"rate limit|too many requests", RateLimited),
        (r"api[ _-]?key|unauthori[sz]ed|invalid credentials|not authenticated", KeyRefused),
        (r"(credit|quota|balance)s?\b.*(exhausted|spent|exceeded|insufficient|used up|no more|run out)", CreditsSpent),
        (r"(insufficient|not enough|no|out of|no more|no remaining) (remaining )?(credit|quota|balance)", CreditsSpent),
        (r"unsupported content type", AudioRefused),
        (r"(audio|file|input|recording|session).*(too long|too large|too short|exceeds|longer than)", AudioRefused),
        (r"(json_config|setup|model name|unknown model|invalid model|language|delay_in_frames)", SettingsRefused),
        (r"(bad|invalid|unsupported|unknown|malformed|corrupt\w*) (audio|wav|ogg|opus|pcm|file|format|header|input)",
         AudioRefused),
        (r"(decode|decoding|parse|read) .*(audio|wav|ogg|opus|file)", AudioRefused),
    )
)  # fmt: skip

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


def refused(status: int, headers: Mapping[str, str], body: str) -> AttemptError:
    """The error of an answer that is not 200, before any stream."""
    documented = _DOCUMENTED.match(body)
    code = int(documented[1]) if documented else None
    reason = documented[2] if documented else body
    if 300 <= status < 400:
        return Redirected(
            f"HTTP {status} to {headers.get('location', 'nowhere')!r}; not followed, it would carry the key along",
            http_status=status,
        )
    shown = body.strip() or f"HTTP {status} with an empty body"
    kind = _by_reason(reason) if status in (400, 403, 422, 429, 500) else None
    if kind is None:
        kind = ServerFault if code == wire.CODE_INTERNAL else _BY_STATUS.get(status, UnknownFault)
    return kind(
        shown[:MAX_MESSAGE],
        http_status=status,
        code=code,
        retry_after_s=_retry_after(headers.get("retry-after")),
    )


def in_stream(message: str, code: int | str | None) -> AttemptError:
    """The error of an `error` message inside the stream."""
    documented = _DOCUMENTED.match(message)
    number = int(documented[1]) if documented else _as_number(code)
    kind = _by_reason(documented[2] if documented else message)
    if kind is None:
        kind = ServerFault if number == wire.CODE_INTERNAL else StreamError
    return kind(message[:MAX_MESSAGE] or "an error without a message", http_status=200, code=number, billed="maybe")


def transport(error: Exception, *, bytes_sent: int, streaming: bool) -> AttemptError:
    """The error of an exchange that broke; `streaming` once the answer's head has arrived."""
    billed: Literal["no", "maybe"] = "maybe" if bytes_sent else "no"
    said = f"{type(error).__name__}: {error}".rstrip(": ")[:MAX_MESSAGE]
    # httpx-aiohttp reports a dropped keep-alive connection as ConnectTimeout too: no words about time here
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectionFailed(said, billed=billed, bytes_sent=bytes_sent)
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return AttemptTimeout(said, billed=billed, bytes_sent=bytes_sent)
    if streaming:
        return StreamCut(said, http_status=200, billed="maybe", bytes_sent=bytes_sent)
    return ConnectionFailed(said, billed=billed, bytes_sent=bytes_sent)


def _by_reason(reason: str) -> type[AttemptError] | None:
    return next((error for pattern, error in _REASONS if pattern.search(reason)), None)


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
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", value):
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
