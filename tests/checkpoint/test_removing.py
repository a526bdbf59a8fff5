"""What `prune` and `forget` ask of the checkpoint: since when rows are missing, marks, which rows share an audio."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from pipeline.checkpoint import Checkpoint, ClipAnswered, Failed, Finished, Identity
from pipeline.checkpoint.removing import Removing
from pipeline.checkpoint.salvage import Old
from pipeline.clips import ClipResult
from tests.checkpoint.test_migration import make
from tests.records import failure, scanned, transcript


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.sqlite"


def removed(path: Path) -> dict[str, int | None]:
    with sqlite3.connect(path) as db:
        return dict(db.execute("SELECT id, removed FROM utterances"))


def test_it_is_known_since_when_a_row_is_missing(path: Path) -> None:
    first = [scanned("a"), scanned("b")]
    nights = (first, first[:1], first[:1], first, [])
    with Checkpoint(path) as checkpoint:
        known = []
        for rows in nights:
            checkpoint.scan(rows, "m")
            checkpoint.merge(())
            known.append(removed(path))
            with sqlite3.connect(path) as db:
                db.execute("UPDATE utterances SET removed = removed - 100")
    assert [one["b"] is None for one in known] == [True, False, False, True, False]
    assert known[1]["b"] == pytest.approx(time.time(), abs=5)
    assert known[2]["b"] == known[1]["b"] - 100, "it counts from the first night"
    assert [one["a"] is None for one in known] == [True, True, True, True, False]


@pytest.mark.slow
def test_rows_of_earlier_versions_count_from_their_migration(path: Path) -> None:
    make(path, 6)
    with Checkpoint(path) as checkpoint:
        assert checkpoint.list_leftover(time.time() - 10).rows == 0
        assert checkpoint.list_leftover(time.time() + 10).rows == 2
    since = {id_: moment for id_, moment in removed(path).items() if moment is not None}
    assert since.keys() == {"gone", "gone-item"}
    with Old(path) as old:
        assert {one.utterance.id: one.removed for one in old.utterances() if one.removed} == since


def test_a_mark_outlives_the_process_and_goes_with_its_row(path: Path) -> None:
    with Checkpoint(path) as checkpoint:
        checkpoint.scan([scanned("a"), scanned("b"), scanned("c")], "m")
        checkpoint.merge(())
        for n, id_ in enumerate("abc", 1):
            checkpoint.apply([Finished(n=n, transcript=transcript(id_, audio_hash=f"audio-{id_}"))])
        checkpoint.results_published([(1, 1), (2, 1)], {1: 2}, 0)
        checkpoint.mark(lambda id_: id_ == "a", lambda audio: audio == "audio-c")
    with Checkpoint(path) as checkpoint:
        assert checkpoint.is_removing()
        assert checkpoint.marked_ids() == ["a", "c"]
        assert checkpoint.marked_parts() == {1: 1}
        checkpoint.part_is_without(1, 1)
        checkpoint.drop_answers()
        assert checkpoint.marked_parts() == {}
        assert checkpoint.new_results(10, 10**6) == []
        checkpoint.drop_marked()
        assert not checkpoint.is_removing()
        assert (checkpoint.totals().done, checkpoint.parts("transcripts")) == (1, {1: 1})


def test_rows_share_audio_that_was_transcribed_answered_or_refused(path: Path) -> None:
    with Checkpoint(path) as checkpoint:
        checkpoint.scan([scanned(id_) for id_ in "abcd"], "m")
        checkpoint.merge(())
        answer = ClipResult(
            clip=0, key="0:0+5", words=(), issues=(), request_id=None, model=None, latency_s=0.1, credits=6.0
        )
        identity = Identity(audio_hash="same", config_hash="c1")
        checkpoint.apply(
            [
                Finished(n=1, transcript=transcript("a", audio_hash="same")),
                ClipAnswered(n=2, key="same:c1", config_hash="c1", result=answer),
                Failed(n=3, failure=failure("c"), identity=identity, was_sent=True),
                Finished(n=4, transcript=transcript("d", audio_hash="other")),
            ]
        )
        assert checkpoint.ids_of_audio({"same", "none"}) == {"same": ["a", "b", "c"]}
        assert checkpoint.audio_of_ids("abcx") == {"a": {"same"}, "b": {"same"}, "c": {"same"}, "x": set()}
        checkpoint.apply([Finished(n=1, transcript=transcript("a", audio_hash="newer"))])
        assert checkpoint.earlier_audio_of("ad") == {"a": {"same"}, "d": set()}
        checkpoint.mark(lambda id_: False, lambda audio: audio == "same")
        assert checkpoint.marked_ids() == [], "its audio is another one now"
        checkpoint.drop_traces(lambda id_: False, lambda audio: audio == "same", lambda figures: figures)
        assert checkpoint.ids_of_audio({"same"}) == {}
        assert checkpoint.earlier_audio_of("a") == {"a": set()}


def test_it_has_no_other_methods_than_those_that_are_durable_or_read() -> None:
    assert all(hasattr(method, "__wrapped__") for name, method in vars(Removing).items() if name[0] != "_")
