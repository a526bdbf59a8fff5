"""What becomes of utterances in a run: each gets a transcript, keeps the one that it has, or fails.

Counts for the figures, tells the progress, and hands events to the journal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from pipeline.checkpoint import Journal, Selected, State
from pipeline.checkpoint.events import Event, Finished, Moved, Reused
from pipeline.checkpoint.events import Missing as Gone
from pipeline.checkpoint.failing import Failed
from pipeline.errors import AudioMissing
from pipeline.model import Transcript
from pipeline.report.progress import Progress
from pipeline.run.given_up import GivenUp
from pipeline.run.joining import Leader, retold, word_errors

log = logging.getLogger(__name__)


class Outcomes:
    """Those of one run."""

    def __init__(self, journal: Journal, progress: Progress, run_id: str, on_result: Callable[[int], None]) -> None:
        """`on_result` is called whenever a transcript was handed to the journal, with its number of words."""
        self.failed_count = self.reused_count = self.moved_count = self.redo_failed = 0
        self._journal = journal
        self._progress = progress
        self._run_id = run_id
        self._on_result = on_result

    def reused(self, selected: Selected, marks: bytes) -> None:
        """The transcript it has still answers to it."""
        self.reused_count += 1
        self._journal.add(Reused(n=selected.n, marks=marks))
        self._progress.ended(expected_s=selected.expected_s, audio_s=selected.expected_s, ok=True)

    def moved(self, selected: Selected, old: int, original: Transcript) -> None:
        """The utterance is the one that had the row `old` before its recording was renamed: it takes that row over."""
        self.reused_count += 1
        self.moved_count += 1
        transcript = retold(original, selected.utterance, config_hash=selected.config_hash)
        self._journal.add(Moved(n=selected.n, old=old, transcript=transcript, **word_errors(transcript)))
        self._on_result(len(transcript.words))
        self._progress.ended(expected_s=selected.expected_s, audio_s=transcript.duration_s, ok=True)

    def copy(self, selected: Selected, original: Transcript, leader: Leader) -> None:
        """The utterance gets another one's transcript, which cost it nothing."""
        self.reused_count += 1
        copy = self._copied(original, selected)
        self.finish(selected, copy, leader)
        self._progress.ended(expected_s=selected.expected_s, audio_s=copy.duration_s, ok=True)

    def _copied(self, original: Transcript, selected: Selected) -> Transcript:
        about = {"run_id": self._run_id, "finished_at": datetime.now(UTC), "config_hash": selected.config_hash}
        return retold(original, selected.utterance, attempts=0, latency_s=0.0, credits=0.0, **about)

    def finish(self, selected: Selected, transcript: Transcript, leader: Leader, *events: Event) -> None:
        """The utterance has its transcript, as the `leader` of its audio or after it."""
        failed_as = None if leader.before is None else leader.before.identity
        finished = Finished(
            n=selected.n,
            transcript=transcript,
            marks=leader.marks,
            failed_as=failed_as,
            **word_errors(transcript),
        )
        self._journal.add(*events, finished)
        self._on_result(len(transcript.words))

    def give_up(self, selected: Selected, why: GivenUp, leader: Leader | None = None) -> None:
        """The utterance has failed: as the `leader` of its audio, or for the reason of another one."""
        utterance = selected.utterance
        if isinstance(why.error, AudioMissing) and selected.done is not None and not selected.other_path:
            self._journal.add(Gone(n=selected.n))
            self._progress.ended(expected_s=selected.expected_s, audio_s=0.0, ok=True)
            return
        requests = 0 if leader is None else leader.requests
        failure = why.failure(selected, requests=requests, run_id=self._run_id)
        self.failed_count += 1
        self.redo_failed += selected.state == State.DONE
        events: list[Event] = [
            Failed(
                n=selected.n,
                failure=failure,
                was_sent=why.was_sent,
                identity=why.identity,
                marks=why.marks,
                is_known=why.known is not None,
            )
        ]
        if (partial := why.partial) is not None:
            row = retold(partial, utterance) if leader is not None else self._copied(partial, selected)
            events.append(why.partly(selected.n, row))
            self._on_result(len(row.words))
        self._journal.add(*events)
        self._progress.ended(expected_s=selected.expected_s, audio_s=0.0, ok=False)
        log.warning("failed %s: %s: %s", utterance.id, failure.error, failure.message)
