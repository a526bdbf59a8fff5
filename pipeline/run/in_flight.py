"""An utterance in flight: its clips, which of them were answered or given up, and its duplicates.

Pure: no I/O. `settlement` decides what follows once every clip was answered or given up.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from pipeline.audio.prepare import Prepared
from pipeline.audio.probe import Recording, length_of
from pipeline.checkpoint import Identity, Selected
from pipeline.checkpoint.failing import KnownFailure
from pipeline.clips import ClipResult
from pipeline.errors import AttemptError
from pipeline.exchange import Answer, Clip
from pipeline.failures import consequence_of
from pipeline.model import DURATION_DIGITS, Transcript
from pipeline.run.given_up import GivenUp, of_clip
from pipeline.run.join import earlier_result, has_several_channels, joined, result_of


class InFlight:
    """An utterance whose audio is prepared or sent, and its duplicates: others of the same audio and settings."""

    def __init__(self, selected: Selected, identity: Identity, prefix_hashes: bytes, answers_key: str) -> None:
        self.selected = selected
        self.identity = identity
        self.prefix_hashes = prefix_hashes
        """Prefix hashes of its audio."""
        self.answers_key = answers_key
        """Stored answers to its clips are found by this and the key of the clip."""
        self.duplicates: list[Selected] = []
        self.more_duplicates = array("q")
        """Row numbers of further ones."""
        self.recording: Recording | None = None
        """Its recording, once it was read."""
        self.has_copy = False
        """It holds a copy of its recording, which lies elsewhere."""
        self.prepared: Prepared | None = None
        """Its audio, until that is released."""
        self.results: dict[int, ClipResult] = {}
        """Answers by clip, those of earlier runs included."""
        self.duration_s = 0.0
        self.requests = 0
        """Requests sent for its clips in this run."""
        self.error: AttemptError | None = None
        """Why the first clip that was given up was."""
        self.credits_needed = 0.0
        """Price of the most expensive clip that did not fit the budget; 0 if all did."""
        self.failed_before: KnownFailure | None = None
        """The failure of its audio in an earlier run."""
        self.is_postponed = False
        """It is not sent in this run, because of `failed_before`."""
        self._issues: tuple[str, ...] = ()
        self._sample_rate = self._channels = 0
        self.clips: dict[int, Clip] = {}
        """By number."""
        self._unanswered = 0
        """Clips that were given up, did not fit the budget or are too long."""
        self._too_long = False
        self._error_clip: int | None = None
        self._sending_failed = self._answered_now = False
        self._maybe_billed: tuple[Clip, AttemptError] | None = None
        """A request of this run that failed and may have been billed."""

    def expect(self, prepared: Prepared, answered: Sequence[ClipResult]) -> list[Clip]:
        """Sets the prepared audio; returns the clips to send, for which `answered`, of earlier runs, has no result."""
        known = {result.key: result for result in answered}
        self.prepared = prepared
        self.duration_s, self._issues = prepared.duration_s, prepared.issues
        self._sample_rate, self._channels = prepared.sample_rate, prepared.channels
        self.clips = {clip.number: clip for clip in prepared.clips}
        self.results = {
            clip.number: earlier_result(clip, known[clip.key]) for clip in prepared.clips if clip.key in known
        }
        self._unanswered, self._too_long, self.credits_needed, self._maybe_billed = 0, False, 0.0, None
        return [clip for clip in prepared.clips if clip.number not in self.results]

    def note_failed_before(self, known: KnownFailure, *, is_postponed: bool) -> None:
        """Notes that its audio failed in an earlier run, maybe under another id; `is_postponed`: it is not sent now."""
        self.failed_before, self.is_postponed = known, is_postponed
        # requests of both were for this audio
        attempts = max(self.selected.attempts, known.failure.attempts)
        self.selected = msgspec.structs.replace(self.selected, attempts=attempts)

    @property
    def has_several_clips(self) -> bool:
        """Whether each answer is stored at once, until all are there."""
        return len(self.clips) > 1

    @property
    def is_settled(self) -> bool:
        """Whether each clip has its answer, or gets none in this run."""
        return len(self.results) + self._unanswered == len(self.clips)

    def share(self, clip: Clip) -> float:
        """The clip's share of the utterance, from 0 to 1."""
        return clip.duration_s / max(sum(other.duration_s for other in self.clips.values()), 1e-9)

    def answered(self, clip: Clip, answer: Answer, *, latency_s: float, cost: float) -> ClipResult:
        """Records the answer to a clip; returns it with times relative to the utterance's start."""
        result = result_of(clip, answer, latency_s=latency_s, cost=cost, audio_bytes=length_of(self.prefix_hashes))
        self.results[clip.number] = result
        self._answered_now = True
        return result

    def given_up(self, clip: Clip, error: AttemptError, *, requests: int) -> None:
        """A clip gets no answer in this run, for which `requests` were sent; the others go on."""
        self._unanswered += 1
        # a failure of the file itself is found before anything is sent the next time, too
        self._sending_failed |= requests > 0 and not consequence_of(error).is_of_the_file
        if self.error is None:
            self.error, self._error_clip = error, clip.number

    def retried(self, clip: Clip, error: AttemptError) -> None:
        """A request for a clip failed, and is to be sent again."""
        if error.billed != "no":
            self._maybe_billed = clip, error

    def withdrawn(self) -> None:
        """A clip is longer than the service takes; the others go on."""
        self._unanswered += 1
        self._too_long = True

    @property
    def comes_again(self) -> bool:
        """Whether it is to be prepared again, in shorter clips; not where another clip of it was given up."""
        return self._too_long and self.error is None

    def over_budget(self, cost: float) -> None:
        """A clip of this price does not fit the budget; the others go on."""
        self._unanswered += 1
        self.credits_needed = max(self.credits_needed, cost)
        never_answered = self.error is None and not self._answered_now
        if self.is_settled and never_answered and self._maybe_billed and self.selected.tries:
            # it was tried in an earlier run too: without a failure, every run would spend its budget this way
            clip, self.error = self._maybe_billed
            self._error_clip, self._sending_failed = clip.number, True

    def why(self, error: AttemptError | None, partial: Transcript | None) -> GivenUp:
        """Why it has no transcript. `error` is this run's failure; None means that its audio failed in an earlier run.
        If there are several clips, the message says which one failed."""
        if error is not None and self._error_clip is not None and self.has_several_clips:
            missing, several = len(self.clips) - len(self.results), has_several_channels(self.clips.values())
            clip, count = self.clips[self._error_clip], len(self.clips)
            error = of_clip(error, clip, clips=count, missing=missing, several_channels=several)
        before = self.failed_before
        return GivenUp(
            error=error,
            known=before.failure if error is None and before is not None else None,
            identity=self.identity if before is None else before.identity,
            clip=self._error_clip,
            # if only the budget kept clips back, nothing failed: the next run sends them
            was_sent=self._sending_failed and not (self.credits_needed and self._answered_now),
            partial=partial,
            answered_s=round(sum(self.clips[number].duration_s for number in self.results), 3),
            answered_now=self._answered_now,
            prefix_hashes=self.prefix_hashes,
        )

    def transcript(self, *, run_id: str, language: str) -> Transcript:
        """The transcript of the clips that were answered; `language` is the configured one."""
        utterance = self.selected.utterance
        return joined(
            self.clips,
            self.results,
            id=utterance.id,
            audio=utterance.audio,
            language=utterance.language or language,
            duration_s=round(self.duration_s, DURATION_DIGITS),
            sample_rate=self._sample_rate,
            channels=self._channels,
            issues=self._issues,
            audio_hash=self.identity.audio_hash,
            config_hash=self.identity.config_hash,
            attempts=self.selected.attempts + self.requests,
            run_id=run_id,
            finished_at=datetime.now(UTC),
        )
