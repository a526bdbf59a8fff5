"""The server's refusals, in the forms that the service's have had.

Pure: what is refused is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from pipeline.gradium import wire
from pipeline.server.options import Refusals

CLOSE = {"Connection": "close"}
"""Headers of refusals that do not wait for the rest of the body."""
BAD_KEY = "API key is revoked or expired"
NO_CREDITS = "Insufficient credits: no credits remaining for this billing period"
"""The service's own words are not known."""
OVER_LIMIT = "Concurrency limit exceeded: at most {} sessions at the same time"
"""That it contains `Concurrency limit` is all that is known of the service's words."""
FOOTER = """

If this keeps happening, contact support@gradium.ai with the time of the request and the name of your API key.
Limits of your plan and remaining credits: https://gradium.ai/billing
"""
"""Follows a refusal in the form `live`; its words are a guess, and say nothing about the reason."""
TEXT, JSON = "text/plain; charset=utf-8", "application/json"
BAD_SETTINGS = "bad_settings"


@dataclass(eq=False)
class RefusalError(Exception):
    """The request is answered with this instead of a stream."""

    outcome: str
    """Its name in statistics and log."""
    status: int
    body: str
    """Without the code, if it has one."""
    headers: Mapping[str, str] | None = None
    content_type: str = TEXT
    code: int | None = None

    def written(self, form: Refusals) -> tuple[int, str, str]:
        """Returns (status, body, content type); only what has a code depends on the form."""
        if self.code is None:
            return self.status, self.body, self.content_type
        if form == "json":
            return self._as_json()
        code, footer = (f"Some({self.code})", FOOTER) if form == "live" else (str(self.code), "")
        return self.status, f"error from server {code}: {self.body}{footer}", self.content_type

    def _as_json(self) -> tuple[int, str, str]:
        page: dict[str, object]
        if self.code != wire.CODE_POLICY:
            status, page = self.status, {"error": {"message": self.body, "code": self.code}}
        elif self.outcome == BAD_SETTINGS:
            page = {"detail": [{"loc": ["query", "json_config"], "msg": self.body, "type": "value_error"}]}
            status = 422
        else:
            status, page = 401 if self.body == BAD_KEY else 400, {"detail": self.body}
        return status, msgspec.json.encode(page).decode(), JSON


def policy(outcome: str, reason: str, headers: Mapping[str, str] | None = None) -> RefusalError:
    """Returns what the service answers to a key, a format or a setup it does not take."""
    return RefusalError(outcome, 500, reason, headers=headers, code=wire.CODE_POLICY)


def internal(outcome: str, reason: str) -> RefusalError:
    """Returns what the service answers when it failed inside, and to settings that it cannot read."""
    return RefusalError(outcome, 500, reason, code=wire.CODE_INTERNAL)
