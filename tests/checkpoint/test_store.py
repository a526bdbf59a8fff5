"""What a run asks of its store: with what is still on its way into the checkpoint, and what its verbs do on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from pipeline.checkpoint import Checkpoint, Failed, Finished, Identity, Moved, Patience, Sent, State, Store
from pipeline.checkpoint.scan import WHOLE
from pipeline.errors import CheckpointError, OutputGone
from tests.records import attempt, failure, scanned, transcript

T = TypeVar("T")
AUDIO = Identity(audio_hash="a1", config_hash="c1")
OTHER = Identity(audio_hash="a2", config_hash="c1")


def with_store(path: Path, use: Callable[[Store], Awaitable[T]], *names: str) -> T:
    """What comes of using a store in which these rows were selected."""

    async def used() -> T:
        with Store.open(path / "checkpoint.sqlite", Patience()) as store:
            assert await store.scan([scanned(name) for name in names], "m.csv", scope=WHOLE) == []
            await store.merge(())
            await store.save_run("run", "2026-11-22T03:00:00+00:00", None)
            keeping = asyncio.create_task(store.keep())
            try:
                return await use(store)
            finally:
                store.close()
                await keeping

    return asyncio.run(used())


def test_rows_are_handed_out_one_after_the_other_until_each_has_its_outcome(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        [first] = await store.next_rows(None, 1)
        [second] = await store.next_rows(first.place, 1)
        assert (first.utterance.id, second.utterance.id) == ("a", "b")
        assert (first.state, first.done, await store.expected_s(None)) == (State.NEW, None, 2.0)
        store.add(Finished(n=first.n, transcript=transcript("a")))
        await store.committed()
        assert [one.n for one in await store.rows_left([first.n, second.n])] == [second.n]
        assert await store.blocking(Checkpoint.has_selected)

    with_store(tmp_path, use, "a", "b")


def test_a_transcript_is_found_while_it_is_on_its_way_and_afterwards(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        store.add(Finished(n=1, transcript=transcript("a")))
        pending, stored = await store.transcripts_of([AUDIO, OTHER])
        assert ([*pending], stored) == ([AUDIO], {})
        await store.committed()
        pending, stored = await store.transcripts_of([AUDIO, OTHER])
        assert pending == {}
        assert [*stored] == [AUDIO]
        assert stored[AUDIO].transcript == transcript("a")

    with_store(tmp_path, use, "a")


def test_a_failure_that_was_paid_for_is_found_while_it_is_on_its_way_and_afterwards(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        passing = failure("b", retryable=True, error="ServerFault")
        store.add(Failed(n=1, failure=failure("a"), identity=AUDIO, was_sent=True))
        store.add(Failed(n=2, failure=passing, identity=OTHER, was_sent=True))
        pending = await store.failures_of([AUDIO, OTHER])
        assert {identity: holds for identity, (_, holds) in pending.items()} == {AUDIO: True, OTHER: True}
        await store.committed()
        known = await store.failures_of([AUDIO, OTHER])
        assert {identity: (one.setbacks, holds) for identity, (one, holds) in known.items()} == {
            AUDIO: (0, True),
            OTHER: (1, True),
        }
        await store.save_run("next", "2026-11-23T03:00:00+00:00", None)  # in which it is due
        assert not (await store.failures_of([OTHER]))[OTHER][1]

    with_store(tmp_path, use, "a", "b")


def test_results_are_published_as_they_were_added_and_counted_while_they_wait(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        store.add(Sent(attempt=attempt("a")), Finished(n=1, transcript=transcript("a")))
        store.add(Finished(n=2, transcript=transcript("b", "one two three", audio_hash="b1")))
        assert store.results_added == (2, 5)
        await store.committed()
        assert await store.new_results(1, 1 << 20) == [(1, transcript("a"))]
        assert await store.pending_results() == 2
        await store.results_published([(1, 1), (2, 1)], {1: 2}, 10)
        assert (await store.pending_results(), await store.parts("transcripts")) == (0, {1: 2})
        [(n, sent)] = await store.attempts(10)
        assert sent == attempt("a")
        await store.attempts_published(n, 1, 1)
        assert (await store.pending_attempts(), await store.parts("attempts")) == (0, {1: 1})
        assert await store.fact("jsonl_bytes", int) == 10

    with_store(tmp_path, use, "a", "b")


def test_renamed_recordings_are_looked_for_only_where_rows_were_removed(tmp_path: Path) -> None:
    async def finish(store: Store) -> None:
        assert await store.renamed({1: [AUDIO]}, {}) == {}
        store.add(Finished(n=1, transcript=transcript("old")))

    async def move(store: Store) -> None:
        found = await store.renamed({2: [AUDIO, OTHER]}, {})
        assert [(identity, placed.utterance.id) for identity, placed in found[2]] == [(AUDIO, "old")]
        assert await store.renamed({2: [AUDIO]}, {AUDIO: 1}) == {2: []}
        store.add(Moved(n=2, old=1, transcript=transcript("new")))
        await store.committed()
        totals = await store.blocking(Checkpoint.totals)
        assert (totals.done, totals.left, totals.vanished) == (1, 0, 0)

    with_store(tmp_path, finish, "old")
    with_store(tmp_path, move, "new")


def test_nothing_is_done_once_the_output_is_gone_but_what_was_answered_is_kept(tmp_path: Path) -> None:
    gone = False

    def check() -> None:
        if gone:
            raise OutputGone("gone")

    async def used() -> None:
        nonlocal gone
        with Store.open(tmp_path / "checkpoint.sqlite", Patience(), check) as store:
            keeping = asyncio.create_task(store.keep())
            gone = True
            with pytest.raises(OutputGone):
                await store.parts("transcripts")
            store.add(Sent(attempt=attempt("a")))
            await store.committed()
            store.close()
            await keeping

    asyncio.run(used())
    with Checkpoint(tmp_path / "checkpoint.sqlite", only_read=True) as checkpoint:
        assert checkpoint.pending_attempts() == 1


def test_a_result_that_cannot_be_decoded_is_a_damaged_checkpoint(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        store.add(Finished(n=1, transcript=transcript("a")))
        await store.committed()
        await store.blocking(lambda checkpoint: checkpoint._db.execute("UPDATE results SET row = x'c1'"))
        with pytest.raises(CheckpointError, match="rebuild"):
            await store.new_results(10, 1 << 20)

    with_store(tmp_path, use, "a")
