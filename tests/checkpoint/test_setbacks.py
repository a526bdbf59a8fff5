"""What fails run after run though requests are sent for it is tried at growing distances, which are counted in runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.checkpoint import Checkpoint, Failed, Finished
from tests.records import failure, scanned, transcript


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as opened:
        yield opened


class Nights:
    """Runs over a manifest of one row, one after the other."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.count = 0

    def begin(self, *only: str, **row: Any) -> bool:
        """Begins a run; returns whether it takes the row."""
        self.count += 1
        self.checkpoint.scan([scanned("a", **row)], "m.csv")
        left_out = self.checkpoint.merge(only).postponed
        self.checkpoint.save_run(f"run-{self.count:03d}", f"2026-11-22T03:00:00.{self.count:06d}", None)
        taken = bool(self.checkpoint.next_rows(None, 1))
        assert left_out == (not only and not taken)
        return taken

    def fail(self, error: str = "ServerFault", *, retryable: bool = True, was_sent: bool = True) -> None:
        told = failure("a", retryable=retryable, error=error)
        self.checkpoint.apply([Failed(n=1, failure=told, was_sent=was_sent)])

    def run(self, *only: str, **row: Any) -> bool:
        taken = self.begin(*only, **row)
        if taken:
            self.fail()
        return taken


def test_the_distances_grow_to_sixteen_runs(checkpoint: Checkpoint) -> None:
    nights = Nights(checkpoint)
    taken = [night for night in range(1, 70) if nights.run()]
    assert taken == [1, 2, 4, 8, 16, 32, 48, 64]


def test_what_waits_is_told_with_the_runs_that_leave_it_out(checkpoint: Checkpoint) -> None:
    nights = Nights(checkpoint)
    told = []
    for _ in range(5):
        nights.run()
        totals = checkpoint.totals()
        told.append((totals.postponed, totals.postponed_runs))
    assert told == [(0, 0), (1, 1), (0, 0), (1, 3), (1, 2)]


def test_check_leaves_out_what_the_run_will_leave_out(checkpoint: Checkpoint) -> None:
    nights = Nights(checkpoint)
    nights.run()
    nights.run()
    with Checkpoint(checkpoint.path, only_read=True) as reader:
        reader.scan([scanned("a")], "m.csv")
        by_itself, asked_for = reader.plan(()), reader.plan(("failed",))
    assert (by_itself.selected, by_itself.postponed, by_itself.postponed_runs) == (0, 1, 1)
    assert (asked_for.selected, asked_for.postponed) == (1, 0)


@pytest.mark.parametrize("only", ["failed", "all"])
def test_who_asks_for_it_has_it_at_once(checkpoint: Checkpoint, only: str) -> None:
    nights = Nights(checkpoint)
    nights.run()
    nights.run()
    assert nights.run(only)
    assert not nights.run()


@pytest.mark.parametrize("change", [{"size": 101}, {"config": "c2"}])
def test_another_content_or_other_settings_begin_anew(checkpoint: Checkpoint, change: dict[str, Any]) -> None:
    nights = Nights(checkpoint)
    nights.run()
    nights.run()
    assert nights.run(**change)
    assert nights.run(**change), "it has failed once as it is now"
    assert not nights.run(**change)


def test_what_costs_nothing_is_looked_at_by_every_run(checkpoint: Checkpoint) -> None:
    nights = Nights(checkpoint)
    for _ in range(6):
        assert nights.begin()
        nights.fail("AudioUnavailable", was_sent=False)


def test_a_changed_file_that_cannot_be_read_is_looked_at_by_the_next_run(checkpoint: Checkpoint) -> None:
    nights = Nights(checkpoint)
    nights.run()
    nights.run()
    assert nights.begin(size=101)
    nights.fail("AudioUnavailable", was_sent=False)
    assert nights.run(size=101)


def test_who_asks_for_other_things_is_not_told_that_it_waits(checkpoint: Checkpoint) -> None:
    nights = Nights(checkpoint)
    nights.run()
    nights.run()
    assert not nights.begin("new")


def test_a_fault_of_the_file_or_a_transcript_ends_the_row_of_setbacks(checkpoint: Checkpoint) -> None:
    nights = Nights(checkpoint)
    nights.run()
    assert nights.begin()
    nights.fail("AudioUnreadable", retryable=False)
    assert nights.run("failed")
    assert nights.run(), "one setback since it could not be read"
    assert nights.begin("failed")
    checkpoint.apply([Finished(n=1, transcript=transcript("a"))])
    assert checkpoint.totals().postponed == 0
    assert nights.run(config="c2")
    assert nights.run(config="c2")


@pytest.mark.parametrize(
    ("final", "passing", "stays"),
    [
        ("AudioRefused", "ServerFault", True),
        ("RepeatedStreamError", "ConnectionFailed", True),
        ("AudioRefused", "AudioUnavailable", True),
        ("AudioUnreadable", "AudioUnavailable", True),
        # the file could be read, and was sent
        ("AudioUnreadable", "ServerFault", False),
    ],
)
def test_a_final_failure_that_was_tried_on_request_stays_final_unless_it_was_disproved(
    checkpoint: Checkpoint, final: str, passing: str, stays: bool
) -> None:
    nights = Nights(checkpoint)
    assert nights.begin()
    nights.fail(final, retryable=False)
    assert nights.begin("failed")
    nights.fail(passing)
    [told] = checkpoint.failures()
    assert (told.error, told.retryable) == ((final, False) if stays else (passing, True))
    checkpoint.scan([scanned("a")], "m.csv")
    assert checkpoint.merge(()).selected == (not stays)


def test_another_fault_of_its_own_is_told_in_place_of_the_first(checkpoint: Checkpoint) -> None:
    nights = Nights(checkpoint)
    assert nights.begin()
    nights.fail("AudioRefused", retryable=False)
    assert nights.begin("failed")
    nights.fail("AudioTruncated", retryable=False)
    assert [told.error for told in checkpoint.failures()] == ["AudioTruncated"]
