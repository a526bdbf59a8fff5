"""The walk beside the known rows finds what a comparison of every row would, in whatever order the rows come."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.checkpoint import Checkpoint, Failed, Finished, Identity, ScannedRow, State, walk
from tests.records import failure, lines_of, scanned, transcript


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window so small that a few hundred rows run out of it."""
    monkeypatch.setattr(walk, "PULLED", 5)
    monkeypatch.setattr(walk, "AHEAD", 10)
    monkeypatch.setattr(walk, "MOST", 40)


def night(rng: random.Random, rows: dict[str, int], version: int) -> dict[str, int]:
    """The next night's manifest: rows leave, come, change and move, in stretches as well as singly."""
    names = list(rows)
    if rng.random() < 0.5:
        start = rng.randrange(len(names))
        del names[start : start + rng.choice((1, 30, 120))]
    at = rng.randrange(len(names) + 1)
    names[at:at] = [f"{version}-{n}" for n in range(rng.choice((0, 1, 30, 120)))]
    if rng.random() < 0.3:
        start = rng.randrange(len(names))
        names[start : start + 100] = rng.sample(names[start : start + 100], len(names[start : start + 100]))
    if rng.random() < 0.1:
        names.reverse()
    return {name: version if rng.random() < 0.05 else rows.get(name, version) for name in names}


