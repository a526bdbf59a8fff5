"""Decides whether a failed request may have cost credits. Pure.

Only the cases in the table cost nothing; in all others the service may have worked, and may charge for it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pipeline.errors import AccountError, AttemptError, LimitError
from pipeline.gradium import wire

UNBILLED = (
    ("no connection, or not a byte of the recording was sent", "whatever ended the request"),
    ("HTTP 429", "whatever its text"),
    ("HTTP 401", "whatever its text"),
    ("a refusal by policy", "`error from server 1008: …` as HTTP 400, 403, 422, 500 or 503, and no HTML page"),
    (
        "the concurrency limit in words",
        "begins with `Concurrency limit`; one of these statuses, no code and no HTML page",
    ),
    ("`unsupported content type …`", "HTTP 500, no code and no HTML page"),
    (
        "the limit, a refused key or spent credits in the stream",
        "as its very first line, with code 1008; `Concurrency limit …` also with no code",
    ),
)
"""(what is not billed, when); docs/hostile-service.md has the same table."""

_BY_STATUS = frozenset({401, 429})
_SERVICE = frozenset({400, 403, 422, 500, 503})
"""Statuses of the service's refusals before work; others may come from anything on the way."""
_LIMIT, _CONTENT_TYPE = "concurrency limit", "unsupported content type"
_CODED = "error from server"


def is_before_work(status: int, code: int | None, text: str, *, is_page: bool) -> bool:
    """Whether a refusal (an answer that is not 200) is in the table."""
    if status in _BY_STATUS:
        return True
    if is_page or status not in _SERVICE:
        return False
    if code is not None:
        return code == wire.CODE_POLICY
    text = text.lstrip().lower()
    is_known = text.startswith(_LIMIT) or (status == 500 and text.startswith(_CONTENT_TYPE))
    return is_known and _CODED not in text  # it has a code, which could not be parsed


def is_before_stream(kind: type[AttemptError], codes: Collection[int | str], text: str) -> bool:
    """Whether an error that is a stream's first message is in the table; `codes` are all that it names, in any form."""
    if not codes:
        return text.lstrip().lower().startswith(_LIMIT) and _CODED not in text.lower()
    return set(codes) == {wire.CODE_POLICY} and issubclass(kind, LimitError | AccountError)


def billed(error: AttemptError, bytes_sent: int) -> Literal["no", "maybe"]:
    """Whether a request that ended in this error, after so many bytes of its body, may have cost credits."""
    return "no" if error.before_work or not bytes_sent else "maybe"
