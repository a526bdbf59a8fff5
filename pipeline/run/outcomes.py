"""Stores the outcome of an utterance: it gets a transcript, keeps the one it has, or fails.

Hands events to the store, counts for the figures, and moves the progress bar.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from pipeline.checkpoint import Selected, State, Store
from pipeline.checkpoint.events import ClipAnswered, Event, Finished, Missing, Moved, Reused, Tried
from pipeline.checkpoint.failing import Failed
from pipeline.clips import ClipResult
from pipeline.errors import AttemptError
from pipeline.exchange import Clip, Request
from pipeline.failures import consequence_of
from pipeline.model import Transcript
from pipeline.report.progress import Progress
from pipeline.run.given_up import GivenUp
from pipeline.run.in_flight import InFlight
from pipeline.run.join import for_row, word_errors

log = logging.getLogger(__name__)


class Outcomes:
    """The outcomes of one run."""

    def __init__(self, store: Store, progress: Progress, run_id: str) -> None:
        self.transcribed = self.failed = self.reused = self.moved = self.redo_failed = 0
        self.audio_s = 0.0
        """Audio that was answered in this run."""
        self._store = store
        self._progress = progress
        self._run_id = run_id

    def note(self, *events: Event) -> None:
        """Stores events that are no outcome."""
        self._store.add(*events)

    def keeps_transcript(self, selected: Selected, prefix_hashes: bytes) -> None:
        """Its file only looked changed: the transcript that it has is still right."""
        self.reused += 1
        self._store.add(Reused(n=selected.n, prefix_hashes=prefix_hashes))
        self._progress.ended(expected_s=selected.expected_s, audio_s=selected.expected_s, ok=True)

    def takes_over_row(self, selected: Selected, old: int, original: Transcript) -> None:
        """Its recording was renamed: the utterance takes over the row `old` of the former name."""
        self.reused += 1
        self.moved += 1
        transcript = for_row(original, selected.utterance, config_hash=selected.config_hash)
        self._store.add(Moved(n=selected.n, old=old, transcript=transcript, **word_errors(transcript)))
        self._progress.ended(expected_s=selected.expected_s, audio_s=transcript.duration_s, ok=True)

    def copied(self, selected: Selected, original: Transcript, in_flight: InFlight) -> None:
        """The utterance gets a copy of another one's transcript, at no cost."""
        self.reused += 1
        copy = self._copy(original, selected)
        self._finish(selected, copy, in_flight)
        self._progress.ended(expected_s=selected.expected_s, audio_s=copy.duration_s, ok=True)

    def transcribed_as(self, in_flight: InFlight, transcript: Transcript, *events: Event) -> None:
        """All clips of the utterance were answered; `events` go into the same commit."""
        selected = in_flight.selected
        self.transcribed += 1
        self._finish(selected, for_row(transcript, selected.utterance), in_flight, *events)
        # of several clips each has counted for itself
        several = in_flight.has_several_clips
        expected_s, audio_s = (0.0, 0.0) if several else (selected.expected_s, in_flight.duration_s)
        self.audio_s += audio_s
        self._progress.ended(expected_s=expected_s, audio_s=audio_s, ok=True)

    def clip_answered(self, in_flight: InFlight, clip: Clip, result: ClipResult) -> ClipAnswered:
        """One of an utterance's several clips was answered; returns the event, which is to be noted."""
        share = in_flight.share(clip)
        self.audio_s += share * in_flight.duration_s
        self._progress.answered(expected_s=share * in_flight.selected.expected_s, audio_s=share * in_flight.duration_s)
        config_hash = in_flight.identity.config_hash
        return ClipAnswered(n=in_flight.selected.n, key=in_flight.answers_key, config_hash=config_hash, result=result)

    def retried(self, request: Request, error: AttemptError, pause_s: float) -> None:
        """A request failed and is sent again."""
        self._progress.retried()
        log.info("retrying %s in %.1f s: %s: %s", request.id, pause_s, type(error).__name__, error.message)

    def given_up(self, selected: Selected, why: GivenUp, in_flight: InFlight | None = None) -> None:
        """The utterance has failed: as the one `in_flight`, or for the reason of another one."""
        excused = why.error is not None and consequence_of(why.error).excused_by_transcript
        if excused and selected.done is not None and not selected.other_path:
            self._store.add(Missing(n=selected.n))
            self._progress.ended(expected_s=selected.expected_s, audio_s=0.0, ok=True)
            return
        failure = why.failure(selected, requests=in_flight.requests if in_flight else 0, run_id=self._run_id)
        self.failed += 1
        self.redo_failed += selected.state == State.DONE
        events: list[Event] = [
            Failed(
                n=selected.n,
                failure=failure,
                was_sent=why.was_sent,
                identity=why.identity,
                prefix_hashes=why.prefix_hashes,
                is_known=why.known is not None,
            )
        ]
        if (partial := why.partial) is not None:
            row = for_row(partial, selected.utterance) if in_flight else self._copy(partial, selected)
            events.append(why.partly(selected.n, row))
        self._store.add(*events)
        self._progress.ended(expected_s=selected.expected_s, audio_s=0.0, ok=False)
        log.warning("failed %s: %s: %s", selected.utterance.id, failure.error, failure.message)

    def left_out(self, selected: Selected) -> None:
        """Nothing is sent for the utterance, which leaves the checkpoint: its audio was forgotten."""
        self._progress.ended(expected_s=selected.expected_s, audio_s=0.0, ok=True)

    def taken_up(self, selected: Selected) -> None:
        """The utterance stays as it was, after others in the order of the next run."""
        self._store.add(Tried(n=selected.n, run_id=self._run_id))

    def _finish(self, selected: Selected, transcript: Transcript, in_flight: InFlight, *events: Event) -> None:
        before = in_flight.failed_before
        finished = Finished(
            n=selected.n,
            transcript=transcript,
            prefix_hashes=in_flight.prefix_hashes,
            failed_as=None if before is None else before.identity,
            **word_errors(transcript),
        )
        self._store.add(*events, finished)

    def _copy(self, original: Transcript, selected: Selected) -> Transcript:
        about = {"run_id": self._run_id, "finished_at": datetime.now(UTC), "config_hash": selected.config_hash}
        return for_row(original, selected.utterance, attempts=0, latency_s=0.0, credits=0.0, **about)
