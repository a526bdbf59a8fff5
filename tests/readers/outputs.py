"""Outputs as runs leave them, made by the sink from records: fast enough for tens of thousands of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from pipeline.model import Attempt, Failure, Transcript, Word
from pipeline.segments import segments_of, text_of
from pipeline.sink import FolderStore, Sink
from tests.records import NOW, attempt, failure, transcript

GRIN = "\N{GRINNING FACE}"
BOTH = ("parquet", "jsonl")
FORMS = (BOTH, ("parquet",), ("jsonl",))


def write_output(
    out: Path,
    rows: Collection[Transcript],
    failures: Collection[Failure] = (),
    attempts: Collection[Attempt] = (),
    *,
    formats: Collection[str] = BOTH,
    rows_per_part: int = 10_000,
) -> Path:
    """Writes an output with these rows, and the other files of one."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "transcripts.jsonl").unlink(missing_ok=True)
    sink = Sink(FolderStore(out), formats)
    lines, all_rows = 0, list(rows)
    for part, first in enumerate(range(0, len(all_rows), rows_per_part), 1):
        _, written = sink.publish(all_rows[first : first + rows_per_part], part, lines)
        lines = written or 0
    if attempts:
        sink.attempts.publish(list(attempts), 1)
    sink.write_errors(lambda: iter(failures))
    sink.describe()
    (out / "runs").mkdir(exist_ok=True)
    (out / ".spool").mkdir(exist_ok=True)
    for name in ("checkpoint.sqlite", "run.lock", "summary.json", "runs/1.json", "clips.jsonl"):
        (out / name).write_text('{"id": "not a row of any table"}\n')
    if "parquet" in formats:  # as `rebuild` and a killed run leave parts
        (out / "transcripts").mkdir(exist_ok=True)
        (out / "transcripts/_part-000001.parquet.damaged").write_bytes(b"PAR1 is damaged")
        (out / "transcripts/.part-000009.parquet.tmp").write_bytes(b"PAR1 is not whole")
    return out


def night(count: int, bare: int) -> Iterator[Transcript]:
    """Rows of a night: the first `bare` have nothing that may be missing, each third of the others two channels, and
    each fifth is a span."""
    yield from (plain(f"bare-{number:06d}") for number in range(bare))
    yield from (full(number) for number in range(bare, count))


def plain(id_: str) -> Transcript:
    """A row with empty lists and nulls wherever the columns allow it."""
    return msgspec.structs.replace(
        transcript(id_, ""), language=None, model=None, request_ids=(), status="suspect", issues=("no_words",)
    )


def full(number: int) -> Transcript:
    """A row with a value in every column."""
    channels = 2 if number % 3 == 0 else 1
    words = tuple(
        Word(
            text=text,
            start_s=float(place),
            stop_s=None if number % 7 == 0 else place + 0.5,
            channel=place // 2 % channels,
            stream_id=place // 2 % channels,
            timing="spread" if number % 11 == 0 else "exact",
        )
        for place, text in enumerate(("good", "morning,", f"{GRIN}", f"number{number}", "\u202eabc", "caf\u00e9."))
    )
    segments = segments_of(words)
    is_span = number % 5 == 0
    return msgspec.structs.replace(
        transcript(f"full-{number:06d} {GRIN}"),
        words=words,
        segments=segments,
        text=text_of(segments),
        duration_s=6.0 + number,
        offset_s=1.5 if is_span else 0.0,
        span_s=6.0 if is_span else None,
        channel=1 if number % 5 == 1 else None,
        sample_rate=8_000,
        channels=channels,
        model="m",
        service="gradium",
        finished_at=NOW + timedelta(seconds=number, microseconds=number),
        reference=f"good morning {GRIN}",
        wer=0.25,
        # never the same columns in two rows next to each other
        metadata={"speaker": f"s{number % 7}", f"extra {number % 3}": 'a "quoted"\n' + GRIN},
    )


def as_loaded(row: Transcript) -> dict[str, Any]:
    """What a reader finds for a row, with its metadata decoded."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(row))
    return found | {"finished_at": row.finished_at}


def failures(*ids: str) -> list[Failure]:
    return [
        msgspec.structs.replace(failure(id_), http_status=400, code=1008, clip=0, metadata={"speaker": "s1"}, kept=kept)
        for id_, kept in ((id_, not id_.startswith("failed")) for id_ in ids)
    ]


def attempts(*ids: str) -> list[Attempt]:
    """An answered request of each, each on the next day in UTC; the last one only may have been billed."""
    made = [
        msgspec.structs.replace(attempt(id_), started_at=NOW + timedelta(days=day, hours=20.9))
        for day, id_ in enumerate(ids)
    ]
    return [*made[:-1], msgspec.structs.replace(made[-1], outcome="CutOff", billed="maybe")]
