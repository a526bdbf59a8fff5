"""Recovers what is known of an output, from its files and from an old checkpoint, into a new one.

Reads the output folder; writes the new checkpoint, and nothing else but a JSONL that stands alone and is damaged.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import msgspec

from pipeline.checkpoint import Checkpoint, ClipAnswered, Finished, Identity, Partly, Sent
from pipeline.checkpoint.identity import is_partial
from pipeline.checkpoint.salvage import Known, Old
from pipeline.checkpoint.schema import (
    CREDITS,
    FORGOTTEN,
    FORMATS,
    JSONL_BYTES,
    LEARNED,
    MANIFEST,
    OWNER,
    PLACES,
    VERDICT,
)
from pipeline.checkpoint.subtracted import Timed
from pipeline.checkpoint.verdict import EARLIER, DelayVerdict
from pipeline.clips import KeptClip
from pipeline.model import Attempt, Transcript, Utterance
from pipeline.report.figures import readable
from pipeline.run.join import word_errors
from pipeline.run.month import MONTH_BUDGET
from pipeline.sink.rows import in_batches
from pipeline.sink.salvage import Salvage
from pipeline.times import state_of

BATCH = 10_000


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuilt checkpoint holds."""

    transcripts: int
    """Utterances that are done."""
    salvaged: int
    """Those of them that were only in the old checkpoint."""
    clips: int
    """Answered clips of utterances that have no transcript yet, or had none under other settings."""
    failed: int
    runs: int
    credits: float
    damaged: list[Path]
    """Output files that could not be read, or not to their end, as they are called now."""


