"""Gathers what is known of an output: from its files and from an old checkpoint into a new one.

Reads the output folder; writes the new checkpoint, and nothing else but a JSONL that stands alone and is damaged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from pipeline.checkpoint import Checkpoint, ClipAnswered, Finished, Identity, Partly, Sent
from pipeline.checkpoint.identity import is_partial
from pipeline.checkpoint.rebuilding import unknown
from pipeline.checkpoint.salvage import Old
from pipeline.checkpoint.schema import CREDITS, FORMATS, JSONL_BYTES, LEARNED, MANIFEST, PLACES
from pipeline.errors import OutputError
from pipeline.model import KeptClip, Transcript, Utterance
from pipeline.report.figures import readable
from pipeline.run.joining import word_errors
from pipeline.run.month import MONTH_BUDGET
from pipeline.run.owner import OWNER
from pipeline.sink.batches import in_batches
from pipeline.sink.read import key_of
from pipeline.sink.salvage import Salvage

BATCH = 10_000


class Gathering:
    """One rebuild: what goes from the files and the old checkpoint into the new one, and how much of it there was."""

    def __init__(self, out: Path, sink: Salvage, old: Old, checkpoint: Checkpoint) -> None:
        self.transcripts = self.salvaged = self.clips = self.failed = self.runs = 0
        self.credits = 0.0
        self.lines_are_stale = False
        """transcripts.jsonl is to be written anew from the parts, once the new checkpoint holds what only it has."""
        self._out = out
        self._sink = sink
        self._old = old
        self._checkpoint = checkpoint

    def take_in(self) -> None:
        """In an order in which what says more comes first, and counts."""
        checkpoint, old, sink = self._checkpoint, self._old, self._sink
        texts = ((fact, str) for fact in (FORMATS, MANIFEST, PLACES, OWNER))
        for fact, kind in (*texts, (LEARNED, int), (MONTH_BUDGET, float)):
            if (value := old.fact(fact)) is not None and isinstance(value, kind):
                checkpoint.set_fact(fact, value)
        self._take_attempts()
        checkpoint.adopt_manifests(old.manifests())
        for known in in_batches(old.utterances(), BATCH):
            checkpoint.adopt_known(known)
        parts = sink.parts_on_disk("transcripts")
        for part in parts:
            self.transcripts += self._take_transcripts(sink.part(part), part)
        self._take_lines(bool(parts))
        # a transcript that was made anew stands in a part as it was, and only here as it is
        self.salvaged = self._take_transcripts(old.results(), None, instead=True)
        for was, now in old.moved():
            checkpoint.adopt_move(was, now)
        checkpoint.adopt_replaced(old.replaced())
        for known in in_batches(old.utterances(), BATCH):
            checkpoint.adopt_failed(known)
        for told in (old.failures(), sink.errors()):
            for failures in in_batches(told, BATCH):
                checkpoint.adopt_failures(failures)
        for paid in in_batches(old.known_failures(), BATCH):
            checkpoint.adopt_known_failures(paid)
        checkpoint.forget_unexplained()
        self._take_clips()
        self._take_runs()
        checkpoint.bound_waits()
        self.failed = checkpoint.totals(whole=True).failed

    def _take_transcripts(self, rows: Iterable[Transcript], part: int | None, *, instead: bool = False) -> int:
        """Notes rows as done, or with gaps, published in `part`, or for None as still to be published; those that have
        a transcript already only where it is to stand `instead`. Returns how many had none."""
        count = read = 0
        for batch in in_batches(rows, BATCH):
            read += len(batch)
            found = self._checkpoint.adopt_transcribed(batch)
            count += sum(not has_one for _, has_one in found)
            taken = [(n, row) for (n, has_one), row in zip(found, batch, strict=True) if instead or not has_one]
            self._checkpoint.apply([_as_it_is(n, row) for n, row in taken])
            if part is not None:
                placed = [(n, part) for n, _ in taken]
                self._checkpoint.results_published(placed, {part: read} if part else {}, jsonl=0)
        return count

    def _take_lines(self, has_parts: bool) -> None:
        """Takes in the JSONL, and says how it goes on.

        What is in no part is published again, unless the output never had parts.
        """
        size = self._sink.lines_bytes()
        if size is None:
            size = int(has_parts)  # more than is there: the next run writes it from the parts
        elif self._old.fact(FORMATS) == "jsonl":
            size = self._sink.whole_lines()
            self.transcripts += self._take_transcripts(self._sink.lines(), 0)
        else:
            self.transcripts += self._take_transcripts(self._sink.lines(), None)
            self.lines_are_stale = True
            size += 1  # should this end before they are rewritten, the next run does it
        self._checkpoint.set_fact(JSONL_BYTES, size)

    def _take_attempts(self) -> None:
        parts, months, maybe = self._sink.parts_on_disk("attempts"), defaultdict[str, float](float), 0.0
        for part in parts:
            rows, credits_, maybe_of_part = self._sink.attempts_in(part)
            maybe += maybe_of_part
            self._checkpoint.attempts_published(0, part, rows)
            for month, spent in credits_.items():
                months[month] += spent
        # a crash may have left the last part written and not noted, its rows still waiting
        written = self._sink.keys_of_attempts(parts[-1]) if parts else ()
        self._checkpoint.set_credits(months, maybe)
        waiting = (attempt for attempt in self._old.attempts() if key_of(attempt) not in written)
        for attempts in in_batches(waiting, BATCH):
            self._checkpoint.apply([Sent(attempt=attempt) for attempt in attempts])
        self.credits = self._checkpoint.fact(CREDITS, float) or 0.0

    def _take_clips(self) -> None:
        """Answers that no transcript holds; those of the old checkpoint are newer than those of the file."""
        checkpoint = self._checkpoint
        written = (clip for clip in self._sink.clips() if not self._has_transcript(clip))
        taken: set[tuple[str, str]] = set()
        for clips in in_batches(chain(written, self._old.clips()), BATCH):
            # of an utterance that did not fail they may be all that is left
            checkpoint.adopt_known([unknown(Utterance(id=clip.id, audio=clip.audio)) for clip in clips])
            checkpoint.apply(
                [
                    ClipAnswered(n=n, key=clip.key, config_hash=clip.config_hash, result=clip.result)
                    for clip in clips
                    if (n := checkpoint.number_of(clip.id)) is not None
                ]
            )
            taken.update((clip.key, clip.result.key) for clip in clips)
        self.clips = len(taken)

    def _has_transcript(self, clip: KeptClip) -> bool:
        """Whether there is one of the same audio under the same settings."""
        identity = Identity(audio_hash=clip.key.partition(":")[0], config_hash=clip.config_hash)
        return bool(self._checkpoint.twins([identity]))

    def _take_runs(self) -> None:
        """The runs of the old checkpoint, and those that left their record in OUT/runs."""
        runs = {run_id: (started_at, _whole(figures)) for run_id, started_at, figures in self._old.runs()}
        for path in sorted((self._out / "runs").glob("*.json")):
            try:
                encoded = path.read_bytes()
            except OSError as error:
                raise OutputError(f"{path} cannot be read: {error.strerror}; mend it or move it away") from error
            if (figures := readable(encoded)) is not None:
                runs[figures.run_id] = figures.started_at.isoformat(), encoded
        for run_id, (started_at, encoded_or_none) in runs.items():
            self._checkpoint.save_run(run_id, started_at, encoded_or_none)
        self.runs = len(runs)


def _as_it_is(n: int, row: Transcript) -> Finished | Partly:
    if is_partial(row):  # with 0 s the next failure finds that it says more, and tells it anew
        return Partly(n=n, transcript=row, answered_s=0.0)
    return Finished(n=n, transcript=row, marks=None, failed_as=None, **word_errors(row))


def _whole(figures: bytes | None) -> bytes | None:
    """The figures of a run where they can be read: without them it is one that did not reach its end."""
    return figures if figures is not None and readable(figures) is not None else None
