"""Turns what the pool reports into records: attempts for the ledger, transcripts and failures for the checkpoint.

Listens in the event loop; counts for the figures, tells the progress, and hands events to the journal.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from pipeline.checkpoint import Failed, Finished, Identity, Journal, Reused, Selected, Sent
from pipeline.config import Settings
from pipeline.errors import AttemptError, ItemError, LimitError, UnknownFault
from pipeline.gradium.wire import CREDITS_PER_S
from pipeline.model import Answer, Attempt, Clip, Failure, Transcript, Utterance
from pipeline.pool import Job
from pipeline.report import wer
from pipeline.report.progress import Progress

MAX_UNKNOWN_TEXTS = 20
log = logging.getLogger(__name__)


def price(clip: Clip) -> float:
    """Credits that a request for the clip costs when it is billed."""
    return clip.duration_s * CREDITS_PER_S


def retold(transcript: Transcript, utterance: Utterance, **changes: Any) -> Transcript:
    """The transcript as the row of `utterance`: with its id, path, reference and metadata."""
    compared = None if utterance.reference is None else wer.compare(utterance.reference, transcript.text)
    return msgspec.structs.replace(
        transcript,
        id=utterance.id,
        audio=utterance.audio,
        reference=utterance.reference,
        wer=None if compared is None else compared.wer,
        metadata=utterance.metadata,
        **changes,
    )


def word_errors(transcript: Transcript) -> dict[str, int]:
    """What the checkpoint sums up to the corpus's word error rate."""
    if transcript.reference is None:
        return {}
    compared = wer.compare(transcript.reference, transcript.text)
    return {"ref_words": compared.words, "ref_errors": compared.errors}


class _Expected(msgspec.Struct, frozen=True):
    selected: Selected
    duration_s: float
    identity: Identity
    followers: list[Selected]
    """Other utterances with the same audio and settings: they get the same transcript, or the same failure."""