class Recovery:
    """The recovery of one rebuild."""

    def __init__(self, sink: Salvage, old: Old, checkpoint: Checkpoint) -> None:
        self.lines_are_stale = False
        """transcripts.jsonl is to be rewritten from the parts, once the new checkpoint holds what only it has."""
        self._sink = sink
        self._old = old
        self._checkpoint = checkpoint

    def take_all(self) -> Rebuilt:
        """Where sources differ, the more complete one is read first and counts."""
        checkpoint, old, sink = self._checkpoint, self._old, self._sink
        texts = ((fact, str) for fact in (FORMATS, MANIFEST, PLACES, OWNER, FORGOTTEN))
        for fact, kind in (*texts, (LEARNED, int), (MONTH_BUDGET, float)):
            if (value := old.fact(fact)) is not None and isinstance(value, kind):
                checkpoint.set_fact(fact, value)
        verdict = DelayVerdict.read(old.fact(VERDICT))
        if verdict is not None:
            checkpoint.set_verdict(verdict)
        self._take_attempts()
        checkpoint.adopt_manifests(old.manifests())
        for known in in_batches(old.utterances(), BATCH):
            checkpoint.adopt_known(known)
        parts = sink.parts.numbers()
        published = sum(self._take_transcripts(sink.rows(part), part) for part in parts)
        published += self._take_lines(bool(parts))
        # a replaced transcript is in a part as it was, and only here as it is now
        salvaged = self._take_transcripts(old.results(), None, instead=True)
        for was, now in old.moved():
            checkpoint.adopt_move(was, now)
        checkpoint.adopt_replaced(old.replaced())
        for known in in_batches(old.utterances(), BATCH):
            checkpoint.adopt_failed(known)
        for failures in in_batches(chain(old.failures(), sink.readable_errors()), BATCH):
            checkpoint.adopt_failures(failures)
        for paid in in_batches(old.known_failures(), BATCH):
            checkpoint.adopt_known_failures(paid)
        checkpoint.forget_unexplained()
        clips, runs = self._take_clips(), self._take_runs()
        if verdict is None and (published or salvaged or clips):
            checkpoint.set_verdict(self._verdict_of_runs())
        checkpoint.bound_waits()
        return Rebuilt(
            transcripts=published + salvaged,
            salvaged=salvaged,
            clips=clips,
            failed=checkpoint.totals(whole=True).failed,
            runs=runs,
            credits=checkpoint.fact(CREDITS, float) or 0.0,
            damaged=sink.damaged,
        )

    def _take_transcripts(self, rows: Iterable[Transcript], part: int | None, *, instead: bool = False) -> int:
        """Notes rows as done, or with gaps, published in `part`, or for None as still to be published; those that have
        a transcript already only where it is to stand `instead`. Returns how many had none."""
        count = read = 0
        for batch in in_batches(map(self._with_times, rows), BATCH):
            read += len(batch)
            found = self._checkpoint.adopt_transcribed(batch)
            count += sum(not has_one for _, has_one in found)
            taken = [(n, row) for (n, has_one), row in zip(found, batch, strict=True) if instead or not has_one]
            self._checkpoint.apply([_event_of(n, row) for n, row in taken])
            if part is not None:
                placed = [(n, part) for n, _ in taken]
                timed = [one for n, row in taken if (one := self._timed(n, row)) is not None]
                self._checkpoint.results_published(placed, {part: read} if part else {}, 0, timed)
        if part and not read:  # all its rows were pruned or forgotten
            self._checkpoint.results_published((), {part: 0}, 0)
        return count

    def _with_times(self, row: Transcript) -> Transcript:
        """A published transcript with the old checkpoint's record of its times; others have their own."""
        found = self._old.times_of(row.id) if row.clip_times is msgspec.UNSET else None
        return row if found is None else msgspec.structs.replace(row, clip_times=found[0])

    def _timed(self, n: int, row: Transcript) -> Timed | None:
        """The record of a published transcript, where it has one that fits."""
        found = self._old.times_of(row.id)
        is_applied = state_of(row)
        if found is None or is_applied is None:
            return None
        return Timed.of(n, row, applied=is_applied, is_open=found[1])

    def _take_lines(self, has_parts: bool) -> int:
        """Takes in the JSONL, and notes how it is continued; returns how many utterances got a transcript from it.

        What is in no part is published again, unless the output never had parts.
        """
        sink, size, count = self._sink, self._sink.lines.size(), 0
        if size is None:
            size = int(has_parts)  # more than is there: the next run writes it from the parts
        elif self._old.fact(FORMATS) == "jsonl":
            size = sink.drop_damaged_lines()
            count = self._take_transcripts(sink.readable_lines(), 0)
        else:
            count = self._take_transcripts(sink.readable_lines(), None)
            self.lines_are_stale = True
            size += 1  # should this end before they are rewritten, the next run does it
        self._checkpoint.set_fact(JSONL_BYTES, size)
        return count

    def _take_attempts(self) -> None:
        ledger, checkpoint = self._sink.attempts, self._checkpoint
        rows, months, maybe = ledger.sums(ledger.numbers())
        for part, count in rows.items():
            checkpoint.attempts_published(0, part, count)
        checkpoint.set_credits(months, maybe)
        # a crash may have left the last part written and not recorded, its rows still waiting
        written = {_key(attempt) for part in [*rows][-1:] for attempt in ledger.table(part).rows()}
        waiting = (attempt for attempt in self._old.attempts() if _key(attempt) not in written)
        for attempts in in_batches(waiting, BATCH):
            checkpoint.apply([Sent(attempt=attempt) for attempt in attempts])

    def _take_clips(self) -> int:
        """Takes in answers that no transcript holds, the newer ones of the old checkpoint last; returns how many."""
        checkpoint = self._checkpoint
        written = (clip for clip in self._sink.readable_clips() if not self._has_transcript(clip))
        taken: set[tuple[str, str]] = set()
        for clips in in_batches(chain(written, self._old.clips()), BATCH):
            # of an utterance that did not fail they may be all that is left
            checkpoint.adopt_known([Known(utterance=Utterance(id=clip.id, audio=clip.audio)) for clip in clips])
            checkpoint.apply(
                [
                    ClipAnswered(n=n, key=clip.key, config_hash=clip.config_hash, result=clip.result)
                    for clip in clips
                    if (n := checkpoint.number_of(clip.id)) is not None
                ]
            )
            taken.update((clip.key, clip.result.key) for clip in clips)
        return len(taken)

    def _has_transcript(self, clip: KeptClip) -> bool:
        """Whether there is one of the same audio under the same settings."""
        identity = Identity(audio_hash=clip.key.partition(":")[0], config_hash=clip.config_hash)
        return bool(self._checkpoint.stored_transcripts([identity]))

    def _verdict_of_runs(self) -> DelayVerdict:
        """What the last run that tells it did with the decoder's delay: transcripts without a record stay so."""
        told = [figures for record in self._sink.run_records() if (figures := readable(record)) is not None]
        found = [(one.started_at, one.delay_correction.applied) for one in told if one.delay_correction is not None]
        return msgspec.structs.replace(EARLIER, decided=max(found)[1] == "on") if found else EARLIER

    def _take_runs(self) -> int:
        """Takes in the runs of the old checkpoint, and those that left a record in OUT/runs; returns how many."""
        runs = {run_id: (started_at, _readable(figures)) for run_id, started_at, figures in self._old.runs()}
        for encoded in self._sink.run_records():
            if (figures := readable(encoded)) is not None:
                runs[figures.run_id] = figures.started_at.isoformat(), encoded
        for run_id, (started_at, encoded_or_none) in runs.items():
            self._checkpoint.save_run(run_id, started_at, encoded_or_none)
        return len(runs)


def _key(attempt: Attempt) -> tuple[object, ...]:
    """Identifies an attempt."""
    return attempt.run_id, attempt.id, attempt.clip, attempt.attempt, attempt.started_at


def _event_of(n: int, row: Transcript) -> Finished | Partly:
    if is_partial(row):  # with 0 s the next failure replaces it
        return Partly(n=n, transcript=row, answered_s=0.0)
    return Finished(n=n, transcript=row, prefix_hashes=None, failed_as=None, **word_errors(row))


def _readable(figures: bytes | None) -> bytes | None:
    """The figures of a run where they can be read: without them it is one that did not reach its end."""
    return figures if figures is not None and readable(figures) is not None else None
