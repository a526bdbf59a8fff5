"""Transcripts that were replaced stay findable: all while rows are to be placed, then the newest of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline.checkpoint import Checkpoint, Failed, Finished, Identity, replaced
from pipeline.checkpoint.events import Tried
from tests.records import failure, scanned, transcript

COUNT = 20


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as opened:
        yield opened


def night(checkpoint: Checkpoint, config: str, audio: str, *, size: int, left: int = 0) -> None:
    """All rows but the last `left` get a transcript; it stays unpublished."""
    checkpoint.scan([scanned(f"{n}", size=size, config=config) for n in range(COUNT)], "m.csv")
    checkpoint.merge(())
    for one in checkpoint.next_rows(None, COUNT)[: COUNT - left]:
        made = transcript(one.utterance.id, audio_hash=f"{audio}{one.utterance.id}", config=config)
        checkpoint.apply([Finished(n=one.n, transcript=made)])


def findable(checkpoint: Checkpoint, config: str, audio: str) -> int:
    return len(
        checkpoint.stored_transcripts([Identity(audio_hash=f"{audio}{n}", config_hash=config) for n in range(COUNT)])
    )


def test_what_was_replaced_is_found_until_a_row_has_it_again(checkpoint: Checkpoint) -> None:
    night(checkpoint, "c1", "a", size=100)
    night(checkpoint, "c2", "a", size=100)
    assert (findable(checkpoint, "c1", "a"), findable(checkpoint, "c2", "a")) == (COUNT, COUNT)
    stored = checkpoint.stored_transcripts([Identity(audio_hash="a3", config_hash="c1")])
    assert [one.transcript for one in stored.values()] == [transcript("3", audio_hash="a3")]
    night(checkpoint, "c1", "a", size=100)
    assert (findable(checkpoint, "c1", "a"), findable(checkpoint, "c2", "a")) == (COUNT, COUNT)


def test_a_transcript_that_another_row_has_too_is_not_kept_twice(checkpoint: Checkpoint) -> None:
    checkpoint.scan([scanned("a"), scanned("b")], "m.csv")
    checkpoint.merge(())
    first, second = checkpoint.next_rows(None, 2)
    same = Identity(audio_hash="same", config_hash="c1")
    for one, audio, held in ((first, "same", 0), (second, "same", 0), (first, "x", 0), (second, "y", 1)):
        made = transcript(one.utterance.id, audio_hash=audio)
        checkpoint.apply([Finished(n=one.n, transcript=made)])
        [count] = checkpoint._db.execute("SELECT count(*) FROM replaced").fetchone()
        assert count == held
    assert [*checkpoint.stored_transcripts([same])] == [same]


def keep_five(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """About as many as are kept from now on; what is copied out of a part has them counted."""
    [(size,)] = checkpoint._db.execute("SELECT sum(length(row)) / count(*) FROM replaced").fetchall()
    monkeypatch.setattr(replaced, "KEPT_BYTES", 5 * size)
    checkpoint.trim_taken_over()


def test_only_the_newest_stay_once_every_row_has_its_place(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(checkpoint, "c1", "a", size=100)
    night(checkpoint, "c1", "b", size=101, left=1)
    keep_five(checkpoint, monkeypatch)
    checkpoint.trim_replaced()
    assert findable(checkpoint, "c1", "a") == COUNT, "one row is still to be placed"
    night(checkpoint, "c1", "b", size=101)
    checkpoint.trim_replaced()
    assert 4 <= findable(checkpoint, "c1", "a") <= 6


def test_a_row_that_every_run_takes_up_in_vain_keeps_no_more_than_that(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(checkpoint, "c1", "a", size=100)
    night(checkpoint, "c1", "b", size=101, left=1)
    [above_budget] = checkpoint.next_rows(None, COUNT)
    checkpoint.apply([Tried(n=above_budget.n, run_id="r2")])
    keep_five(checkpoint, monkeypatch)
    checkpoint.trim_replaced()
    assert 4 <= findable(checkpoint, "c1", "a") <= 7


def test_a_row_that_failed_before_may_still_want_one(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    night(checkpoint, "c1", "a", size=100, left=1)
    [left] = checkpoint.next_rows(None, COUNT)
    checkpoint.apply([Failed(n=left.n, failure=failure(left.utterance.id, retryable=True))])
    night(checkpoint, "c1", "b", size=101, left=1)
    keep_five(checkpoint, monkeypatch)
    checkpoint.trim_replaced()
    assert findable(checkpoint, "c1", "a") == COUNT - 1


def test_rows_that_change_places_keep_theirs_whatever_their_settings_are_called(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(checkpoint, "c1", "a", size=100)
    checkpoint.scan([scanned(f"{n}", size=101, config="c2") for n in range(COUNT)], "m.csv")
    checkpoint.merge(())
    for one in checkpoint.next_rows(None, COUNT)[:-1]:
        copied = transcript(one.utterance.id, audio_hash=f"b{one.utterance.id}", config="c2")
        checkpoint.apply([Finished(n=one.n, transcript=msgspec.structs.replace(copied, attempts=0))])
    keep_five(checkpoint, monkeypatch)
    assert findable(checkpoint, "c1", "a") == COUNT


def test_counting_those_of_other_settings_passes_by_all_others(checkpoint: Checkpoint) -> None:
    found = checkpoint._db.execute(
        "EXPLAIN QUERY PLAN SELECT sum(length(row)) FROM replaced WHERE row IS NOT NULL AND NOT same_settings"
    ).fetchall()
    assert [plan for *_, plan in found] == ["SCAN replaced USING INDEX replaced_other"]


def test_those_of_other_settings_are_bounded_while_a_run_goes_on(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(checkpoint, "c1", "a", size=100)
    night(checkpoint, "c2", "a", size=100, left=1)
    keep_five(checkpoint, monkeypatch)
    assert 5 <= findable(checkpoint, "c1", "a") <= 7, "the newest, and the one that no row took the place of"