def as_rows(rows: dict[str, int]) -> list[ScannedRow]:
    return [scanned(name, size=size, line=line) for line, (name, size) in enumerate(rows.items(), 2)]


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("seed", range(8))
def test_nights_are_planned_as_by_comparing_every_row(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    rows = {f"0-{n}": 0 for n in range(200)}
    known: dict[str, int] = {}
    """Every row there ever was, as it was last."""
    done: dict[str, int] = {}
    """What each transcript answers to."""
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        for version in range(1, 8):
            assert checkpoint.scan(as_rows(rows), "m.csv") == []
            plan = checkpoint.merge(())
            new = [name for name in rows if name not in done]
            changed = [name for name, size in rows.items() if name in done and done[name] != size]
            assert (plan.rows, plan.new, plan.changed) == (len(rows), len(new), len(changed))
            assert plan.done == plan.rows - plan.new - plan.changed
            assert plan.vanished == checkpoint.totals().vanished == len(known.keys() - rows.keys())
            selected = checkpoint.next_rows(None, 10_000)
            assert sorted(one.utterance.id for one in selected) == sorted(new + changed)
            # some stay undone, so that new rows are met that are known
            finished = [one for one in selected if one.state == State.CHANGED or rng.random() < 0.8]
            checkpoint.apply([Finished(n=one.n, transcript=transcript(one.utterance.id)) for one in finished])
            known |= rows
            done |= {one.utterance.id: rows[one.utterance.id] for one in finished}
            rows = night(rng, rows, version)


@pytest.mark.usefixtures("narrow")
def test_an_id_that_comes_again_after_its_row_was_found_is_told_with_both_lines(tmp_path: Path) -> None:
    rows = [scanned(f"{n}", line=n + 2) for n in range(300)]
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        checkpoint.scan(rows, "m.csv")
        checkpoint.merge(())
        gap = [scanned("more", line=102), *(scanned(f"{n}", line=n + 3) for n in range(100, 300))]
        again = [scanned("7", line=400), scanned("150", line=401, size=7), scanned("7", line=402)]
        assert lines_of(checkpoint.scan([*rows[:100], *gap, *again], "m.csv")) == [
            ("7", [9, 400, 402]),
            ("150", [153, 401]),
        ]
        # a changed row first, and then one that is as it was
        assert lines_of(checkpoint.scan([scanned("7", line=2, size=5), *rows], "m.csv")) == [("7", [2, 9])]
        assert checkpoint.scan(rows, "m.csv") == [], "a scan that was refused leaves nothing behind"
        assert checkpoint.merge(()).rows == 300


def test_a_night_with_nothing_new_scans_nothing(tmp_path: Path) -> None:
    rows = [scanned(f"{n}", line=n + 2) for n in range(10_000)]
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        checkpoint.scan(rows, "m.csv")
        checkpoint.merge(())
        checkpoint.scan(rows, "m.csv")
        for name in ("scan", "missed"):
            assert checkpoint._db.execute(f"SELECT count(*) FROM manifest.{name}").fetchone() == (0,)  # noqa: S608


def test_a_scan_beside_a_run_keeps_it_from_nothing(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.sqlite"
    with Checkpoint(path) as run, Checkpoint(path, only_read=True) as check:
        run.scan([scanned("a"), scanned("b")], "m.csv")
        run.merge(())
        committed = []

        def rows() -> Iterator[ScannedRow]:
            yield scanned("a")
            run.set_fact("meanwhile", 1)  # would wait for the scan, and fail
            committed.append(run.fact("meanwhile", int))
            yield scanned("b")

        check.scan(rows(), "m.csv")
        assert committed == [1]


def test_the_counts_are_what_counting_says(tmp_path: Path) -> None:
    rng = random.Random(5)
    rows = {f"{n}": 0 for n in range(60)}
    path = tmp_path / "checkpoint.sqlite"
    with Checkpoint(path) as checkpoint:
        for version in range(1, 12):
            checkpoint.scan(as_rows(rows), "m.csv")
            checkpoint.merge(rng.choice(((), ("failed",), ("all",))))
            for one in checkpoint.next_rows(None, 1_000):
                name = one.utterance.id
                error = rng.choice(("AudioRefused", "ServerFault", "DecodeFailed"))
                event = rng.choice(
                    (
                        Finished(n=one.n, transcript=transcript(name), ref_words=rng.randrange(9), ref_errors=1),
                        Failed(n=one.n, failure=failure(name, error=error, retryable=error == "ServerFault")),
                    )
                )
                checkpoint.apply([event])
            with sqlite3.connect(path) as db:
                counted = db.execute(
                    """SELECT state, vanished, suspect, count(*), sum(coalesce(duration_s, 0)), sum(ref_words),
                       sum(ref_errors) FROM utterances GROUP BY 1, 2, 3"""
                ).fetchall()
                kept = db.execute(
                    """SELECT state, vanished, suspect, rows, audio_us / 1e6, ref_words, ref_errors FROM tally
                       WHERE rows ORDER BY 1, 2, 3"""
                ).fetchall()
            assert kept == counted
            classes: dict[str, int] = {}
            for found in checkpoint.failures():
                classes[found.error] = classes.get(found.error, 0) + 1
            assert {example.error: count for example, count in checkpoint.failing()} == classes
            rows = {name: version if rng.random() < 0.2 else size for name, size in rows.items() if rng.random() < 0.9}
            rows |= {f"{version}-{n}": version for n in range(8)}


def test_spans_of_one_recording_come_together(tmp_path: Path) -> None:
    rows = [
        scanned(f"{audio}#{n}", expected_s=length) for audio in "ab" for n, length in enumerate((8.0, 3.0, 12.0, 40.0))
    ]
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        checkpoint.scan(rows, "m.csv")
        checkpoint.merge(())
        order = [one.utterance.id for one in checkpoint.next_rows(None, 100)]
    assert order == ["a#3", "b#3", "a#0", "a#1", "a#2", "b#0", "b#1", "b#2"]


def test_the_next_to_do_are_found_by_their_index(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        asked: list[str] = []
        checkpoint._db.set_trace_callback(asked.append)
        checkpoint.next_rows((0, "", -2, 5), 10)
        checkpoint._db.set_trace_callback(None)
        plans = [checkpoint._db.execute(f"EXPLAIN QUERY PLAN {one}").fetchall() for one in asked[:2]]
    assert [told for [(*_, told)] in plans] == [
        "SEARCH utterances USING INDEX selected (tries=? AND turn=? AND step=? AND n>?)",
        "SEARCH utterances USING INDEX selected ((tries,turn,step)>(?,?,?))",
    ]


def test_a_transcript_is_found_by_its_audio_and_its_settings_however_many_rows_share_the_audio(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        asked: list[str] = []
        checkpoint._db.set_trace_callback(asked.append)
        checkpoint.stored_transcripts([Identity(audio_hash="a1", config_hash="c1")])
        checkpoint._db.set_trace_callback(None)
        (_, _, _, told), *_ = checkpoint._db.execute(f"EXPLAIN QUERY PLAN {asked[0]}").fetchall()
    assert told == "SEARCH u USING INDEX done (done_audio=? AND done_config=?)"
