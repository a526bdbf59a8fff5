"""Records for tests that need no audio and no service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pipeline.checkpoint import Repeated, ScannedRow
from pipeline.model import Attempt, Failure, Transcript, Utterance, Word
from pipeline.segments import segments_of

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def scanned(
    id_: str, *, size: int | None = 100, config: str = "c1", expected_s: float = 1.0, **more: Any
) -> ScannedRow:
    version = None if size is None else f"{size}:1"
    utterance = Utterance(id=id_, audio=f"/audio/{id_}", **more)
    return ScannedRow(utterance=utterance, config_hash=config, expected_s=expected_s, size=size, version=version)


def lines_of(repeated: list[Repeated]) -> list[tuple[str, list[int | None]]]:
    """Ids that several rows claim, with the lines of those."""
    return [(one.id, [place.line for place in one.places]) for one in repeated]


def transcript(id_: str, text: str = "hello world", *, audio_hash: str = "a1", config: str = "c1") -> Transcript:
    words = tuple(Word(text=word, start_s=float(n), stop_s=n + 0.5) for n, word in enumerate(text.split()))
    return Transcript(
        id=id_,
        audio=f"/audio/{id_}",
        text=text,
        words=words,
        segments=segments_of(words),
        duration_s=2.0,
        status="ok",
        issues=(),
        language="en",
        model=None,
        audio_hash=audio_hash,
        config_hash=config,
        request_ids=("r",),
        attempts=1,
        latency_s=0.1,
        credits=6.0,
        run_id="run",
        finished_at=NOW,
    )


def failure(id_: str, *, retryable: bool = False, error: str = "AudioRefused") -> Failure:
    return Failure(
        id=id_,
        audio=f"/audio/{id_}",
        error=error,
        message="no",
        retryable=retryable,
        attempts=1,
        first_seen=NOW,
        last_seen=NOW,
        run_id="run",
    )


def attempt(id_: str) -> Attempt:
    return Attempt(
        id=id_,
        clip=0,
        attempt=1,
        run_id="run",
        started_at=NOW,
        latency_s=0.1,
        outcome="ok",
        billed="yes",
        credits=6.0,
        bytes_sent=10,
    )
