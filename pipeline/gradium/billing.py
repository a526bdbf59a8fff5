"""What a failed request may have cost: the one place that decides. Pure.

Only what stands in the table costs nothing; after everything else the service may have worked, and may charge for it.
"""

from __future__ import annotations

from typing import Literal

from pipeline.errors import AccountError, AttemptError, AudioRefused, LimitError
from pipeline.gradium import wire

UNBILLED = (
    ("no connection, or not a byte of the recording was sent", "whatever ended the request"),
    ("HTTP 429", "whatever its text"),
    ("HTTP 401", "whatever its text"),
    ("a refusal by policy", "`error from server 1008: …` as HTTP 400, 403, 422, 500 or 503, and no HTML page"),
    ("the concurrency or rate limit in words", "as one of these statuses, no HTML page, and no code but 1008"),
    ("`unsupported content type …`", "HTTP 500, no code and no HTML page"),
    ("the limit, a refused key or spent credits in the stream", "as its very first line, with code 1008 or none"),
)
"""What is not billed, and when; docs/hostile-service.md shows the same table."""

_BY_STATUS = frozenset({401, 429})
_SERVICE = frozenset({400, 403, 422, 500, 503})
"""Statuses that the service refuses with before it works; of others nobody knows who says them."""
_UNCODED = "unsupported content type"


def is_before_work(kind: type[AttemptError], status: int, code: int | None, text: str, *, is_page: bool) -> bool:
    """Whether a refusal (an answer that is no 200) is one of the table."""
    if status in _BY_STATUS:
        return True
    if is_page or status not in _SERVICE:
        return False
    if code is not None:
        return code == wire.CODE_POLICY
    if issubclass(kind, AudioRefused):
        return status == 500 and text.lstrip().startswith(_UNCODED)
    return issubclass(kind, LimitError)


def is_before_stream(kind: type[AttemptError], code: int | None, *, is_first: bool) -> bool:
    """Whether an error in a stream is one of the table; `is_first`: nothing stood before it."""
    return is_first and code in (None, wire.CODE_POLICY) and issubclass(kind, LimitError | AccountError)


def billed(error: AttemptError, bytes_sent: int) -> Literal["no", "maybe"]:
    """What a request that ended in this error may have cost, after so many bytes of its body."""
    return "no" if error.before_work or not bytes_sent else "maybe"
