"""A new checkpoint from the output files, where the old one is damaged or gone, so that nothing paid for is sent again.

Reads OUT/transcripts, transcripts.jsonl, errors and attempts, and what can still be read of the old checkpoint; writes
OUT/checkpoint.sqlite. The old one is kept beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pipeline.checkpoint import Checkpoint, Finished, Sent, hold_output
from pipeline.checkpoint.salvage import salvaged_attempts, salvaged_results
from pipeline.errors import OutputError, UsageError
from pipeline.model import Transcript, Utterance
from pipeline.run.recorder import word_errors
from pipeline.sink import Sink
from pipeline.sink.publish import JSONL_NAME

BATCH = 10_000


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuilt checkpoint knows."""

    transcripts: int
    """Utterances that are done."""
    salvaged: int
    """Those of them that were only in the old checkpoint."""
    credits: float
    old: Path | None
    """Where the old checkpoint lies now."""


def rebuild(out: Path) -> Rebuilt:
    """Makes a new checkpoint for `out`. Raises UsageError where there is nothing to make it from, OutputHeld."""
    path = out / "checkpoint.sqlite"
    sink = Sink(out, ("parquet", "jsonl"))
    if not (out / "transcripts").is_dir() and not (out / JSONL_NAME).exists():
        raise UsageError(f"{out}: there are no transcripts here to make a checkpoint from")
    with hold_output(out):
        old = _set_aside(path)
        with Checkpoint(path) as checkpoint:
            parts = sink.parts_on_disk("transcripts")
            formats = [name for name, there in (("jsonl", (out / JSONL_NAME).exists()), ("parquet", parts)) if there]
            checkpoint.set_fact("formats", ",".join(formats))
            done = sum(_take_in(checkpoint, rows, part) for part, rows in _published(sink, parts))
            if "jsonl" in formats and parts:
                done += _take_in(checkpoint, sink.lines(), None)  # rows whose part is gone are published again
            salvaged = _take_in(checkpoint, salvaged_results(old) if old else [], None)
            _settle_lines(checkpoint, sink, formats)
            credits_ = _take_attempts(checkpoint, sink, old)
    return Rebuilt(transcripts=done + salvaged, salvaged=salvaged, credits=credits_, old=old)


def _set_aside(path: Path) -> Path | None:
    """Moves the old checkpoint and what SQLite keeps beside it out of the way."""
    if not path.exists():
        return None
    aside = path.with_name(f"checkpoint.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}.sqlite")
    try:
        for suffix in ("", "-wal", "-shm"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                source.rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise OutputError(f"the old checkpoint {path} cannot be moved aside: {error.strerror}") from error
    return aside


def _published(sink: Sink, parts: list[int]) -> Iterator[tuple[int, Iterable[Transcript]]]:
    """The rows that readers see, with the part they are in: 0 where there are only lines."""
    if not parts:
        yield 0, sink.lines()
    for part in parts:
        yield part, sink.part(part)


def _take_in(checkpoint: Checkpoint, rows: Iterable[Transcript], part: int | None) -> int:
    """Notes rows as done: published in `part`, or for None as still to be published."""
    count, batch = 0, []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            count += _take_batch(checkpoint, batch, part)
            batch = []
    return count + _take_batch(checkpoint, batch, part)


def _take_batch(checkpoint: Checkpoint, rows: list[Transcript], part: int | None) -> int:
    utterances = [Utterance(id=row.id, audio=row.audio, reference=row.reference, metadata=row.metadata) for row in rows]
    numbers = checkpoint.adopt(utterances)
    events = [
        Finished(n=n, transcript=row, **word_errors(row)) for n, row in zip(numbers, rows, strict=True) if n is not None
    ]
    checkpoint.apply(events)
    if part is not None:
        checkpoint.results_published([(event.n, part) for event in events], {part: len(rows)} if part else {}, jsonl=0)
    return len(events)


def _take_attempts(checkpoint: Checkpoint, sink: Sink, old: Path | None) -> float:
    spent = 0.0
    for part in sink.parts_on_disk("attempts"):
        rows, credits_ = sink.attempts_in(part)
        checkpoint.attempts_published(0, part, rows)
        spent += credits_
    checkpoint.set_fact("credits", spent)
    checkpoint.apply([Sent(attempt=attempt) for attempt in (salvaged_attempts(old) if old else [])])
    return float(checkpoint.fact("credits") or 0.0)


def _settle_lines(checkpoint: Checkpoint, sink: Sink, formats: list[str]) -> None:
    """Makes the JSONL say what the parts say, or where it stands alone cuts a torn last line off."""
    if "jsonl" in formats:
        checkpoint.set_fact("jsonl_bytes", sink.rewrite_lines() if "parquet" in formats else sink.whole_lines())
