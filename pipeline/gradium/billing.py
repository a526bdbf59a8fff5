"""Decides whether a failed request may have cost credits. Pure.

Only the cases in the table cost nothing; in all others the service may have worked, and may charge for it.
"""

from __future__ import annotations

from typing import Literal

from pipeline.errors import AccountError, AttemptError, LimitError
from pipeline.gradium import wire
from pipeline.gradium.reason import Reason

UNBILLED = (
    ("no connection, or not a byte of the recording was sent", "whatever ended the request"),
    ("HTTP 429", "whatever its text"),
    ("HTTP 401", "whatever its text"),
    (
        "a refusal by policy",
        "`error from server 1008: …`, or that code in JSON, as HTTP 400, 403, 422, 500 or 503, and no HTML page",
    ),
    (
        "the concurrency limit in words",
        "the reason begins with `Concurrency limit`; one of these statuses, no code and no HTML page",
    ),
    ("`unsupported content type …`", "HTTP 500, no code and no HTML page"),
    (
        "the limit, a refused key or spent credits in the stream",
        "as its very first line, with code 1008; `Concurrency limit …` also with no code",
    ),
)
"""(what is not billed, when), by the reason, as `gradium/reason.py` reads it; docs/hostile-service.md has the same
table."""

_BY_STATUS = frozenset({401, 429})
_SERVICE = frozenset({400, 403, 422, 500, 503})
"""Statuses of the service's refusals before work; others may come from anything on the way."""
_LIMIT, _CONTENT_TYPE = "concurrency limit", "unsupported content type"
_CODED = "error from server"
_POLICY = frozenset({wire.CODE_POLICY})


def is_before_work(status: int, reason: Reason, *, is_page: bool) -> bool:
    """Whether a refusal (an answer that is not 200) is in the table."""
    if status in _BY_STATUS:
        return True
    if is_page or status not in _SERVICE:
        return False
    if reason.codes:
        return reason.codes == _POLICY
    return _begins(reason, _LIMIT) or (status == 500 and _begins(reason, _CONTENT_TYPE))


def is_before_stream(kind: type[AttemptError], reason: Reason) -> bool:
    """Whether an error that is a stream's first message is in the table."""
    if not reason.codes:
        return _begins(reason, _LIMIT)
    return reason.codes == _POLICY and issubclass(kind, LimitError | AccountError)


def _begins(reason: Reason, words: str) -> bool:
    text = reason.text.lower()
    return text.startswith(words) and _CODED not in text  # that would have a code, which could not be parsed


def billed(error: AttemptError, bytes_sent: int) -> Literal["no", "maybe"]:
    """Whether a request that ended in this error, after so many bytes of its body, may have cost credits."""
    return "no" if error.before_work or not bytes_sent else "maybe"
