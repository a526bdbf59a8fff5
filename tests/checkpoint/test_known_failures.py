"""Failures that were paid for are known by what was sent: how long for, in what number, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.checkpoint import Checkpoint, Failed, Finished, Identity, failing
from pipeline.checkpoint.failing import KnownFailure
from pipeline.checkpoint.salvage import Old
from tests.records import failure, scanned, transcript

SENT = Identity(audio_hash="a1", config_hash="c1")
MARKS = (100).to_bytes(8, "big")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as opened:
        opened.scan([scanned(id_) for id_ in "abc"], "m.csv")
        opened.merge(())
        yield opened


def begin(checkpoint: Checkpoint, run: int) -> None:
    checkpoint.save_run(f"run-{run}", f"2026-11-22T03:00:{run:02}", None)


def failed(n: int, *, error: str = "ServerFault", retryable: bool = True, **more: Any) -> Failed:
    told = failure("abc"[n - 1], error=error, retryable=retryable)
    return Failed(n=n, failure=told, was_sent=True, identity=SENT, prefix_hashes=MARKS, **more)


def known(checkpoint: Checkpoint, identity: Identity = SENT) -> KnownFailure | None:
    return checkpoint.known_failures([identity])[0].get(identity)


def test_copies_that_fail_in_one_run_are_one_setback_of_their_audio(checkpoint: Checkpoint) -> None:
    begin(checkpoint, 1)
    checkpoint.apply([failed(1), failed(2)])
    assert (found := known(checkpoint)) is not None
    assert (found.setbacks, found.due) == (1, 2)
    begin(checkpoint, 2)
    checkpoint.apply([failed(3), failed(1)])
    assert (found := known(checkpoint)) is not None
    assert (found.setbacks, found.due) == (2, 4)
    assert checkpoint.totals().postponed == 2, "the next run leaves out those that failed in this one"


def test_a_row_that_takes_a_failure_over_waits_as_long_as_it_and_counts_none(checkpoint: Checkpoint) -> None:
    for run in (1, 2):
        begin(checkpoint, run)
        checkpoint.apply([failed(1)])
    begin(checkpoint, 3)
    checkpoint.apply([failed(2, is_known=True)])
    assert (found := known(checkpoint)) is not None
    assert (found.setbacks, found.due) == (2, 4)
    checkpoint.scan([scanned(id_) for id_ in "abc"], "m.csv")
    assert checkpoint.merge(("passing",)).selected == 2


def test_what_is_tried_on_request_and_fails_for_now_stays_refused(checkpoint: Checkpoint) -> None:
    begin(checkpoint, 1)
    checkpoint.apply([failed(1, error="AudioRefused", retryable=False)])
    checkpoint.apply([failed(2)])
    assert (found := known(checkpoint)) is not None
    assert (found.failure.error, found.failure.retryable, found.prevents(99)) == ("AudioRefused", False, True)
    assert [(one.id, one.error) for one in checkpoint.failures()] == [("a", "AudioRefused"), ("b", "AudioRefused")]


@pytest.mark.parametrize("config", ["c1", "c2"])
def test_a_transcript_ends_it_by_whichever_name_of_its_settings_it_is_known(
    checkpoint: Checkpoint, config: str
) -> None:
    begin(checkpoint, 1)
    checkpoint.apply([failed(1)])
    checkpoint.apply([Finished(n=2, transcript=transcript("b", config=config), failed_as=SENT)])
    assert known(checkpoint) is None


def test_what_cost_nothing_is_not_kept(checkpoint: Checkpoint) -> None:
    begin(checkpoint, 1)
    unsent = Failed(n=1, failure=failure("a", error="ServerFault", retryable=True), identity=SENT, prefix_hashes=MARKS)
    of_the_file = failed(2, error="AudioTruncated", retryable=False)
    checkpoint.apply([unsent, of_the_file])
    assert known(checkpoint) is None


def test_the_oldest_are_forgotten(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failing, "MOST_KNOWN", 2)
    begin(checkpoint, 1)
    others = [Identity(audio_hash=f"a{number}", config_hash="c1") for number in range(3)]
    checkpoint.adopt_known_failures(
        (KnownFailure(identity=one, failure=failure("a"), setbacks=1, due=2), MARKS) for one in others
    )
    assert [known(checkpoint, one) is not None for one in others] == [False, True, True]


def test_a_damaged_one_is_left_out_by_a_rebuild(checkpoint: Checkpoint) -> None:
    begin(checkpoint, 1)
    checkpoint.apply([failed(1)])
    checkpoint._db.execute("INSERT INTO known_failures VALUES (NULL, 'a2', 'c1', NULL, 1, 2, ?)", (b"\xc1",))
    with Old(checkpoint.path) as old:
        assert [(one.identity, one.due, marks) for one, marks in old.known_failures()] == [(SENT, 2, MARKS)]
        assert old.skipped == 1
