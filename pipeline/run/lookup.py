"""Finds which selected utterances need a request: not unreadable ones, those that have a transcript already, or those
that failed before and are not due.

Reads and hashes recordings in a thread, and looks their content up in the checkpoint and the output.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence

import msgspec

from pipeline.audio.probe import Recording, read_recording, refuse_truncated_copy, truncated_copy
from pipeline.checkpoint import Identity, Selected, State, Store
from pipeline.errors import AttemptError
from pipeline.model import Transcript
from pipeline.run.context import RunContext
from pipeline.run.given_up import GivenUp
from pipeline.run.in_flight import InFlight
from pipeline.run.outcomes import Outcomes
from pipeline.run.renames import Renames
from pipeline.run.settlement import Settlement
from pipeline.run.stored import StoredTranscripts
from pipeline.run.withheld import Withheld
from pipeline.source import Sources


class Candidate(msgspec.Struct, frozen=True):
    """A selected utterance whose recording was read."""

    selected: Selected
    recording: Recording
    identities: list[Identity]
    """Identities under which it may have a transcript, the one of the current settings first."""


class Sendable(msgspec.Struct, frozen=True):
    """An utterance that needs a request."""

    in_flight: InFlight
    recording: Recording
    answer_keys: list[str]
    """What answers to its clips may be kept under; before version 6 of the checkpoint it was its identity."""


class Lookup:
    """Looks up the batches of one run."""

    def __init__(
        self,
        context: RunContext,
        store: Store,
        transcripts: StoredTranscripts,
        outcomes: Outcomes,
        settlement: Settlement,
        withheld: Withheld,
        sources: Sources,
    ) -> None:
        self._context = context
        self._store = store
        self._stored = transcripts
        self._outcomes = outcomes
        self._settlement = settlement
        self._withheld = withheld
        self._renames = Renames(store, transcripts, outcomes, sources)

    async def sendable(
        self, batch: Sequence[Selected], files: Mapping[str, str | AttemptError], stopped: threading.Event
    ) -> list[Sendable]:
        """Those that need a request; the others have their outcome. `files` are the local files of their recordings, or
        why there is none. Raises Stopped."""
        looks = await asyncio.to_thread(_look_at, batch, files, stopped)
        candidates = await self._not_forgotten(self._readable(batch, looks))
        moved = await self._renames.move(
            {
                one.selected.n: (one.selected, one.identities)
                for one in candidates
                if one.selected.by_path and one.selected.done is None
            }
        )
        begun = [
            (in_flight, one)
            for one in candidates
            if one.selected.n not in moved and (in_flight := self._begin(one)) is not None
        ]
        transcripts = await self._transcripts_of(begun)
        for in_flight, _ in begun:
            if (transcript := transcripts.get(in_flight.identity)) is not None:
                self._settlement.copy_transcript(in_flight, transcript)
        left = [(in_flight, one) for in_flight, one in begun if in_flight.identity not in transcripts]
        await self._note_failures(left)
        return [
            Sendable(in_flight, one.recording, [in_flight.answers_key, *(identity.key for identity in one.identities)])
            for in_flight, one in left
        ]

    async def _not_forgotten(self, candidates: list[Candidate]) -> list[Candidate]:
        forgotten = [one for one in candidates if self._withheld.has(one.recording.audio_hash)]
        for one in forgotten:
            await self._withheld.leave_out(one.selected)
        return [one for one in candidates if not self._withheld.has(one.recording.audio_hash)]

    def _readable(self, batch: Sequence[Selected], looks: Sequence[Recording | AttemptError]) -> list[Candidate]:
        candidates = []
        for selected, found in zip(batch, looks, strict=True):
            if isinstance(found, AttemptError):
                self._outcomes.given_up(selected, GivenUp(error=found))
            else:
                identities = self._context.hashes.identities(selected.utterance, found)
                candidates.append(Candidate(selected, found, identities))
        return candidates

    def _begin(self, one: Candidate) -> InFlight | None:
        """The utterance in flight, where it is the first of its audio and settings; None where it needs no request."""
        selected = one.selected
        if selected.state != State.DONE and selected.done in one.identities:
            self._outcomes.keeps_transcript(selected, one.recording.prefix_hashes)
            return None
        if not self._context.settings.audio.allow_truncated:
            try:
                refuse_truncated_copy(one.recording.prefix_hashes, selected.prefix_hashes)
            except AttemptError as error:
                self._outcomes.given_up(selected, GivenUp(error=error))
                return None
        return self._settlement.begin(selected, one.identities[0], one.recording.prefix_hashes)

    async def _transcripts_of(self, begun: Sequence[tuple[InFlight, Candidate]]) -> dict[Identity, Transcript]:
        """Transcripts by the current identity, found under any of the identities; none for rows that are done, which
        were selected to be sent again."""
        identities = [one.identities for _, one in begun if one.selected.state != State.DONE]
        # in one query: between two a row may move from another identity to the current one
        found = await self._transcripts([*dict.fromkeys(identity for several in identities for identity in several)])
        return {
            several[0]: found[identity] for several in identities for identity in reversed(several) if identity in found
        }

    async def _transcripts(self, identities: Sequence[Identity]) -> dict[Identity, Transcript]:
        """Transcripts of these audios and settings, of any utterance."""
        transcripts: dict[Identity, Transcript] = {}
        for _ in range(2):  # a row that is moved meanwhile is found the second time
            unknown = [identity for identity in identities if identity not in transcripts]
            pending, stored = await self._store.transcripts_of(unknown)
            known = await self._stored.read_of(stored)
            transcripts |= pending | known
            if len(known) == len(stored):
                return transcripts
        if left := [one.part for identity, one in stored.items() if identity not in transcripts and one.part]:
            rows = await self._store.parts("transcripts")
            await self._stored.check(left, rows)  # raises where a part is damaged: what it lost would be paid again
        return transcripts

    async def _note_failures(self, left: Sequence[tuple[InFlight, Candidate]]) -> None:
        """Notes how the audio of these failed before, and whether it is sent again in this run."""
        if not left:
            return
        identities = [identity for _, one in left for identity in one.identities]
        known = await self._store.failures_of(identities)
        for in_flight, one in left:
            found = [known[identity] for identity in one.identities if identity in known]
            if found:
                failure, holds = next((one for one in found if one[1]), found[0])
                in_flight.note_failed_before(failure, is_postponed=holds and not self._context.options.resends_failed)


def _look_at(
    batch: Sequence[Selected], files: Mapping[str, str | AttemptError], stopped: threading.Event
) -> list[Recording | AttemptError]:
    """Hashes and probes each recording, or says why it cannot be read; many at a time, because each hop between threads
    costs as much as a short file."""
    looks: list[Recording | AttemptError] = []
    for selected in batch:
        path = files[selected.utterance.audio]
        if isinstance(path, AttemptError):
            looks.append(path)
            continue
        try:
            looks.append(read_recording(path, stopped))
        except AttemptError as error:
            looks.append(truncated_copy(path, selected.prefix_hashes, stopped) or error)
    return looks
