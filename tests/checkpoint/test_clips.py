"""Answered clips stay as long as they may be asked for, and what is left over of them is bounded."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from pipeline.checkpoint import Checkpoint, ClipAnswered, Failed, Finished, Moved, lookup
from pipeline.checkpoint.migrations import MIGRATIONS
from pipeline.checkpoint.schema import CLIPS_STALE
from pipeline.clips import ClipResult
from pipeline.model import Word
from tests.checkpoint.test_migration import make
from tests.records import failure, scanned, transcript


def result(span: str, credits_: float = 30.0) -> ClipResult:
    words = (Word(text="hello", start_s=1.0),)
    return ClipResult(
        clip=0,
        key=span,
        words=words,
        start_s=0.0,
        issues=(),
        request_id="r",
        model=None,
        latency_s=1.0,
        credits=credits_,
    )


def answered(n: int, span: str, *, audio: str = "a1", config: str = "c1") -> ClipAnswered:
    return ClipAnswered(n=n, key=f"{audio}:answers", config_hash=config, result=result(span))


def planned(checkpoint: Checkpoint, *rows: tuple[str, str]) -> dict[str, int]:
    checkpoint.scan([scanned(id_, config=config) for id_, config in rows], "m.csv")
    checkpoint.merge(())
    return {one.utterance.id: one.n for one in checkpoint.next_rows(None, 100)}


def left(checkpoint: Checkpoint) -> list[str]:
    return [clip.result.key for clip in checkpoint.kept_clips()]


def test_a_transcript_drops_the_answers_that_it_holds_and_no_others(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        n = planned(checkpoint, ("a", "c1"), ("copy", "c1"), ("other", "c2"), ("third", "c1"))
        checkpoint.apply(
            [
                answered(n["a"], "mix:30+10", audio="a0"),
                answered(n["a"], "mix:0+10"),
                answered(n["copy"], "mix:10+10"),
                answered(n["a"], "ch0:0+10", config="split"),
                answered(n["other"], "mix:20+10", config="c2"),
                answered(n["third"], "mix:0+10", audio="a2"),
            ]
        )
        assert checkpoint.waiting_clips() == (4, 120.0)
        checkpoint.set_fact(CLIPS_STALE, 0)
        checkpoint.apply([Finished(n=n["a"], transcript=transcript("a"))])
        # its id had another recording before, which may come back under another one
        assert left(checkpoint) == ["mix:30+10", "ch0:0+10", "mix:20+10", "mix:0+10"]
        assert checkpoint.waiting_clips() == (2, 60.0)
        assert checkpoint.fact(CLIPS_STALE, int) == 1


def test_answers_to_the_same_samples_replace_each_other(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        n = planned(checkpoint, ("a", "c1"), ("b", "c2"))
        checkpoint.apply([answered(n["a"], "mix:0+10"), answered(n["b"], "mix:0+10", config="c2")])
        assert [clip.id for clip in checkpoint.kept_clips()] == ["b"]
        assert checkpoint.answered_keys(["a1:answers", "a2:answers"]) == {"a1:answers"}
        assert checkpoint.answered_clips(["a1:answers"], None) == [result("mix:0+10")]
        assert checkpoint.answered_clips(["a1:answers"], "c1") == []


def test_a_renamed_recording_keeps_what_was_answered_under_other_settings(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        n = planned(checkpoint, ("old", "c1"))
        checkpoint.apply([Finished(n=n["old"], transcript=transcript("old"))])
        new = planned(checkpoint, ("new", "c1"))["new"]
        checkpoint.apply([answered(new, "ch0:0+10", config="split"), answered(new, "mix:0+10")])
        checkpoint.apply([Moved(n=new, old=n["old"], transcript=transcript("new"))])
        assert [(clip.id, clip.result.key) for clip in checkpoint.kept_clips()] == [("new", "ch0:0+10")]


def test_what_is_left_over_is_bounded_and_what_waits_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        n = planned(checkpoint, ("a", "c1"), ("b", "c1"))
        checkpoint.apply([answered(n["b"], f"ch0:{number}+1", audio="a2") for number in range(9)])
        checkpoint.apply([answered(n["a"], f"mix:{number}+1", config="before") for number in range(9)])
        checkpoint.apply([Finished(n=n["a"], transcript=transcript("a"))])
        size = len(msgspec.msgpack.encode(result("mix:0+1")))
        monkeypatch.setattr(lookup, "LEFT_OVER_BYTES", 4 * size)
        checkpoint.trim_clips()
        assert left(checkpoint) == [*(f"ch0:{number}+1" for number in range(9)), *(f"mix:{n}+1" for n in range(5, 9))]


def test_answers_to_earlier_contents_of_a_failing_recording_are_left_over_and_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        n = planned(checkpoint, ("a", "c1"), ("b", "c1"))
        for night in range(9):
            checkpoint.apply([answered(n["a"], f"mix:{part}+1", audio=f"night{night}") for part in range(3)])
            checkpoint.apply([Failed(n=n["a"], failure=failure("a", retryable=True, error="ServerFault"))])
        checkpoint.apply([answered(n["b"], "mix:0+1", audio="b")])
        assert checkpoint.waiting_clips() == (4, 120.0)
        monkeypatch.setattr(lookup, "LEFT_OVER_BYTES", 3 * len(msgspec.msgpack.encode(result("mix:0+1"))))
        checkpoint.trim_clips()
        keys = [f"night{night}:answers" for night in range(9)]
        assert checkpoint.answered_keys(keys) == set(keys[-2:])
        # the content of the night before comes back, and fails again
        checkpoint.apply([answered(n["a"], "mix:3+1", audio="night7")])
        assert checkpoint.waiting_clips() == (5, 150.0)
        checkpoint.trim_clips()
        assert checkpoint.answered_keys(keys) == set(keys[-2:])


def test_answers_to_other_settings_of_a_failing_recording_are_left_over_unless_they_answer_to_those_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        n = planned(checkpoint, ("a", "english"))["a"]
        english = ClipAnswered(n=n, key="a1:english", config_hash="english", result=result("ch0:0+1"))
        first = ClipAnswered(n=n, key="a1:french", config_hash="first", result=result("ch0:1+1"))
        split = ClipAnswered(n=n, key="a1:french", config_hash="split", result=result("ch1:0+1"))
        checkpoint.apply([english, first])
        assert planned(checkpoint, ("a", "split")) == {"a": n}
        checkpoint.apply([split])
        assert checkpoint.waiting_clips() == (1, 30.0)
        monkeypatch.setattr(lookup, "LEFT_OVER_BYTES", 0)
        checkpoint.trim_clips()
        assert left(checkpoint) == ["ch0:1+1", "ch1:0+1"]


@pytest.mark.parametrize("only_read", [False, True])
def test_clips_of_an_older_checkpoint_are_found_under_the_identity(tmp_path: Path, only_read: bool) -> None:
    make(path := tmp_path / "checkpoint.sqlite", 4)
    with sqlite3.connect(path) as db:
        db.executescript(f"{MIGRATIONS[4]} PRAGMA user_version = 5;")
        db.executemany(
            "INSERT INTO clips VALUES ((SELECT n FROM utterances WHERE id = ?), ?, ?, ?, 30.0)",
            [("passing", number, "a9:c1", msgspec.msgpack.encode(result(f"0:{number}+1"))) for number in range(3)],
        )
    with Checkpoint(path, only_read=only_read) as checkpoint:
        assert checkpoint.waiting_clips() == (3, 90.0)
        assert [found.key for found in checkpoint.answered_clips(["a9:c1"], "c1")] == ["0:0+1", "0:1+1", "0:2+1"]
