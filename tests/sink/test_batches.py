"""Rows come in batches that are bounded in rows and in bytes."""

from __future__ import annotations

from pipeline.sink.rows import in_batches


def test_a_batch_ends_with_the_row_that_reaches_a_bound() -> None:
    rows = ["a" * 10, "b" * 10, "c" * 100, "d", "e", "f"]
    assert list(in_batches(rows, 3, 100)) == [rows[:3], rows[3:]]
    assert list(in_batches(rows, 2, 100)) == [rows[:2], rows[2:3], rows[3:5], rows[5:]]
    assert list(in_batches(rows, 9, 20)) == [rows[:2], rows[2:3], rows[3:]]
    assert list(in_batches([], 2, 100)) == []
