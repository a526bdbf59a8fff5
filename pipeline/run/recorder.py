"""Turns what the pool reports into transcripts and failures for the checkpoint.

Listens in the event loop; counts for the figures, tells the progress, and hands events to the journal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pipeline.checkpoint import Identity, Journal, Selected
from pipeline.checkpoint.events import ClipAnswered, Event, Noted, TakenUp
from pipeline.config import Settings
from pipeline.errors import AttemptError
from pipeline.exchange import Clip
from pipeline.failures import consequence_of
from pipeline.gradium.request import RequestSettings
from pipeline.model import Answer, Transcript
from pipeline.pool import Job, OverBudget
from pipeline.report.progress import Progress
from pipeline.run.duplicates import Duplicates
from pipeline.run.given_up import GivenUp
from pipeline.run.joining import Leader, retold
from pipeline.run.known_failures import KnownFailures
from pipeline.run.ledger import Ledger, price
from pipeline.run.outcomes import Outcomes
from pipeline.run.passed_over import PassedOver
from pipeline.run.settings_hash import SettingsHash

log = logging.getLogger(__name__)


class Recorder:
    """The pool's listener for one run."""

    def __init__(
        self,
        journal: Journal,
        progress: Progress,
        settings: Settings,
        request: RequestSettings,
        run_id: str,
        on_result: Callable[[int], None],
        *,
        asked: bool = False,
    ) -> None:
        """`on_result` is called whenever a transcript was handed to the journal, with its number of words; `asked`:
        what failed before is sent at once."""
        self.transcribed = 0
        self.audio_s = 0.0
        self.outcomes = Outcomes(journal, progress, run_id, on_result)
        self.ledger = Ledger(journal, run_id)
        self.duplicates = Duplicates()
        self.left_out = PassedOver(settings)
        self.known_failures = KnownFailures(journal, asked=asked)
        self._journal = journal
        self._progress = progress
        self._settings = settings
        self.settings_hash = SettingsHash(settings, request)
        self._run_id = run_id
        self._settings_fact: str | None = request.answered_fact
        """To be noted with the first answer."""
        self._sending: dict[str, Leader] = {}
        """Utterances whose clips are with the pool, by id."""

    async def wait_for_room(self) -> None:
        await self._journal.room()

    # -- before the pool --------------------------------------------------------------------------------------------

    def lead(self, selected: Selected, identity: Identity, marks: bytes) -> Leader | None:
        """The utterance as the one that is prepared and sent for its identity; None where that is under way already,
        or was refused or passed over before: then it shares what comes of it."""
        if (needs := self.duplicates.sent_in_part(identity)) is not None:
            self.left_out.add(needs, [selected.utterance.id])
            return None
        refusal = self.duplicates.refusal(identity)
        if refusal is None:
            return self.duplicates.lead(selected, identity, marks)
        self.outcomes.give_up(selected, refusal)
        return None

    def unsendable(self, selected: Selected, error: AttemptError) -> None:
        """The utterance has no audio that could be looked at."""
        self.outcomes.give_up(selected, GivenUp(error=error))

    def unprepared(self, leader: Leader, error: AttemptError) -> None:
        """The utterance's audio cannot be made into clips."""
        leader.error = error
        self._settle_failed(leader)

    def takes_over(self, leader: Leader) -> None:
        """Its audio has failed before, maybe under another id, and is not sent in this run."""
        why = self._why(leader, None)
        leader.release()
        for selected in self.duplicates.settle(leader):
            self.outcomes.give_up(selected, why, leader if selected is leader.selected else None)

    def has_twin(self, leader: Leader, twin: Transcript) -> None:
        """Another utterance's transcript answers to this one as well: nothing is sent."""
        for selected in self.duplicates.settle(leader):
            self.outcomes.copy(selected, twin, leader)

    def answers_key(self, leader: Leader) -> str:
        """What answers to clips of the utterance answer to, beside their samples."""
        return leader.identity.with_settings(self.settings_hash.of_answers(leader.selected.utterance)).key

    def expect(self, leader: Leader, clips: Sequence[Clip]) -> None:
        """These clips of it go to the pool; with none it has all its answers from earlier runs."""
        self._sending[leader.selected.utterance.id] = leader
        self.left_out.prepared(leader.selected.expected_s, [price(clip.request) for clip in clips])
        if not clips:
            self._settle(leader)

    # -- from the pool ----------------------------------------------------------------------------------------------

    async def sending(self, job: Job, started_at: datetime) -> None:
        self.ledger.started(job, started_at)
        if self.left_out.budget.is_limited:  # what a kill would hide, the next run would have to spend once more
            await self._journal.committed()

    def sent(self, job: Job, started_at: datetime, latency_s: float, ended: Answer | AttemptError) -> None:
        self.ledger.sent(job, started_at, latency_s, ended)

    def retrying(self, job: Job, error: AttemptError, pause_s: float) -> None:
        leader = self._sending[job.request.id]
        leader.retried(leader.clips[job.request.clip], error)
        self._progress.retried()
        log.info("retrying %s in %.1f s: %s: %s", job.request.id, pause_s, type(error).__name__, error.message)

    def settled(self, job: Job, result: Answer | AttemptError | OverBudget) -> None:
        leader = self._leader_of(job)
        match result:
            case Answer():
                self._answered(job, leader, result)
                return
            case OverBudget(price):
                leader.passed_over(price)
            case AttemptError():
                leader.given_up(leader.clips[job.request.clip], result, requests=job.requests)
        if leader.settled:
            self._settle(leader)

    def _answered(self, job: Job, leader: Leader, answer: Answer) -> None:
        clip = leader.clips[job.request.clip]
        result = leader.answered(clip, answer, latency_s=job.latency_s, cost=price(job.request))
        events: list[Event] = []
        if self._settings_fact is not None:
            events.append(Noted(fact=self._settings_fact))
            self._settings_fact = None
        if leader.several:
            n, key, now = leader.selected.n, self.answers_key(leader), leader.identity
            events.append(ClipAnswered(n=n, key=key, config_hash=now.config_hash, result=result))
            share = leader.share(clip)
            self.audio_s += share * leader.duration_s
            self._progress.heard(expected_s=share * leader.selected.expected_s, audio_s=share * leader.duration_s)
        if leader.settled:
            self._settle(leader, *events)
        else:
            self._journal.add(*events)

    def _leader_of(self, job: Job) -> Leader:
        leader = self._sending[job.request.id]
        leader.requests += job.requests
        return leader

    def _settle(self, leader: Leader, *events: Event) -> None:
        """All its clips have come to their end. `events` go into the same commit."""
        del self._sending[leader.selected.utterance.id]
        if leader.error is not None or leader.needs:
            self._journal.add(*events)
            if leader.error is not None:
                self._settle_failed(leader)
            else:
                self._settle_passed_over(leader)
            return
        followers = self.duplicates.settle(leader)[1:]
        leader.release()
        selected, transcript = leader.selected, self._joined(leader)
        self.transcribed += 1
        self.outcomes.finish(selected, retold(transcript, selected.utterance), leader, *events)
        # of several clips each has counted for itself
        expected_s, audio_s = (0.0, 0.0) if leader.several else (selected.expected_s, leader.duration_s)
        self.audio_s += audio_s
        self._progress.ended(expected_s=expected_s, audio_s=audio_s, ok=True)
        for follower in followers:
            self.outcomes.copy(follower, transcript, leader)

    def _settle_failed(self, leader: Leader) -> None:
        error = leader.error
        assert error is not None  # noqa: S101 for the type checker
        why = self._why(leader, error)
        followers = self.duplicates.settle(leader, why)[1:]
        leader.release()
        self.outcomes.give_up(leader.selected, why, leader)
        if consequence_of(error).is_of_the_file:
            self.duplicates.look_again(followers)
            return
        for follower in followers:
            self.outcomes.give_up(follower, why)

    def _why(self, leader: Leader, error: AttemptError | None) -> GivenUp:
        wants_partial = self._settings.audio.allow_partial and leader.results
        return leader.why(error, self._joined(leader) if wants_partial else None)

    def _joined(self, leader: Leader) -> Transcript:
        return leader.joined(
            language=leader.selected.utterance.language or self._settings.service.language,
            run_id=self._run_id,
            finished_at=datetime.now(UTC),
        )

    def _settle_passed_over(self, leader: Leader) -> None:
        """It and those that follow it stay as they were, for the next run."""
        rows = self.duplicates.settle(leader)
        leader.release()
        ids = [selected.utterance.id for selected in rows]
        self.left_out.add(leader.needs, ids, sent=leader.requests > 0, audio_s=leader.duration_s)
        if self.left_out.budget.is_above(leader.needs):  # the next run looks at others first
            self._journal.add(*(TakenUp(n=selected.n, run_id=self._run_id) for selected in rows))
