"""A transcript with gaps: it stands while its row has failed, and answers to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline.checkpoint import Checkpoint, Failed, Finished, Identity, Partly
from pipeline.model import Transcript
from tests.records import failure, scanned, transcript


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as opened:
        opened.scan([scanned("a"), scanned("b")], "m.csv")
        opened.merge(())
        yield opened


def with_gap(text: str = "hello", *, audio_hash: str = "a1") -> Transcript:
    row = transcript("a", text, audio_hash=audio_hash)
    return msgspec.structs.replace(row, status="suspect", issues=("gap 1.0-2.0",))


def apply(checkpoint: Checkpoint, row: Transcript, *, answered_s: float = 1.0, answered_now: bool = True) -> None:
    failed = Failed(n=1, failure=failure("a", retryable=True, error="ServerFault"), was_sent=True)
    checkpoint.apply([failed, Partly(n=1, transcript=row, answered_s=answered_s, answered_now=answered_now)])


def publish(checkpoint: Checkpoint) -> list[str]:
    """The texts that waited to be published."""
    new = checkpoint.new_results(10, 1 << 20)
    checkpoint.results_published([(n, 1) for n, _ in new], {1: 1}, 0)
    checkpoint.list_replacing()
    replacing = checkpoint.replacing(1, 0, 10, 1 << 20)
    checkpoint.rewritten(1, 1, 0)
    rows = [msgspec.msgpack.decode(row, type=Transcript) for _, row in new]
    return [row.text for row in (*rows, *(one.transcript for one in replacing))]


def test_it_counts_as_failed_and_is_nobodys_twin(checkpoint: Checkpoint) -> None:
    apply(checkpoint, with_gap())
    totals = checkpoint.totals()
    assert (totals.done, totals.failed, totals.kept, totals.partial, totals.suspect) == (0, 1, 1, 1, 0)
    assert [told.kept for told in checkpoint.failures()] == [True]
    assert checkpoint.stored_transcripts([Identity(audio_hash="a1", config_hash="c1")]) == {}
    assert publish(checkpoint) == ["hello"]
    checkpoint.scan([scanned("a"), scanned("b")], "m.csv")
    assert checkpoint.merge(("suspect",)).selected == 0


def test_it_is_written_again_only_when_it_says_more(checkpoint: Checkpoint) -> None:
    apply(checkpoint, with_gap())
    assert publish(checkpoint) == ["hello"]
    apply(checkpoint, with_gap("hello"), answered_now=False)
    assert publish(checkpoint) == []
    apply(checkpoint, with_gap("hello world"), answered_s=1.5)
    assert publish(checkpoint) == ["hello world"]
    # a run was killed after a clip was answered
    apply(checkpoint, with_gap("hello wide world"), answered_s=1.75, answered_now=False)
    assert publish(checkpoint) == ["hello wide world"]


def test_the_whole_transcript_takes_its_place_and_it_is_not_kept(checkpoint: Checkpoint) -> None:
    apply(checkpoint, with_gap())
    checkpoint.apply([Finished(n=1, transcript=transcript("a"))])
    assert publish(checkpoint) == ["hello world"]
    totals = checkpoint.totals()
    assert (totals.done, totals.failed, totals.partial) == (1, 0, 0)
    assert checkpoint.stored_transcripts([Identity.of(with_gap())]) == {}


def test_it_takes_the_place_of_an_earlier_content_which_stays_findable(checkpoint: Checkpoint) -> None:
    checkpoint.apply([Finished(n=1, transcript=transcript("a", "old words", audio_hash="a0"))])
    assert publish(checkpoint) == ["old words"]
    checkpoint.scan([scanned("a", size=101), scanned("b")], "m.csv")
    checkpoint.merge(())
    apply(checkpoint, with_gap())
    assert publish(checkpoint) == ["hello"]
    assert len(checkpoint.stored_transcripts([Identity(audio_hash="a0", config_hash="c1")])) == 1


@pytest.mark.parametrize("settings", ["c1", "c2"])
def test_it_never_takes_the_place_of_a_whole_one_of_the_same_audio(checkpoint: Checkpoint, settings: str) -> None:
    checkpoint.apply([Finished(n=1, transcript=transcript("a"))])
    assert publish(checkpoint) == ["hello world"]
    checkpoint.scan([scanned("a", config=settings), scanned("b")], "m.csv")
    checkpoint.merge(("all",))
    apply(checkpoint, with_gap())
    assert publish(checkpoint) == []
    assert checkpoint.totals().partial == 0


def test_a_recording_that_goes_is_no_done_one(checkpoint: Checkpoint) -> None:
    apply(checkpoint, with_gap())
    checkpoint.scan([scanned("a", size=None), scanned("b")], "m.csv")
    found = checkpoint.merge(())
    assert (found.gone, found.done, found.selected) == (0, 0, 2)
    [selected] = [one for one in checkpoint.next_rows(None, 9) if one.utterance.id == "a"]
    assert selected.done is None
