"""A new checkpoint from the output files, where the old one is damaged or gone, so that nothing paid for is sent again.

Reads OUT/transcripts, transcripts.jsonl, errors and attempts, and what can still be read of the old checkpoint; writes
OUT/checkpoint.sqlite. The old one is kept beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pipeline.checkpoint import Checkpoint, Finished, Sent, hold_output
from pipeline.checkpoint.salvage import salvaged_attempts, salvaged_formats, salvaged_results
from pipeline.checkpoint.store import JSONL_BYTES
from pipeline.errors import CheckpointError, OutputError, UsageError
from pipeline.model import Transcript, Utterance
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
    damaged: list[Path]
    """Parts that could not be read, as they are called now."""
    old: Path | None
    """Where the old checkpoint lies now."""


@contextmanager
def known_transcripts(out: Path) -> Iterator[None]:
    """Raises CheckpointError where transcripts lie without a checkpoint: they are somebody's money, and are taken in or
    left, never written over."""
    path = out / "checkpoint.sqlite"
    is_gone = not path.exists() or not path.stat().st_size
    if is_gone and Sink(out, ("parquet", "jsonl")).holds_transcripts():
        raise CheckpointError(
            f"{out} holds transcripts, and no checkpoint that knows them: run gradium-batch rebuild {out} to take them "
            "in, or choose another --out"
        )
    yield


def rebuild(out: Path) -> Rebuilt:
    """Makes a new checkpoint for `out`. Raises UsageError where there is nothing to make it from, OutputHeld."""
    path = out / "checkpoint.sqlite"
    sink = Sink(out, ("parquet", "jsonl"))
    if not (out / "transcripts").is_dir() and not (out / JSONL_NAME).exists() and not path.exists():
        raise UsageError(f"{out}: there are no transcripts here to make a checkpoint from")
    with hold_output(out):
        old = _set_aside(path)
        with Checkpoint(path) as checkpoint:
            damaged = sink.set_damaged_aside()
            parts, lines = sink.parts_on_disk("transcripts"), (out / JSONL_NAME).exists()
            done = sum(_take_in(checkpoint, sink.part(part), part) for part in parts)
            only_lines = old is not None and salvaged_formats(old) == "jsonl"
            if lines:  # those that are in no part are published again, unless there never were parts
                done += _take_in(checkpoint, sink.lines(), 0 if only_lines else None)
            salvaged = _take_in(checkpoint, salvaged_results(old) if old else [], None)
            credits_ = _take_attempts(checkpoint, sink, old)
            checkpoint.set_fact(JSONL_BYTES, _settle_lines(sink, only_lines=only_lines, lines=lines))
    return Rebuilt(transcripts=done + salvaged, salvaged=salvaged, credits=credits_, damaged=damaged, old=old)


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
    from pipeline.run.joining import word_errors  # `status` asks this module too, and needs no recorder

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


def _settle_lines(sink: Sink, *, only_lines: bool, lines: bool) -> int:
    """Makes the JSONL say what the parts say, or where it stands alone cuts a torn last line off; returns its bytes.

    Rows that are in no part are safe in the new checkpoint by now, and are published by the next run.
    """
    if not lines:
        return int(bool(sink.parts_on_disk("transcripts")))  # 1 is more than is there: it is written from the parts
    return sink.whole_lines() if only_lines else sink.rewrite_lines()