class Recorder:
    """The pool's listener for one run."""

    def __init__(
        self, journal: Journal, progress: Progress, settings: Settings, run_id: str, on_result: Callable[[int], None]
    ) -> None:
        """`on_result` is called whenever a transcript was handed to the journal, with its number of words, or the
        withdrawal of one, with 0."""
        self.transcribed = self.failed_count = self.reused_count = self.requests = self.retries = self.refusals = 0
        self.audio_s = self.credits = 0.0
        self.unknown: Counter[str] = Counter()
        self._journal = journal
        self._progress = progress
        self._settings = settings
        self._run_id = run_id
        self._on_result = on_result
        self._expected: dict[str, _Expected] = {}
        """Utterances whose clips are with the pool, by id."""
        self._leaders: dict[Identity, _Expected] = {}

    async def room(self) -> None:
        await self._journal.room()

    # -- before the pool --------------------------------------------------------------------------------------------

    def follow(self, selected: Selected, identity: Identity) -> bool:
        """Whether the same audio is with the pool already: then the utterance shares what comes of it."""
        leader = self._leaders.get(identity)
        if leader is not None:
            leader.followers.append(selected)
        return leader is not None

    def expect(self, selected: Selected, duration_s: float, identity: Identity) -> None:
        """The utterance's clips go to the pool."""
        expected = _Expected(selected, duration_s, identity, [])
        self._expected[selected.utterance.id] = self._leaders[identity] = expected

    def copied(self, selected: Selected, original: Transcript) -> None:
        """Another utterance's transcript answers to this one as well: nothing is sent."""
        self.reused_count += 1
        copy = retold(
            original,
            selected.utterance,
            request_ids=original.request_ids,
            attempts=0,
            latency_s=0.0,
            credits=0.0,
            run_id=self._run_id,
            finished_at=datetime.now(UTC),
        )
        self._finish(selected, copy)
        self._progress.ended(expected_s=selected.expected_s, audio_s=copy.duration_s, ok=True)

    def unsendable(self, selected: Selected, error: AttemptError) -> None:
        """The utterance's audio cannot be sent."""
        self._give_up(selected, error, requests=0, clip=None)

    def reused(self, selected: Selected, duration_s: float) -> None:
        """The transcript it has still answers to it."""
        self.reused_count += 1
        self._journal.add(Reused(n=selected.n))
        self._progress.ended(expected_s=selected.expected_s, audio_s=duration_s, ok=True)

    # -- from the pool ----------------------------------------------------------------------------------------------

    def sent(self, job: Job, started_at: datetime, latency_s: float, ended: Answer | AttemptError) -> None:
        answered = isinstance(ended, Answer)
        billed = "yes" if isinstance(ended, Answer) else ended.billed
        cost = 0.0 if billed == "no" else price(job.clip)
        self.requests += 1
        self.retries += job.requests > 1
        self.refusals += isinstance(ended, LimitError)
        self.credits += cost
        if isinstance(ended, UnknownFault) and (ended.message in self.unknown or len(self.unknown) < MAX_UNKNOWN_TEXTS):
            self.unknown[ended.message] += 1
        attempt = Attempt(
            id=job.clip.utterance.id,
            clip=job.clip.clip,
            attempt=job.requests,
            run_id=self._run_id,
            started_at=started_at,
            latency_s=latency_s,
            outcome="ok" if answered else type(ended).__name__,
            billed=billed,
            credits=cost,
            bytes_sent=ended.bytes_sent,
            http_status=ended.http_status,
            code=None if isinstance(ended, Answer) else ended.code,
            request_id=ended.request_id,
        )
        self._journal.add(Sent(attempt=attempt))

    def retrying(self, job: Job, error: AttemptError, pause_s: float) -> None:
        self._progress.retried()
        log.info("retrying %s in %.1f s: %s: %s", job.clip.utterance.id, pause_s, type(error).__name__, error.message)

    def done(self, job: Job, answer: Answer) -> None:
        expected = self._expected.pop(job.clip.utterance.id)
        del self._leaders[expected.identity]
        selected, utterance = expected.selected, job.clip.utterance
        transcript = Transcript(
            id=utterance.id,
            audio=utterance.audio,
            text=" ".join(word.text for word in answer.words),
            words=answer.words,
            duration_s=expected.duration_s,
            status="suspect" if answer.flags else "ok",
            flags=answer.flags,
            language=utterance.language or self._settings.service.language,
            model=answer.model,
            audio_hash=job.clip.audio_hash,
            config_hash=selected.config_hash,
            request_ids=(answer.request_id,) if answer.request_id else (),
            attempts=selected.attempts + job.requests,
            latency_s=job.latency_s,
            credits=price(job.clip),
            run_id=self._run_id,
            finished_at=datetime.now(UTC),
        )
        self.transcribed += 1
        self.audio_s += expected.duration_s
        self._finish(selected, retold(transcript, utterance))
        self._progress.ended(expected_s=selected.expected_s, audio_s=expected.duration_s, ok=True)
        for follower in expected.followers:
            self.copied(follower, transcript)

    def _finish(self, selected: Selected, transcript: Transcript) -> None:
        self._journal.add(Finished(n=selected.n, transcript=transcript, **word_errors(transcript)))
        self._on_result(len(transcript.words))

    def failed(self, job: Job, error: AttemptError) -> None:
        expected = self._expected.pop(job.clip.utterance.id)
        del self._leaders[expected.identity]
        self._give_up(expected.selected, error, requests=job.requests, clip=job.clip.clip)
        for follower in expected.followers:
            self._give_up(follower, error, requests=0, clip=job.clip.clip)

    def _give_up(self, selected: Selected, error: AttemptError, *, requests: int, clip: int | None) -> None:
        utterance = selected.utterance
        now = datetime.now(UTC)
        failure = Failure(
            id=utterance.id,
            audio=utterance.audio,
            error=type(error).__name__,
            message=error.message,
            http_status=error.http_status,
            code=error.code,
            retryable=not isinstance(error, ItemError),
            clip=clip,
            attempts=selected.attempts + requests,
            first_seen=now,
            last_seen=now,
            run_id=self._run_id,
            metadata=utterance.metadata,
        )
        self.failed_count += 1
        self._journal.add(Failed(n=selected.n, failure=failure))
        self._on_result(0)
        self._progress.ended(expected_s=selected.expected_s, audio_s=0.0, ok=False)
        log.warning("failed %s: %s: %s", utterance.id, failure.error, failure.message)
