"""Settles an utterance in flight and its duplicates, once nothing more of it is to be sent.

Decides who shares an outcome; `outcomes` stores it for each utterance.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.audio.prepare import Preparation
from pipeline.checkpoint import Identity, Selected
from pipeline.checkpoint.events import Event
from pipeline.errors import AttemptError
from pipeline.exchange import Clip
from pipeline.failures import consequence_of
from pipeline.model import Transcript
from pipeline.run.budget import RunBudget
from pipeline.run.context import RunContext
from pipeline.run.copies import Copies
from pipeline.run.duplicates import Duplicates
from pipeline.run.given_up import GivenUp
from pipeline.run.in_flight import InFlight
from pipeline.run.outcomes import Outcomes


class Settlement:
    """Settles the utterances of one run."""

    def __init__(
        self,
        context: RunContext,
        outcomes: Outcomes,
        duplicates: Duplicates,
        budget: RunBudget,
        preparation: Preparation,
        copies: Copies,
    ) -> None:
        """`preparation` and `copies` hold the audio of what is in flight until it is settled."""
        self._context = context
        self._outcomes = outcomes
        self._duplicates = duplicates
        self._budget = budget
        self._preparation = preparation
        self._copies = copies

    def begin(self, selected: Selected, identity: Identity, prefix_hashes: bytes) -> InFlight | None:
        """The utterance as the one that is sent for its identity. None where that is in flight already, was refused, or
        did not fit the budget: then it shares the outcome."""
        if (needed := self._duplicates.sent_in_part(identity)) is not None:
            self._budget.did_not_fit(needed, [selected.utterance.id])
            return None
        if (refusal := self._duplicates.refusal(identity)) is not None:
            self._outcomes.given_up(selected, refusal)
            return None
        answers_key = identity.with_settings(self._context.hashes.of_answers(selected.utterance)).key
        in_flight = InFlight(selected, identity, prefix_hashes, answers_key)
        return in_flight if self._duplicates.begin(in_flight) else None

    def copy_transcript(self, in_flight: InFlight, transcript: Transcript) -> None:
        """Copies a transcript of the same audio and settings to it and its duplicates: nothing is sent."""
        for selected in [in_flight.selected, *self._duplicates.end(in_flight)]:
            self._outcomes.copied(selected, transcript, in_flight)

    def postpone(self, in_flight: InFlight) -> None:
        """Its audio has failed before, maybe under another id, and is not sent in this run."""
        why = self._why(in_flight, None)
        self._release(in_flight)
        duplicates = self._duplicates.end(in_flight)
        self._outcomes.given_up(in_flight.selected, why, in_flight)
        for selected in duplicates:
            self._outcomes.given_up(selected, why)

    def prepared(self, in_flight: InFlight, clips: Sequence[Clip]) -> None:
        """These clips of it are to be sent; without any it has all its answers from earlier runs."""
        self._budget.prepared(in_flight.selected.expected_s, [clip.request.sent_s for clip in clips])
        if not clips:
            self.settle(in_flight)

    def settle(self, in_flight: InFlight, *events: Event) -> None:
        """Every clip of it has its answer, or gets none in this run. `events` go into the same commit."""
        if in_flight.error is not None:
            self._outcomes.note(*events)
            self.fail(in_flight, in_flight.error)
        elif in_flight.credits_needed:
            self._outcomes.note(*events)
            self._over_budget(in_flight)
        else:
            duplicates = self._duplicates.end(in_flight)
            self._release(in_flight)
            transcript = self._joined(in_flight)
            self._outcomes.transcribed_as(in_flight, transcript, *events)
            for selected in duplicates:
                self._outcomes.copied(selected, transcript, in_flight)

    def put_back(self, in_flight: InFlight) -> None:
        """It is prepared again. Until then it holds no disk: those before it may wait for that."""
        self._release(in_flight, comes_again=True)

    def fail(self, in_flight: InFlight, error: AttemptError) -> None:
        """Gives it up for this run: its audio cannot be prepared, or a clip was given up."""
        why = self._why(in_flight, error)
        duplicates = self._duplicates.end(in_flight, why)
        self._release(in_flight)
        self._outcomes.given_up(in_flight.selected, why, in_flight)
        if consequence_of(error).is_of_the_file:
            self._duplicates.look_again(duplicates)
            return
        for selected in duplicates:
            self._outcomes.given_up(selected, why)

    def _over_budget(self, in_flight: InFlight) -> None:
        """It and its duplicates stay as they were, for the next run."""
        rows, needed = [in_flight.selected, *self._duplicates.end(in_flight)], in_flight.credits_needed
        self._release(in_flight)
        ids = [selected.utterance.id for selected in rows]
        self._budget.did_not_fit(needed, ids, was_sent=in_flight.requests > 0, audio_s=in_flight.duration_s)
        if self._budget.credits.is_above(needed):  # the next run looks at others first
            for selected in rows:
                self._outcomes.taken_up(selected)

    def _why(self, in_flight: InFlight, error: AttemptError | None) -> GivenUp:
        wants_partial = self._context.settings.audio.allow_partial and in_flight.results
        return in_flight.why(error, self._joined(in_flight) if wants_partial else None)

    def _joined(self, in_flight: InFlight) -> Transcript:
        return in_flight.transcript(run_id=self._context.run_id, language=self._context.settings.service.language)

    def _release(self, in_flight: InFlight, *, comes_again: bool = False) -> None:
        if in_flight.prepared is not None:
            self._preparation.release(in_flight.selected.utterance, in_flight.prepared, comes_again=comes_again)
            in_flight.prepared = None
        if in_flight.has_copy:
            self._copies.release({in_flight.selected.utterance.audio: ""})
            in_flight.has_copy = False
