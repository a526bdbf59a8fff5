"""Why an utterance has no transcript in a run, as the checkpoint and the errors are told. Pure: no I/O."""

from __future__ import annotations

from copy import copy
from datetime import UTC, datetime

import msgspec

from pipeline.checkpoint import Identity, Partly, Selected
from pipeline.errors import AttemptError
from pipeline.exchange import Clip
from pipeline.failures import consequence_of
from pipeline.model import Failure, Transcript
from pipeline.texts import MAX_MESSAGE


class GivenUp(msgspec.Struct, frozen=True, kw_only=True):
    """Why an utterance has no transcript in this run; it holds for its duplicates as well."""

    error: AttemptError | None
    """The failure of this run; None if `known` is set."""
    known: Failure | None = None
    """The failure of an earlier run, because of which nothing was sent."""
    identity: Identity | None = None
    """What was to be sent, where it could be read."""
    clip: int | None = None
    was_sent: bool = False
    """Requests were sent for its audio, and failed."""
    partial: Transcript | None = None
    """The transcript of the answered clips, where audio.allow_partial is set."""
    answered_s: float = 0.0
    answered_now: bool = False
    """Some of that was answered in this run."""
    prefix_hashes: bytes | None = None

    def partly(self, n: int, row: Transcript) -> Partly:
        """The event that stores `row`, the partial transcript. `n` is the number of its row in the checkpoint."""
        return Partly(
            n=n,
            transcript=row,
            answered_s=self.answered_s,
            answered_now=self.answered_now,
            prefix_hashes=self.prefix_hashes,
        )

    def failure(self, selected: Selected, *, requests: int, run_id: str) -> Failure:
        """The row of errors.* for this utterance, for which so many `requests` were sent in this run."""
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


def of_clip(error: AttemptError, clip: Clip, *, clips: int, missing: int, several_channels: bool) -> AttemptError:
    """The error of one of several clips; its message says which one, counted from 1, and its span."""
    channel = f"channel {clip.channel}, " if several_channels else ""
    more = f" and {missing - 1} more" if missing > 1 else ""
    where = f"{channel}{_clock(clip.start_s)} to {_clock(clip.start_s + clip.duration_s)}"
    named = copy(error)
    named.message = f"clip {clip.number + 1} of {clips} ({where}){more}: {error.message}"[:MAX_MESSAGE]
    return named


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
