"""What a run knows of the longest audio of a request from earlier ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.schema import CLIP_LENGTHS
from pipeline.run.lengths import KEPT, KnownLengths

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LEARNED = KnownLengths(max_clip_s=3000, answered_s=1200, limit_s=1500, learned_at=NOW)


@pytest.mark.parametrize(
    ("max_clip_s", "later", "limit_s"),
    [(3000, timedelta(0), 1500), (3000, KEPT, None), (2999, timedelta(0), None)],
)
def test_a_limit_is_forgotten_and_what_was_answered_is_not(
    tmp_path: Path, max_clip_s: float, later: timedelta, limit_s: float | None
) -> None:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        checkpoint.set_fact(CLIP_LENGTHS, msgspec.json.encode(LEARNED).decode())
        known = KnownLengths.of(checkpoint, max_clip_s, NOW + later)
    assert known.limit_s == limit_s
    assert known.answered_s == 1200


@pytest.mark.parametrize("fact", [None, "", "{", '{"max_clip_s": "x"}'])
def test_without_a_readable_fact_nothing_is_known(tmp_path: Path, fact: str | None) -> None:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        if fact is not None:
            checkpoint.set_fact(CLIP_LENGTHS, fact)
        assert KnownLengths.of(checkpoint, 3000, NOW) == KnownLengths(max_clip_s=3000)
