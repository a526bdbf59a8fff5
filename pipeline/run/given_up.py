"""Why an utterance gets no transcript in a run, as the errors and the checkpoint are told. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from pipeline.checkpoint import Identity, Partly, Selected
from pipeline.errors import AttemptError
from pipeline.failures import consequence_of
from pipeline.model import Failure, Transcript


class GivenUp(msgspec.Struct, frozen=True, kw_only=True):
    """Why an utterance has no transcript in this run; it holds for others of the same audio and settings as well."""

    error: AttemptError | None
    """As the user is told it; None where it was …"""
    known: Failure | None = None
    """… known before, and nothing was sent."""
    identity: Identity | None = None
    """What was to be sent, where that could be looked at."""
    clip: int | None = None
    was_sent: bool = False
    """Requests were sent for it in vain."""
    partial: Transcript | None = None
    """What was answered, where that is wanted."""
    answered_s: float = 0.0
    heard_now: bool = False
    """Some of that was answered in this run."""
    marks: bytes | None = None

    def partly(self, n: int, row: Transcript) -> Partly:
        """That the utterance has what was answered, as its `row`."""
        return Partly(n=n, transcript=row, answered_s=self.answered_s, is_news=self.heard_now, marks=self.marks)

    def failure(self, selected: Selected, *, requests: int, run_id: str) -> Failure:
        """As the errors have it for this utterance; so many `requests` were sent for it in this run."""
        utterance, error, now = selected.utterance, self.error, datetime.now(UTC)
        if self.known is not None:
            own = {"id": utterance.id, "audio": utterance.audio, "metadata": utterance.metadata, "run_id": run_id}
            return msgspec.structs.replace(self.known, **own)
        assert error is not None  # noqa: S101 for the type checker
        return Failure(
            id=utterance.id,
            audio=utterance.audio,
            error=type(error).__name__,
            message=error.message,
            http_status=error.http_status,
            code=error.code,
            retryable=not consequence_of(error).is_final,
            clip=self.clip,
            attempts=selected.attempts + requests,
            first_seen=now,
            last_seen=now,
            run_id=run_id,
            metadata=utterance.metadata,
        )
