"""What a failed request may have cost: the one place that decides. Pure.

Only what stands in the table costs nothing; after everything else the service may have worked, and may charge for it.
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
"""What is not billed, and when; docs/hostile-service.md shows the same table."""

_BY_STATUS = frozenset({401, 429})
_SERVICE = frozenset({400, 403, 422, 500, 503})
"""Statuses that the service refuses with before it works; others may come from anything on the way."""
_LIMIT, _CONTENT_TYPE = "concurrency limit", "unsupported content type"
_CODED = "error from server"


def is_before_work(status: int, code: int | None, text: str, *, is_page: bool) -> bool:
    """Whether a refusal (an answer that is no 200) is one of the table."""
    if status in _BY_STATUS:
        return True
    if is_page or status not in _SERVICE:
        return False
    if code is not None:
        return code == wire.CODE_POLICY
    said = text.lstrip().lower()
    begins = said.startswith(_LIMIT) or (status == 500 and said.startswith(_CONTENT_TYPE))
    return begins and _CODED not in said  # a code that could not be read


def is_before_stream(kind: type[AttemptError], codes: Collection[int | str], text: str) -> bool:
    """Whether the error that begins a stream is one of the table; `codes` are all that it named, in whatever form."""
    if not codes:
        return text.lstrip().lower().startswith(_LIMIT) and _CODED not in text.lower()
    return set(codes) == {wire.CODE_POLICY} and issubclass(kind, LimitError | AccountError)


def billed(error: AttemptError, bytes_sent: int) -> Literal["no", "maybe"]:
    """What a request that ended in this error may have cost, after so many bytes of its body."""
    return "no" if error.before_work or not bytes_sent else "maybe"
