"""What a scan means: new, changed, done, failed, vanished, and what each --only selects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pipeline.checkpoint import Checkpoint, Failed, Finished, Plan, Reused, ScannedRow, State
from pipeline.errors import CheckpointError
from tests.records import failure, lines_of, scanned, transcript


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as opened:
        yield opened


def plan(checkpoint: Checkpoint, rows: Iterable[ScannedRow], *only: str) -> Plan:
    assert checkpoint.scan(rows, "m.csv") == []
    return checkpoint.merge(only)


def ids(checkpoint: Checkpoint) -> list[str]:
    return [selected.utterance.id for selected in checkpoint.next_rows(None, 100)]


def n_of(checkpoint: Checkpoint) -> dict[str, int]:
    return {selected.utterance.id: selected.n for selected in checkpoint.next_rows(None, 100)}


@pytest.fixture
def mixed(checkpoint: Checkpoint) -> Checkpoint:
    """Five utterances: new, done, suspect, failed for a passing fault, failed for their own."""
    plan(checkpoint, [scanned(name) for name in ("new", "done", "suspect", "passing", "item")])
    n = n_of(checkpoint)
    suspect = transcript("suspect")
    checkpoint.apply(
        [
            Finished(n=n["done"], transcript=transcript("done")),
            Finished(n=n["suspect"], transcript=suspect.__class__(**{**_fields(suspect), "status": "suspect"})),
            Failed(n=n["passing"], failure=failure("passing", retryable=True, error="ServerFault")),
            Failed(n=n["item"], failure=failure("item")),
        ]
    )
    return checkpoint


def _fields(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}  # type: ignore[attr-defined]


ALL = ("new", "done", "suspect", "passing", "item")


@pytest.mark.parametrize(
    ("only", "selected"),
    [
        ((), {"new", "passing"}),
        (("new",), {"new"}),
        (("failed",), {"passing", "item"}),
        (("suspect",), {"suspect"}),
        (("new", "suspect"), {"new", "suspect"}),
        (("changed",), set()),
        (("all",), set(ALL)),
    ],
)
def test_only_selects(mixed: Checkpoint, only: tuple[str, ...], selected: set[str]) -> None:
    found = plan(mixed, [scanned(name) for name in ALL], *only)
    assert set(ids(mixed)) == selected
    assert (found.rows, found.new, found.done, found.failed) == (5, 1, 2, 2)
    assert found.selected == len(selected)


def test_what_differs_is_changed_whatever_became_of_it(mixed: Checkpoint) -> None:
    rows = [
        scanned("new", size=101),
        scanned("done", size=101),
        scanned("suspect", config="c2"),
        scanned("passing"),
        scanned("item", size=101),
    ]
    found = plan(mixed, rows)
    assert (found.new, found.changed, found.failed) == (1, 3, 1)
    assert set(ids(mixed)) == set(ALL)


def test_a_vanished_row_is_not_done_again_and_comes_back_as_it_was(mixed: Checkpoint) -> None:
    assert plan(mixed, [scanned("new")], "all").vanished == 4
    assert ids(mixed) == ["new"]
    assert mixed.totals().done == 0
    assert list(mixed.failures()) == []
    plan(mixed, [scanned(name) for name in ALL])
    assert mixed.totals().done == 2
    assert {found.id for found in mixed.failures()} == {"item", "passing"}


def test_longest_first_and_in_batches(checkpoint: Checkpoint) -> None:
    plan(checkpoint, [scanned(f"{n}", expected_s=20.0 * (n % 4)) for n in range(12)])
    everything = checkpoint.next_rows(None, 100)
    assert [found.expected_s for found in everything] == sorted((20.0 * (n % 4) for n in range(12)), reverse=True)
    seen, after = [], None
    while batch := checkpoint.next_rows(after, 5):
        seen += batch
        after = batch[-1].place
    assert seen == everything


def test_what_is_longer_than_asked_for_is_left_out(checkpoint: Checkpoint) -> None:
    plan(checkpoint, [scanned(f"{n}", expected_s=20.0 * (n % 4)) for n in range(12)])
    everything = checkpoint.next_rows(None, 100)
    short = [selected for selected in everything if selected.expected_s <= 20.0]
    assert len(short) == 6
    assert checkpoint.next_rows(None, 100, longest_s=20.0) == short
    assert checkpoint.next_rows(short[0].place, 100, longest_s=20.0) == short[1:]


def test_ids_that_two_rows_claim_are_told_with_their_lines(checkpoint: Checkpoint) -> None:
    rows = [scanned("a", line=2), scanned("b", line=3), scanned("a", line=4), scanned("a", line=9)]
    assert lines_of(checkpoint.scan(rows, "m.csv")) == [("a", [2, 4, 9])]


def test_reused_is_done_again_without_a_result(mixed: Checkpoint) -> None:
    plan(mixed, [scanned("done", size=7)])
    [selected] = mixed.next_rows(None, 10)
    assert selected.state is State.CHANGED
    assert selected.done is not None
    before = mixed.pending_results()
    mixed.apply([Reused(n=selected.n)])
    assert mixed.pending_results() == before
    assert mixed.totals().done == 1


def test_first_seen_is_kept_over_nights(mixed: Checkpoint) -> None:
    first = {found.id: found.first_seen for found in mixed.failures()}
    plan(mixed, [scanned(name) for name in ALL], "failed")
    later = failure("item")
    later = later.__class__(**{**_fields(later), "first_seen": later.first_seen.replace(year=2027)})
    mixed.apply([Failed(n=n_of(mixed)["item"], failure=later)])
    assert {found.id: found.first_seen for found in mixed.failures()} == first


def test_a_night_with_nothing_new_writes_nothing_into_the_tables(mixed: Checkpoint) -> None:
    plan(mixed, [scanned(name) for name in ALL], "changed")
    mixed.set_fact("errors_stale", 0)
    plan(mixed, [scanned(name) for name in ALL], "changed")
    assert mixed.fact("errors_stale", int) == 0


def test_a_checkpoint_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "checkpoint.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(CheckpointError, match="written by a newer gradium-batch"):
        Checkpoint(path)


def test_a_file_that_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.sqlite"
    path.write_bytes(b"no database at all " * 100)
    with pytest.raises(CheckpointError, match=r"is damaged .* run gradium-batch rebuild"):
        Checkpoint(path)
