"""Selection: a few utterances at a time, never more than the limit, duplicates last."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.run import select
from tests.batch import Corpus
from tests.run.stations import stations


def test_it_hands_out_everything_once_in_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "HASHED_AT_ONCE", 3)
    corpus = Corpus(tmp_path / "audio", count=8, seconds=0.1)

    async def batches() -> list[list[str]]:
        async with stations(corpus.folder, tmp_path / "out") as run:
            selection, found = run.selection(), []
            while batch := await selection.next():
                found.append([one.utterance.id for one in batch])
            assert not selection.has_more
            return found

    found = asyncio.run(batches())
    assert [len(batch) for batch in found] == [3, 3, 2]
    assert sorted(id_ for batch in found for id_ in batch) == sorted(corpus.texts)


def test_a_batch_holds_no_more_audio_than_is_read_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "HASHED_AT_ONCE_S", 1.0)
    corpus = Corpus(tmp_path / "audio", count=4, seconds=1.2)

    async def sizes() -> list[int]:
        async with stations(corpus.folder, tmp_path / "out") as run:
            selection, found = run.selection(), []
            while batch := await selection.next():
                found.append(len(batch))
            return found

    # 1.2 s at 8 kHz are taken for 0.6 s of 16 kHz before the header was read
    assert asyncio.run(sizes()) == [2, 2]


def test_the_limit_leaves_the_rest_and_what_did_not_fit_the_budget_gives_its_place_back(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4, seconds=0.1)

    async def handed_out() -> list[int]:
        async with stations(corpus.folder, tmp_path / "out", budget={"credits": 5}) as run:
            selection = run.selection(limit=2)
            first = await selection.next()
            assert await selection.next() == []
            assert selection.limit_reached
            assert not selection.has_more
            run.budget.did_not_fit(100.0, [first[0].utterance.id])
            assert selection.has_more
            return [len(first), len(await selection.next())]

    assert asyncio.run(handed_out()) == [2, 1]


def test_duplicates_that_are_to_be_looked_at_again_come_last(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=2, seconds=0.1)

    async def order() -> list[list[int]]:
        async with stations(corpus.folder, tmp_path / "out") as run:
            selection = run.selection()
            [first, second] = await selection.next()
            run.duplicates.look_again([first])
            assert selection.has_more
            again = await selection.next()
            assert not selection.has_more
            return [[one.n for one in again], [first.n, second.n]]

    again, both = asyncio.run(order())
    assert again == both[:1]
